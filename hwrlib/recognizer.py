"""Reading: a checkpoint and any images in; texts, their confidence and the place of every character out."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hwrlib.charset import Charset
from hwrlib.ctc import Decoded, Symbol, greedy_lines, word_spans
from hwrlib.images import Normalisation, Normalised, holds_two_lines, is_single, normalise, pad
from hwrlib.reading import CHUNK, Character, Reading, Word
from hwrlib.weights import SHIPPED

if TYPE_CHECKING:  # imported where it is used: an ONNX model is read without torch, whose import takes seconds
    import torch

    from hwrlib.decode import ImageLike
    from hwrlib.language import Decoder, Language
    from hwrlib.model import CRNN
    from hwrlib.onnx.runtime import OnnxModel
    from hwrlib.pages import Line, Page

SURE = 0.6  # confidence; what is read with more holds one line, whatever it looks like
OWN = "own"  # the language that was saved beside the model
LANGUAGE_SUFFIX = ".lm"  # of its file, which is called as the model is


class Recognizer:
    """A trained model, ready to read images.

    Args:
        model: of PyTorch, or for ONNX Runtime.
        charset, normalisation: as `hwrlib.checkpoint.load_model` returns them.
        decoder: the language that the model reads with unless told otherwise; None: greedily.
        config: of the training, for the record.
        metrics: of the checkpoint on the validation split, for the record.
    """

    def __init__(
        self,
        model: CRNN | OnnxModel,
        charset: Charset,
        normalisation: Normalisation,
        *,
        decoder: Decoder | None = None,
        config: dict | None = None,
        metrics: dict | None = None,
    ):
        self.model, self.charset, self.normalisation, self.decoder = model, charset, normalisation, decoder
        self.config, self.metrics = config or {}, metrics or {}

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, *, device: str | torch.device | None = None, decoder: Decoder | str | None = OWN
    ) -> Recognizer:
        """A recogniser from a model checkpoint, or from an ONNX file made of one, with the language model beside it.

        Args:
            path: `.pth` or `.onnx`; the language model has the same name and ends in `.lm`.
            device: where PyTorch reads. By default a checkpoint is read on the GPU if you have one, and an ONNX file by ONNX
                Runtime on the CPU.
            decoder: instead of the language model beside the model.
        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is not a model of this version, is damaged, or holds code.
        """
        if Path(path).suffix.lower() == ".onnx" and device is None:
            from hwrlib.onnx.runtime import OnnxModel

            model = OnnxModel(path)
            about = dict(config=model.config, metrics=model.metrics)
            decoder = _decoder_beside(path, model.charset) if decoder == OWN else decoder
            return cls(model, model.charset, model.normalisation, decoder=decoder, **about)
        import torch

        from hwrlib import checkpoint

        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        model, charset, normalisation, about = checkpoint.load_model(path, device=device)
        decoder = _decoder_beside(path, charset) if decoder == OWN else decoder
        return cls(model, charset, normalisation, decoder=decoder, **about)

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
        return cls.from_checkpoint(SHIPPED[name], device=device)

    @classmethod
    def latest(cls, runs_dir: str | Path = "runs", *, device: str | torch.device | None = None) -> Recognizer:
        """The best model of the run that saved one last.

        Raises:
            FileNotFoundError: no run of the folder has one.
        """
        from hwrlib import checkpoint

        return cls.from_checkpoint(checkpoint.find_checkpoint(checkpoint.latest_run(runs_dir)), device=device)

    def read(
        self,
        images: ImageLike | Sequence[ImageLike],
        *,
        language: Language | Decoder | str | None = OWN,
        alternatives: int = 5,
        batch_size: int = 64,
    ) -> Reading | list[Reading]:
        """Read one image or many.

        Args:
            images: one of what `hwrlib.images.to_grey` accepts (a path, a file, bytes, a PIL image, an array, a tensor), or
                a sequence of them; any size.
            language: by default "own", the language model that was saved beside the model, if there is one. Another one of
                `hwrlib.language` is weighed as the own one is. None reads the most probable class of every frame, without
                any language: as it stands there, for a diplomatic transcription.
            alternatives: other texts in a reading at most.
            batch_size: images that go through the model together.
        Returns:
            A reading for one image, a list of readings in the given order for several.
        Warns:
            UserWarning: an image seems to hold two lines of writing.
        Raises:
            ValueError: an image cannot be read; the message names it. The language belongs to another charset.
        """
        options = dict(language=language, alternatives=alternatives, batch_size=batch_size)
        readings = list(self.read_each(images, **options))
        if double := [number for number, reading in enumerate(readings) if reading.holds_two_lines]:
            which = (
                "" if is_single(images) else f" (number {', '.join(map(str, double[:5]))}{', ...' if double[5:] else ''})"
            )
            warnings.warn(
                f"{len(double)} of {len(readings)} images seem to hold two lines of writing{which}; cut them apart, or use "
                "read_page, which finds the lines",
                stacklevel=2,
            )
        return readings[0] if is_single(images) else readings

    def read_page(
        self, image: ImageLike, *, lines: Sequence[Line] | None = None, language: Language | Decoder | str | None = OWN
    ) -> Page:
        """Find the lines of a page, and read them.

        Args:
            image: one of what `hwrlib.images.to_grey` accepts: a scan or a photo of a page.
            lines: the lines, if they are known; by default `hwrlib.pages.find_lines` finds them.
            language: as for `read`.
        Returns:
            The page: `text`, `lines` in reading order (each with its reading, baseline and polygon), `plot()`, `to_alto()`,
            `to_pagexml()`, `to_hocr()`, and `notes`, sentences about what looks wrong with it.
        Raises:
            ValueError: the image cannot be read.
        """
        from hwrlib.pages.read import read_page

        return read_page(self, image, lines=lines, language=language)

    def read_each(self, images: Iterable[ImageLike], **options) -> Iterator[Reading]:
        """As `read`, one reading at a time: memory does not grow with the number of images."""
        for reading in self.try_read(images, **options):
            if isinstance(reading, ValueError):
                raise reading
            yield reading

    def read_to_csv(
        self,
        paths: Iterable[str | Path] | str | Path,
        table: str | Path,
        *,
        root: str | Path | None = None,
        **options,
    ) -> list[ValueError]:
        """Append file name, text and confidence of every image that the table lacks.

        Rows are written as they come, so a job that was killed continues where it stopped when it is started again; a row
        that was cut short is read again. An image that cannot be read stops nothing. A text or a name that a spreadsheet
        would run as a formula gets an apostrophe before it.

        Args:
            paths: image files; or one file, folder or pattern, as `hwrlib.files.find_images` takes it.
            table: CSV, created if it is missing.
            root: a folder; rows are named by the path below it. By default they are named by the path as given.
            options: `language` and `batch_size`, as for `read`.
        Returns:
            The errors of the images that could not be read, in the order of the images.
        Raises:
            Busy: another process is writing the table.
            ValueError: the table has other columns, or a path is not below the root.
            WriteError: the disk is full or read-only; what was read before is kept.
        """
        from hwrlib.batch.table import read_to_csv

        return read_to_csv(self, paths, table, root=root, **options)

    def try_read(
        self,
        images: Iterable[ImageLike],
        *,
        language: Language | Decoder | str | None = OWN,
        alternatives: int = 5,
        batch_size: int = 64,
    ) -> Iterator[Reading | ValueError]:
        """A reading of each image, or the error if it cannot be read; the arguments are those of `read`.

        Not errors of an image, and raised at once: wrong arguments, damaged weights, and a lack of memory.
        """
        if not (isinstance(batch_size, int) and batch_size >= 1 and isinstance(alternatives, int) and alternatives >= 0):
            raise ValueError(
                f"batch_size must be an integer from 1 and alternatives one from 0, not {batch_size!r} and {alternatives!r}"
            )
        decoder = self._decoder(language)
        remaining = iter([images] if is_single(images) else images)
        while chunk := list(islice(remaining, CHUNK)):
            # One thread: decoding and scaling are so short here that threads would only wait for each other.
            normalised = [self._try_normalise(image) for image in chunk]
            results: dict[int, Reading | ValueError] = {i: e for i, e in enumerate(normalised) if isinstance(e, ValueError)}
            # Lines of similar width together: little padding, so less to compute.
            order = sorted(set(range(len(chunk))) - set(results), key=lambda i: normalised[i].ink.shape[1])
            for first in range(0, len(order), batch_size):
                indices = order[first : first + batch_size]
                lines = [normalised[i] for i in indices]
                results.update(zip(indices, self._read_batch(lines, decoder, alternatives)))
            yield from (results[i] for i in range(len(chunk)))

    def log_probs(self, images: Sequence[ImageLike]) -> list[np.ndarray]:
        """The frames of each image: N arrays (T, C) of natural-log probabilities, to look at or to decode otherwise."""
        images = [images] if is_single(images) else images
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
        log_probs = self.model.infer(images, image_widths)
        # A class may have the probability 0, whose logarithm is -inf; all classes of a frame cannot.
        if not np.isfinite(log_probs.max(axis=2)).all():
            raise ValueError("the model's probabilities are not numbers: its weights are damaged; use another checkpoint")
        return log_probs, image_widths // self.model.stride

    def _decoder(self, language: Language | Decoder | str | None) -> Decoder | None:
        """The decoder for what `read` was given.

        Raises:
            TypeError: it is something else.
            ValueError: the language belongs to another charset.
        """
        if language is None or language == OWN:
            return self.decoder if language else None
        from hwrlib.language import Decoder, Language

        if isinstance(language, Language):
            language = (self.decoder or Decoder(None)).with_language(language)
        if not isinstance(language, Decoder):
            raise TypeError(f"language must be one of hwrlib.language, {OWN!r} or None, not {language!r}")
        if language.language is not None:
            language.language.adapted_to(self.charset)
        return language

    def _read_batch(self, lines: Sequence[Normalised], decoder: Decoder | None, alternatives: int) -> list[Reading]:
        log_probs, input_lengths = self._forward(lines)
        if decoder is None:
            decoded = greedy_lines(log_probs, input_lengths, self.charset)
        else:
            decoded = decoder.decode(log_probs, input_lengths, self.charset, alternatives=alternatives)
        return [self._reading(read, line) for read, line in zip(decoded, lines)]

    def _reading(self, read: Decoded, line: Normalised) -> Reading:
        characters = tuple(self._character(symbol, line) for symbol in read.symbols)
        spans = word_spans("".join(character.text for character in characters))
        words = tuple(
            Word(
                "".join(character.text for character in characters[first:last]),
                characters[first].start,
                characters[last - 1].end,
                confidence,
            )
            for (first, last), confidence in zip(spans, read.word_confidences)
        )
        is_double = read.confidence < SURE and holds_two_lines(line.ink)  # forms have print above a name, which is read well
        return Reading(read.text, read.confidence, characters, words, read.alternatives, is_double)

    def _character(self, symbol: Symbol, line: Normalised) -> Character:
        pixels = self.model.stride / line.scale  # of the given image, per frame
        # Frames of the padding lie beyond the image; what was read there is put at its edge.
        start, end = (min(line.left + frame * pixels, line.right) for frame in (symbol.first_frame, symbol.last_frame + 1))
        return Character(self.charset.decode([symbol.index]), start, end, symbol.confidence)


def _decoder_beside(path: str | Path, charset: Charset) -> Decoder | None:
    """The language model that was saved beside a model of this charset, if there is one.

    Raises:
        ValueError: it is damaged, or belongs to another charset.
    """
    beside = Path(path).with_suffix(LANGUAGE_SUFFIX)
    if not beside.is_file():
        return None
    from hwrlib.language import Decoder

    decoder = Decoder.load(beside)
    try:
        if decoder.language is not None:
            decoder.language.adapted_to(charset)
    except ValueError as error:
        raise ValueError(f"{beside}: not of the model beside it ({error}); delete it, or fit it again") from error
    return decoder
