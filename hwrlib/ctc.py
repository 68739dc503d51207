"""From frames to text: CTC says one class for every frame; decoding collapses repeats and drops blanks.

NumPy alone, so that reading needs no torch; tensors on the CPU are taken as well as arrays.
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hwrlib.charset import BLANK

if TYPE_CHECKING:   # torch is imported where it is used: reading an ONNX model needs none
    from torch import Tensor

    from hwrlib.data import Batch

SCALED_EACH = 4               # frames: far fewer than probabilities could underflow in
TINY = np.finfo(float).tiny   # keeps a sum of nothing from being divided by


def frames_needed(classes: list[int]) -> int:
    """Frames that CTC needs to write these classes: one each, and a blank between two equal ones."""
    return len(classes) + sum(a == b for a, b in zip(classes, classes[1:]))


def ctc_loss(log_probs: Tensor, batch: Batch, input_lengths: Tensor) -> Tensor:
    """The CTC loss of every sample a character: -ln P(text | image) / characters.

    Args:
        log_probs: (T, N, C) natural-log probabilities.
        batch: the labels.
        input_lengths: (N,) valid frames.
    Returns:
        (N,) losses, nats a character.
    Raises:
        ValueError: a label needs more frames than its image has; all such samples are named.
    Source: Graves et al., *Connectionist Temporal Classification* (2006).
    """
    import torch
    import torch.nn.functional as F

    repeats = ((batch.targets[:, 1:] == batch.targets[:, :-1]) & (batch.targets[:, 1:] != BLANK)).sum(1)
    short = torch.nonzero(input_lengths < batch.target_lengths + repeats).flatten().tolist()
    if short:
        raise ValueError("; ".join(
            f"{batch.names[n]}: {int(input_lengths[n])} frames < {int(batch.target_lengths[n] + repeats[n])} needed "
            f"for {reprlib.repr(batch.texts[n])}" for n in short) + "; widen the images (max_width) or lower the stride")
    losses = F.ctc_loss(log_probs, batch.targets, input_lengths, batch.target_lengths, blank=BLANK, reduction="none")
    return losses / batch.target_lengths.clamp(min=1)


class Symbol(NamedTuple):
    """One decoded character and the frames it was read from."""

    index: int           # class
    first_frame: int
    last_frame: int      # inclusive
    confidence: float    # the highest probability among its frames


def greedy_decode(log_probs: np.ndarray, input_lengths: np.ndarray) -> list[list[int]]:
    """The most probable class of every frame, repeats collapsed, blanks dropped.

    Args:
        log_probs: (T, N, C) natural-log probabilities.
        input_lengths: (N,) valid frames, each at most T.
    Returns:
        N lists of class indices, blanks and repeats removed.
    Raises:
        ValueError: a length exceeds T.
    Source: best-path decoding, Graves et al., *Connectionist Temporal Classification* (2006), section 3.2.
    """
    return [[symbol.index for symbol in symbols] for symbols in greedy_symbols(log_probs, input_lengths)]


def greedy_symbols(log_probs: np.ndarray, input_lengths: np.ndarray) -> list[list[Symbol]]:
    """As :func:`greedy_decode`, with the frames and the confidence of every character.

    Args:
        log_probs: (T, N, C) natural-log probabilities.
        input_lengths: (N,) valid frames, each at most T.
    Returns:
        N lists of symbols, in reading order.
    Raises:
        ValueError: a length exceeds T.
    """
    log_probs, input_lengths = np.asarray(log_probs), np.asarray(input_lengths)
    if len(input_lengths) and input_lengths.max() > len(log_probs):
        raise ValueError(f"input_lengths reach {input_lengths.max()}, but there are {len(log_probs)} frames")
    best = log_probs.argmax(-1)                                                             # (T, N)
    probabilities = np.exp(np.take_along_axis(log_probs, best[..., None], -1)[..., 0])      # (T, N)
    return [_collapse(best[:length, n].tolist(), probabilities[:, n].tolist())
            for n, length in enumerate(input_lengths.tolist())]


def _collapse(classes: list[int], probabilities: list[float]) -> list[Symbol]:
    symbols: list[Symbol] = []
    previous = BLANK
    for frame, index in enumerate(classes):
        if index != BLANK and index == previous:
            last = symbols[-1]
            symbols[-1] = last._replace(last_frame=frame, confidence=max(last.confidence, probabilities[frame]))
        elif index != BLANK:
            symbols.append(Symbol(index, frame, frame, probabilities[frame]))
        previous = index
    return symbols


def text_log_probabilities(log_probs: np.ndarray, input_lengths: np.ndarray,
                           texts: Sequence[Sequence[int]]) -> np.ndarray:
    """ln P(text | image): the sum over all paths that spell the text, which is CTC's loss read backwards.

    Args:
        log_probs: (T, N, C) natural-log probabilities.
        input_lengths: (N,) valid frames, each at most T.
        texts: N texts as class indices.
    Returns:
        (N,) natural logarithms; minus infinity for a text that does not fit its frames, or below e^-700 of what does.
    Source: the forward recursion of Graves et al. (2006), section 4.1, scaled every few frames so that it cannot underflow.
    """
    n, most = len(texts), max(map(len, texts), default=0)
    states = np.full((n, 2 * most + 1), BLANK)                # blank, first character, blank, second, ..., blank
    for row, text in zip(states, texts):
        row[1:2 * len(text):2] = text
    skippable = np.zeros(states.shape)                        # a state that may follow the one two before it:
    skippable[:, 2:] = (states[:, 2:] != BLANK) & (states[:, 2:] != states[:, :-2])
    log_probs, input_lengths = np.asarray(log_probs), np.asarray(input_lengths)
    emitted = np.exp(np.take_along_axis(log_probs, states[None], 2), dtype=np.float64)      # (T, N, 2S + 1)
    ends = 2 * np.array([len(text) for text in texts], dtype=np.int64)
    finished: dict[int, list[int]] = {}                       # lines by their last frame
    for line, length in enumerate(input_lengths.tolist()):
        finished.setdefault(length - 1, []).append(line)
    padded = np.zeros((n, states.shape[1] + 2))               # two columns of nothing on the left, to step from
    forward, one_before, two_before = padded[:, 2:], padded[:, 1:-1], padded[:, :-2]
    forward[:, 0] = 1.0                                       # before the first frame, in the first blank
    scales, final = np.ones((len(emitted), n, 1)), np.where(ends == 0, 1.0, 0.0)
    for time, (frame, scale) in enumerate(zip(emitted, scales)):
        step = (forward + one_before + two_before * skippable) * frame
        if time % SCALED_EACH == 0:
            np.add(step.sum(1, keepdims=True), TINY, out=scale)
            step /= scale
        forward[:] = step
        if lines := finished.get(time):
            final[lines] = forward[lines, ends[lines]] + np.where(ends[lines] > 0, forward[lines, ends[lines] - 1], 0.0)
    scales[np.arange(len(emitted))[:, None] >= input_lengths] = 1.0                         # frames of the padding
    with np.errstate(divide="ignore"):                        # ln 0: the text does not fit
        return np.minimum(np.log(final) + np.log(scales).sum(0)[:, 0], 0.0)
