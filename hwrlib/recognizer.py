"""Reading: a checkpoint and any images in; texts, their confidence and the place of every character out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from hwrlib.charset import Charset
from hwrlib.ctc import Symbol, greedy_symbols, text_log_probabilities
from hwrlib.images import Normalisation, Normalised, normalise, pad
from hwrlib.weights import SHIPPED

if TYPE_CHECKING:  # imported where it is used: an ONNX model is read without torch, whose import takes seconds
    import torch

    from hwrlib.images import ImageLike
    from hwrlib.language import Language
    from hwrlib.model import CRNN
    from hwrlib.onnx.runtime import OnnxModel

CHUNK = 256  # images in memory at a time


@dataclass(frozen=True)
class Character:
    """One character of a reading and its place."""

    text: str
    start: float  # px from the left edge of the given image
    end: float  # px; CTC's frames mark the middle of a letter more than its edges
    confidence: float  # 0-1, the highest probability among its frames


@dataclass(frozen=True)
class Reading:
    """What was read in one image."""

    text: str
    confidence: float  # 0-1: the model's probability that the whole text is right
    characters: tuple[Character, ...]
    alternatives: tuple[tuple[str, float], ...] = ()  # other texts and their probabilities, if read with a language


class Recognizer:
    """A trained model, ready to read images.

    Args:
        model: of PyTorch, or for ONNX Runtime.
        charset, normalisation: as `hwrlib.checkpoint.load_model` returns them.
        config: of the training, for the record.
        metrics: of the checkpoint on the validation split, for the record.
    """

    def __init__(
        self,
        model: CRNN | OnnxModel,
        charset: Charset,
        normalisation: Normalisation,
        *,
        config: dict | None = None,
        metrics: dict | None = None,
    ):
        self.model, self.charset, self.normalisation = model, charset, normalisation
        self.config, self.metrics = config or {}, metrics or {}

    @classmethod
    def from_checkpoint(cls, path: str | Path, *, device: str | torch.device | None = None) -> Recognizer:
        """A recogniser from a model checkpoint, or from an ONNX file made of one.

        Args:
            path: `.pth` or `.onnx`.
            device: of a checkpoint, by default the GPU if you have one; an ONNX file is for the CPU.
        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is not a model of this version, is damaged, or holds code.
        """
        if Path(path).suffix == ".onnx":
            from hwrlib.onnx.runtime import OnnxModel

            model = OnnxModel(path)
            return cls(model, model.charset, model.normalisation, config=model.config, metrics=model.metrics)
        import torch

        from hwrlib import checkpoint

        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        model, charset, normalisation, about = checkpoint.load_model(path, device=device)
        return cls(model, charset, normalisation, **about)

    @classmethod
    def pretrained(cls, name: str, *, device: str | torch.device | None = None) -> Recognizer:
        """A recogniser with weights that come with the package; see their model cards in `hwrlib/weights/`.

        Args:
            name: "names" (names in block capitals on forms) or "lines" (lines of French handwriting, mixed case).
            device: where PyTorch reads, "cuda" for instance; "cpu" is the fastest for many images if the processor
                multiplies 16-bit floats. By default ONNX Runtime reads on the CPU, which starts in a third of a second.
        Raises:
            ValueError: there are no weights of this name.
        """
        if name not in SHIPPED:
            raise ValueError(f"no shipped weights are called {name!r}; there are: {', '.join(SHIPPED)}")
        return cls.from_checkpoint(SHIPPED[name] if device else SHIPPED[name].with_suffix(".onnx"), device=device)

    @classmethod
    def latest(cls, runs_dir: str | Path = "runs", *, device: str | torch.device | None = None) -> Recognizer:
        """The best model of the run that saved one last.

        Raises:
            FileNotFoundError: no run of the folder has one.
        """
        from hwrlib import checkpoint

        return cls.from_checkpoint(checkpoint.find_checkpoint(checkpoint.latest_run(runs_dir)), device=device)

    def read(
        self, images: ImageLike | Sequence[ImageLike], *, language: Language | None = None, batch_size: int = 64
    ) -> Reading | list[Reading]:
        """Read one image or many.

        Args:
            images: one of what `hwrlib.images.to_grey` accepts (a path, a file, bytes, a PIL image, an array, a tensor), or
                a sequence of them; any size.
            language: of `hwrlib.language`; beam search weighs it against the image, and the confidence is that of the text
                among the final beams. By default the most probable class of every frame is read, as it stands there.
            batch_size: images that go through the model together.
        Returns:
            A reading for one image, a list of readings in the given order for several.
        Raises:
            ValueError: an image cannot be read; the message names it.
        """
        if (
            isinstance(images, (str, Path, bytes, bytearray, Image.Image, np.ndarray))
            or hasattr(images, "read")
            or hasattr(images, "detach")
        ):
            return next(self.read_each([images], language=language, batch_size=batch_size))
        return list(self.read_each(images, language=language, batch_size=batch_size))

    def read_each(
        self, images: Iterable[ImageLike], *, language: Language | None = None, batch_size: int = 64
    ) -> Iterator[Reading]:
        """As `read`, one reading at a time: memory does not grow with the number of images."""
        for reading in self.try_read(images, language=language, batch_size=batch_size):
            if isinstance(reading, ValueError):
                raise reading
            yield reading

    def read_to_csv(
        self, paths: Iterable[str | Path], table: str | Path, *, root: str | Path | None = None, batch_size: int = 64
    ) -> list[ValueError]:
        """Append file name, text and confidence of every image that the table lacks.

        Rows are written as they come, so a job that was killed continues where it stopped when it is started again; a row
        that was cut short is read again. An image that cannot be read stops nothing.

        Args:
            paths: image files.
            table: CSV, created if it is missing.
            root: a folder; rows are named by the path below it. By default they are named by the path as given.
            batch_size: images that go through the model together.
        Returns:
            The errors of the images that could not be read, in the order of the images.
        Raises:
            ValueError: the table has other columns, or a path is not below the root.
            WriteError: the disk is full or read-only; what was read before is kept.
        """
        from hwrlib.batch.table import read_to_csv

        return read_to_csv(self, paths, table, root=root, batch_size=batch_size)

    def try_read(
        self, images: Iterable[ImageLike], *, language: Language | None = None, batch_size: int = 64
    ) -> Iterator[Reading | ValueError]:
        """A reading of each image, or the error if it cannot be read."""
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        remaining = iter(images)
        while chunk := list(islice(remaining, CHUNK)):
            # One thread: decoding and scaling are so short here that threads would only wait for each other.
            normalised = [self._try_normalise(image) for image in chunk]
            results: dict[int, Reading | ValueError] = {i: e for i, e in enumerate(normalised) if isinstance(e, ValueError)}
            # Lines of similar width together: little padding, so less to compute.
            order = sorted(set(range(len(chunk))) - set(results), key=lambda i: normalised[i].ink.shape[1])
            for first in range(0, len(order), batch_size):
                indices = order[first : first + batch_size]
                results.update(zip(indices, self._read_batch([normalised[i] for i in indices], language)))
            yield from (results[i] for i in range(len(chunk)))

    def log_probs(self, images: Sequence[ImageLike]) -> list[np.ndarray]:
        """The frames of each image: N arrays (T, C) of natural-log probabilities, to look at or to decode otherwise."""
        log_probs, lengths = self._forward([normalise(image, self.normalisation) for image in images])
        return [log_probs[:length, n] for n, length in enumerate(lengths.tolist())]

    def _try_normalise(self, image: ImageLike) -> Normalised | ValueError:
        try:
            return normalise(image, self.normalisation)
        except ValueError as error:
            return error

    def _forward(self, lines: Sequence[Normalised]) -> tuple[np.ndarray, np.ndarray]:
        """`log_probs (T, N, C)` and `input_lengths (N,)`."""
        images, image_widths = pad([line.ink for line in lines])
        return self.model.infer(images, image_widths), image_widths // self.model.stride

    def _read_batch(self, lines: Sequence[Normalised], language: Language | None) -> list[Reading]:
        log_probs, input_lengths = self._forward(lines)
        if language is None:
            symbols = greedy_symbols(log_probs, input_lengths)
            texts = [[symbol.index for symbol in line] for line in symbols]
            confidences = np.exp(text_log_probabilities(log_probs, input_lengths, texts)).tolist()
            alternatives: list[tuple] = [()] * len(lines)
        else:
            from hwrlib.language import beam_symbols

            symbols, confidences, alternatives = beam_symbols(log_probs, input_lengths, language, charset=self.charset)
        readings = []
        for line, line_symbols, confidence, others in zip(lines, symbols, confidences, alternatives):
            characters = tuple(self._character(symbol, line) for symbol in line_symbols)
            readings.append(Reading("".join(c.text for c in characters), confidence, characters, others))
        return readings

    def _character(self, symbol: Symbol, line: Normalised) -> Character:
        pixels = self.model.stride / line.scale  # of the given image, per frame
        # Frames of the padding lie beyond the image; what was read there is put at its edge.
        start, end = (min(line.left + frame * pixels, line.right) for frame in (symbol.first_frame, symbol.last_frame + 1))
        return Character(self.charset.decode([symbol.index]), start, end, symbol.confidence)
