"""Reading: images of lines in; texts, their confidence and the place of every character out.

An image is normalised, the model turns it into frames (`frames_of`), a decoder turns those into text (`read_lines`).
Nothing here imports torch: a model is whatever has `stride` and `infer`, in PyTorch or in ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hwrlib.charset import Charset
from hwrlib.ctc import Decoded, Symbol, greedy_lines, word_spans
from hwrlib.decode import is_single
from hwrlib.images import Normalisation, Normalised, holds_two_lines, normalise, pad

if TYPE_CHECKING:
    from hwrlib.decode import ImageLike

CHUNK = 256  # images in memory at a time
SURE_OF_ONE_LINE = 0.6  # confidence above which a reading counts as one line, whatever its image looks like


@dataclass(frozen=True)
class Character:
    """One character of a reading and its place."""

    text: str
    start: float  # px from the left edge of the given image
    end: float  # px; CTC's frames mark the middle of a letter more than its edges
    confidence: float  # 0-1, the highest probability among its frames


@dataclass(frozen=True)
class Word:
    """One word of a reading, between white space, and its place."""

    text: str
    start: float  # px from the left edge of the given image
    end: float  # px
    confidence: float  # 0-1, the probability that the word is right


@dataclass(frozen=True)
class Reading:
    """The reading of one image."""

    text: str  # with a `Lexicon`, in the list's spelling
    confidence: float  # 0-1: the probability that the whole text is right
    characters: tuple[Character, ...]  # as the model writes them
    words: tuple[Word, ...] = ()
    alternatives: tuple[tuple[str, float], ...] = ()  # other texts and their probabilities; none if read greedily
    holds_two_lines: bool = False  # the image seems to hold two lines of writing; a model of lines reads neither then


class Reader(Protocol):
    """What reads lines, such as `Recognizer`, which lower levels do not import."""

    def read_each(self, images: Iterable[Any], **options: Any) -> Iterator[Reading]: ...

    def try_read(self, images: Iterable[Any], **options: Any) -> Iterator[Reading | ValueError]: ...


class Model(Protocol):
    """A trained network: `hwrlib.model.CRNN`, or `hwrlib.onnx.runtime.OnnxModel`."""

    stride: int  # px of image width per frame

    def infer(self, images: np.ndarray, image_widths: np.ndarray) -> np.ndarray: ...


# log_probs (T, N, C), input_lengths (N,), charset -> what is written in each line
Decode = Callable[[np.ndarray, np.ndarray, Charset], list[Decoded]]


def frames_of(model: Model, images: np.ndarray, image_widths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The output of a model for a batch: `log_probs (T, N, C)` and `input_lengths (N,)`, the valid frames of each line.

    Args:
        model: the network, in evaluation mode afterwards.
        images: (N, 1, H, W) uint8 ink, as `pad` or `ctc_collate` returns it.
        image_widths: (N,) px of each image that are not padding.
    Raises:
        ValueError: the model's output is not a number somewhere.
    """
    log_probs = model.infer(images, image_widths)
    # A class may have the probability 0, whose logarithm is -inf; all classes of a frame cannot.
    if not np.isfinite(log_probs.max(axis=2)).all():
        raise ValueError("the model's probabilities are not numbers: its weights are damaged; use another checkpoint")
    return log_probs, image_widths // model.stride


def read_lines(
    model: Model,
    charset: Charset,
    normalisation: Normalisation,
    images: Iterable[ImageLike],
    *,
    decode: Decode = greedy_lines,
    batch_size: int = 64,
) -> Iterator[Reading | ValueError]:
    """A reading of each image of a line, in the given order, or the error if the image cannot be read.

    Args:
        model, charset, normalisation: of one checkpoint.
        images: whatever `to_grey` accepts; memory does not grow with their number.
        decode: turns frames into texts; by default, the most probable class of every frame.
        batch_size: images that go through the model together.
    Raises:
        ValueError: a wrong argument, or damaged weights.
    """
    if not (isinstance(batch_size, int) and batch_size >= 1):
        raise ValueError(f"batch_size must be an integer from 1, not {batch_size!r}")
    remaining = iter([images] if is_single(images) else images)
    while chunk := list(islice(remaining, CHUNK)):
        # One thread: decoding and scaling are so short here that threads would only wait for each other.
        lines = [_try_normalise(image, normalisation) for image in chunk]
        results: dict[int, Reading | ValueError] = {i: e for i, e in enumerate(lines) if isinstance(e, ValueError)}
        # Lines of similar width together: little padding, so less to compute.
        order = sorted(set(range(len(chunk))) - set(results), key=lambda i: lines[i].ink.shape[1])
        for first in range(0, len(order), batch_size):
            indices = order[first : first + batch_size]
            log_probs, input_lengths = frames_of(model, *pad([lines[i].ink for i in indices]))
            decoded = decode(log_probs, input_lengths, charset)
            results.update((i, _reading(read, lines[i], charset, model.stride)) for i, read in zip(indices, decoded))
        yield from (results[i] for i in range(len(chunk)))


def _try_normalise(image: ImageLike, normalisation: Normalisation) -> Normalised | ValueError:
    try:
        return normalise(image, normalisation)
    except ValueError as error:
        return error


def _reading(read: Decoded, line: Normalised, charset: Charset, stride: int) -> Reading:
    characters = tuple(_character(symbol, line, charset, stride) for symbol in read.symbols)
    spans = word_spans("".join(character.text for character in characters))
    words = tuple(_word(characters[slice(*span)], p) for span, p in zip(spans, read.word_confidences))
    # Skipped if the reading is confident: on forms, print above a name does not disturb it.
    is_double = read.confidence < SURE_OF_ONE_LINE and holds_two_lines(line.ink)
    return Reading(read.text, read.confidence, characters, words, read.alternatives, is_double)


def _character(symbol: Symbol, line: Normalised, charset: Charset, stride: int) -> Character:
    pixels = stride / line.scale  # of the given image, per frame
    # Frames of the padding lie beyond the image; what was read there is put at its edge.
    start, end = (min(line.left + frame * pixels, line.right) for frame in (symbol.first_frame, symbol.last_frame + 1))
    return Character(charset.decode([symbol.index]), start, end, symbol.confidence)


def _word(characters: Sequence[Character], confidence: float) -> Word:
    text = "".join(character.text for character in characters)
    return Word(text, characters[0].start, characters[-1].end, confidence)
