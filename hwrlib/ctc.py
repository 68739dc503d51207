"""CTC: its loss, how frames become text, and how probable a text is.

A network predicts one class per frame. A text is what remains when repeats are merged and blanks are dropped; its
probability is the sum over all paths, one class per frame, that spell it (Graves et al., *Connectionist Temporal
Classification*, 2006). Decoding is plain NumPy, so that reading needs no torch; the loss is PyTorch's.
"""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hwrlib.charset import BLANK, Charset

if TYPE_CHECKING:  # imported where it is used: reading an ONNX model needs no torch, whose import takes seconds
    from torch import Tensor

    from hwrlib.collate import Batch

RESCALE_EVERY = 4  # frames; probabilities need many more to underflow
TINY = np.finfo(float).tiny  # added to a sum before dividing by it


def frames_needed(classes: Sequence[int]) -> int:
    """Frames that CTC needs to write these classes: one for each, and a blank between two equal ones."""
    return len(classes) + sum(a == b for a, b in zip(classes, classes[1:]))


def ctc_loss(log_probs: Tensor, batch: Batch, input_lengths: Tensor) -> Tensor:
    """The CTC loss per character of every sample: -ln P(text | image) / characters.

    Args:
        log_probs: (T, N, C) natural-log probabilities.
        batch: the labels.
        input_lengths: (N,) valid frames, each at most T.
    Returns:
        (N,) losses, nats per character.
    Raises:
        ValueError: a label needs more frames than its image has; all such samples are named.
    """
    import torch
    import torch.nn.functional as F

    repeats = ((batch.targets[:, 1:] == batch.targets[:, :-1]) & (batch.targets[:, 1:] != BLANK)).sum(1)  # (N,)
    needed = batch.target_lengths + repeats  # (N,)
    if short := torch.nonzero(input_lengths < needed).flatten().tolist():
        raise ValueError(
            "; ".join(
                f"{batch.names[n]}: {int(input_lengths[n])} frames < {int(needed[n])} needed for "
                f"{reprlib.repr(batch.texts[n])}"
                for n in short
            )
            + "; widen the images (max_width) or lower the stride"
        )
    losses = F.ctc_loss(log_probs, batch.targets, input_lengths, batch.target_lengths, blank=BLANK, reduction="none")
    return losses / batch.target_lengths.clamp(min=1)


class Symbol(NamedTuple):
    """One decoded character and the frames it was read from."""

    index: int  # class
    first_frame: int
    last_frame: int  # inclusive
    confidence: float  # the highest probability among its frames


class Decoded(NamedTuple):
    """The reading of one line."""

    text: str  # with a `Lexicon`, in the list's spelling
    symbols: list[Symbol]  # its characters as the model writes them
    confidence: float  # 0-1, probability that the text is right
    word_confidences: tuple[float, ...]  # of every word of the symbols, split at white space
    alternatives: tuple[tuple[str, float], ...] = ()  # other texts and their probabilities, the likeliest first


def greedy_decode(log_probs: np.ndarray, input_lengths: np.ndarray) -> list[list[int]]:
    """The most probable class of every frame, repeats merged, blanks dropped: best-path decoding.

    Args:
        log_probs: (T, N, C) natural-log probabilities, an array or a tensor on the CPU.
        input_lengths: (N,) valid frames, each at most T.
    Returns:
        N lists of class indices, blanks and repeats removed.
    Raises:
        ValueError: a length exceeds T.
    """
    return [[symbol.index for symbol in symbols] for symbols in greedy_symbols(log_probs, input_lengths)]


def greedy_symbols(log_probs: np.ndarray, input_lengths: np.ndarray) -> list[list[Symbol]]:
    """As `greedy_decode`, with the frames and the confidence of every character: N lists in reading order."""
    log_probs, input_lengths = np.asarray(log_probs), np.asarray(input_lengths)
    if len(input_lengths) and input_lengths.max() > len(log_probs):
        raise ValueError(f"input_lengths reach {input_lengths.max()}, but there are {len(log_probs)} frames")
    best = log_probs.argmax(-1)  # (T, N)
    probabilities = np.exp(np.take_along_axis(log_probs, best[..., None], -1)[..., 0])  # (T, N)
    return [
        merge_repeats(best[:length, n].tolist(), probabilities[:length, n].tolist())
        for n, length in enumerate(input_lengths.tolist())
    ]


def greedy_lines(log_probs: np.ndarray, input_lengths: np.ndarray, charset: Charset) -> list[Decoded]:
    """As `greedy_symbols`, with confidences: of a text by the forward algorithm, of a word its characters' product."""
    symbols = greedy_symbols(log_probs, input_lengths)
    classes = [[symbol.index for symbol in line] for line in symbols]
    confidences = np.exp(text_log_probabilities(log_probs, input_lengths, classes)).tolist()
    lines = []
    for line, indices, confidence in zip(symbols, classes, confidences):
        text = charset.decode(indices)
        of_words = (math.prod(symbol.confidence for symbol in line[first:last]) for first, last in word_spans(text))
        lines.append(Decoded(text, line, confidence, tuple(of_words)))
    return lines


def word_spans(text: str) -> list[tuple[int, int]]:
    """First character and end of every word of a text; words are split at white space."""
    return [match.span() for match in re.finditer(r"\S+", text)]


def merge_repeats(classes: list[int], probabilities: list[float]) -> list[Symbol]:
    """Merge repeats and drop blanks: one class and its probability per frame -> symbols."""
    symbols: list[Symbol] = []
    previous = BLANK
    for frame, (index, probability) in enumerate(zip(classes, probabilities)):
        if index != BLANK and index == previous:
            last = symbols[-1]
            symbols[-1] = last._replace(last_frame=frame, confidence=max(last.confidence, probability))
        elif index != BLANK:
            symbols.append(Symbol(index, frame, frame, probability))
        previous = index
    return symbols


def text_log_probabilities(log_probs: np.ndarray, input_lengths: np.ndarray, texts: Sequence[Sequence[int]]) -> np.ndarray:
    """ln P(text | image): the sum over all paths that spell the text, by CTC's forward algorithm.

    Args:
        log_probs: (T, N, C) natural-log probabilities.
        input_lengths: (N,) valid frames, each at most T.
        texts: N texts as class indices.
    Returns:
        (N,) natural logarithms; minus infinity for a text that needs more frames than there are, or whose probability
        underflows (below about e^-700 of the others).
    Source: Graves et al. (2006), section 4.1, rescaled every few frames so that it cannot underflow.
    """
    log_probs, input_lengths = np.asarray(log_probs), np.asarray(input_lengths)
    states, skippable = ctc_states(texts)  # (N, 2S + 1)
    emitted = np.exp(np.take_along_axis(log_probs, states[None], 2), dtype=np.float64)  # (T, N, 2S + 1)
    ends = 2 * np.array([len(text) for text in texts], dtype=np.int64)  # (N,): the last blank
    lines_ending_at: dict[int, list[int]] = {}
    for line, length in enumerate(input_lengths.tolist()):
        lines_ending_at.setdefault(length - 1, []).append(line)
    # Views of one array: the forward variable of each state, and of the states one and two before it (0 if there is none).
    padded = np.zeros((len(texts), states.shape[1] + 2))
    forward, one_before, two_before = padded[:, 2:], padded[:, 1:-1], padded[:, :-2]
    forward[:, 0] = 1.0  # before the first frame, in the first blank
    scales, final = np.ones((len(emitted), len(texts), 1)), np.where(ends == 0, 1.0, 0.0)
    for time, (frame, scale) in enumerate(zip(emitted, scales)):
        step = (forward + one_before + two_before * skippable) * frame
        if time % RESCALE_EVERY == 0:
            np.add(step.sum(1, keepdims=True), TINY, out=scale)
            step /= scale
        forward[:] = step
        if lines := lines_ending_at.get(time):
            final[lines] = forward[lines, ends[lines]] + np.where(ends[lines] > 0, forward[lines, ends[lines] - 1], 0.0)
    scales[np.arange(len(emitted))[:, None] >= input_lengths] = 1.0  # frames of the padding
    with np.errstate(divide="ignore"):  # ln 0: the text does not fit
        return np.minimum(np.log(final) + np.log(scales).sum(0)[:, 0], 0.0)


def ctc_states(texts: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """CTC's states (N, 2S + 1), blanks around every character; 1 for each that can be reached from two states before."""
    states = np.full((len(texts), 2 * max(map(len, texts), default=0) + 1), BLANK)
    for row, text in zip(states, texts):
        row[1 : 2 * len(text) : 2] = text
    skippable = np.zeros(states.shape)
    skippable[:, 2:] = (states[:, 2:] != BLANK) & (states[:, 2:] != states[:, :-2])
    return states, skippable
