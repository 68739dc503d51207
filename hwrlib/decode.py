"""From frames to text: CTC says one class for every frame; decoding collapses repeats and drops blanks."""

from typing import NamedTuple

from torch import Tensor

from hwrlib.charset import BLANK


class Symbol(NamedTuple):
    """One decoded character and the frames it was read from."""

    index: int           # class
    first_frame: int
    last_frame: int      # inclusive
    confidence: float    # the highest probability among its frames


def greedy_decode(log_probs: Tensor, input_lengths: Tensor) -> list[list[int]]:
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


def greedy_symbols(log_probs: Tensor, input_lengths: Tensor) -> list[list[Symbol]]:
    """As :func:`greedy_decode`, with the frames and the confidence of every character.

    Args:
        log_probs: (T, N, C) natural-log probabilities.
        input_lengths: (N,) valid frames, each at most T.
    Returns:
        N lists of symbols, in reading order.
    Raises:
        ValueError: a length exceeds T.
    """
    if len(input_lengths) and int(input_lengths.max()) > len(log_probs):
        raise ValueError(f"input_lengths reach {int(input_lengths.max())}, but there are {len(log_probs)} frames")
    best, classes = log_probs.max(dim=-1)
    probabilities, classes = best.exp().T.tolist(), classes.T.tolist()
    return [_collapse(classes[n][:length], probabilities[n]) for n, length in enumerate(input_lengths.tolist())]


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
