"""Forced alignment: the frames in which each character of a given text was most probably written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwrlib.ctc import Symbol, ctc_states, frames_needed, merge_repeats

FORBIDDEN = -1e30  # a logarithm that no sum makes up for


def forced_alignment(log_probs: np.ndarray, input_lengths: np.ndarray, texts: Sequence[Sequence[int]]) -> list[list[Symbol]]:
    """The most probable path that spells each text, as characters and their frames.

    Args:
        log_probs: (T, N, C) natural-log probabilities.
        input_lengths: (N,) valid frames, each at most T.
        texts: N texts as class indices.
    Returns:
        N lists in reading order, one symbol for each character.
    Raises:
        ValueError: a text needs more frames than its line has.
    Source: Viterbi's algorithm on CTC's states, a blank before, between and after the characters.
    """
    log_probs, lengths = np.asarray(log_probs), np.asarray(input_lengths).tolist()
    for line, (text, length) in enumerate(zip(texts, lengths)):
        if not frames_needed(text) <= length <= len(log_probs):
            raise ValueError(f"line {line}: {length} of {len(log_probs)} frames, but its text needs {frames_needed(text)}")
    if not lengths:
        return []
    states, skippable = ctc_states(texts)  # (N, 2S + 1)
    scores, steps = _viterbi(np.take_along_axis(log_probs, states[None], 2), np.where(skippable, 0.0, FORBIDDEN))
    aligned = []
    for line, (text, length) in enumerate(zip(texts, lengths)):
        path = _trace(scores[:length, line], steps[:length, line], end=2 * len(text))
        classes = states[line, path]
        probabilities = np.exp(log_probs[np.arange(length), line, classes])
        aligned.append(merge_repeats(classes.tolist(), probabilities.tolist()))
    return aligned


def _viterbi(emitted: np.ndarray, skip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best path to every state at every frame.

    Args:
        emitted: (T, N, 2S + 1) log-probability of each state's class.
        skip: (N, 2S + 1) 0 where the state before may be passed over, else `FORBIDDEN`.
    Returns:
        (T, N, 2S + 1) ln P(the best path to the state), and by how many states (0, 1, 2) its last step went on.
    """
    scores, steps = np.empty(emitted.shape), np.zeros(emitted.shape, np.uint8)
    ways = np.full((3, *skip.shape), FORBIDDEN)  # coming from the same state, from the one before, from two before
    before = np.full(skip.shape, FORBIDDEN)
    before[:, 0] = 0.0  # before the first frame, in the first blank
    for frame, score, step in zip(emitted, scores, steps):
        ways[0], ways[1, :, 1:] = before, before[:, :-1]
        ways[2, :, 2:] = before[:, :-2] + skip[:, 2:]
        step[:] = ways.argmax(0)
        score[:] = ways.max(0) + frame
        before = score
    return scores, steps


def _trace(scores: np.ndarray, steps: np.ndarray, *, end: int) -> list[int]:
    """The states of the best path that ends in the last blank, `end`, or in the last character."""
    state, path = end, []
    if len(scores) and end and scores[-1, end - 1] > scores[-1, end]:
        state = end - 1
    for step in steps[::-1]:
        path.append(state)
        state -= int(step[state])
    return path[::-1]
