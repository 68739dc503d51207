"""`Recognizer`: a trained model that reads images of lines, and whole pages."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hwrlib.charset import Charset
from hwrlib.common.extras import require
from hwrlib.ctc import greedy_lines
from hwrlib.decode import is_single
from hwrlib.images import Normalisation, normalise, pad
from hwrlib.language import Decoder, Language
from hwrlib.models.locate import find_checkpoint, latest_run
from hwrlib.models.table import read_to_csv
from hwrlib.pages.page import Line, Page
from hwrlib.pages.read import read_page
from hwrlib.reader import Model, Reading, frames_of, read_lines
from hwrlib.weights import SHIPPED

if TYPE_CHECKING:
    import torch

    from hwrlib.decode import ImageLike

OWN = "own"  # the language that was saved beside the model
LANGUAGE_SUFFIX = ".lm"  # of its file, which is called as the model is


class Recognizer:
    """A trained model, ready to read images.

    Args:
        model: of PyTorch, or for ONNX Runtime.
        charset, normalisation: of the model.
        decoder: the language that the model reads with unless told otherwise; None: greedily.
        config: of the training, for the record.
        metrics: of the checkpoint on the validation split, for the record.
    Attributes:
        path: of the model's file, if it was read from one.
    """

    path: Path | None = None

    def __init__(
        self,
        model: Model,
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
    def load(
        cls, source: str | Path = "", *, runs: str | Path = "runs", device: str | torch.device | None = None
    ) -> Recognizer:
        """A recogniser with the model that a user means.

        Args:
            source: the name of shipped weights ("names": block capitals on forms; "lines": French handwriting), a checkpoint
                or ONNX file, or a run's folder, which stands for its best model; "": the best model of the latest run.
            runs: the folder of all runs.
            device: as for `from_checkpoint`.
        Raises:
            FileNotFoundError: there is no such model.
            ValueError: it is damaged, or not a model of this version.
        """
        return cls.from_checkpoint(find_checkpoint(source or latest_run(runs)), device=device)

    @classmethod
    def pretrained(cls, name: str, *, device: str | torch.device | None = None) -> Recognizer:
        """A recogniser with weights that come with the package; see their model cards in `hwrlib/weights/`.

        Args:
            name: "names" (names in block capitals on forms) or "lines" (lines of French handwriting, mixed case).
            device: as for `from_checkpoint`; "cpu" is the fastest for many images if the processor multiplies 16-bit floats.
        Raises:
            ValueError: there are no weights of this name.
        """
        if name not in SHIPPED:
            raise ValueError(f"no shipped weights are called {name!r}; there are: {', '.join(SHIPPED)}")
        return cls.from_checkpoint(SHIPPED[name], device=device)

    @classmethod
    def latest(cls, runs: str | Path = "runs", *, device: str | torch.device | None = None) -> Recognizer:
        """The best model of the run that saved one last.

        Raises:
            FileNotFoundError: no run of the folder has one.
        """
        return cls.load(runs=runs, device=device)

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, *, device: str | torch.device | None = None, decoder: Decoder | str | None = OWN
    ) -> Recognizer:
        """A recogniser from a model checkpoint, or from an ONNX file made of one, with the language model beside it.

        Args:
            path: `.pth` or `.onnx`; the language model has the same name and ends in `.lm`.
            device: where PyTorch reads. By default a checkpoint is read on the GPU if you have one, and an ONNX file by ONNX
                Runtime on the CPU, which starts in a third of a second and needs no PyTorch.
            decoder: instead of the language model beside the model.
        Raises:
            FileNotFoundError: there is no such file.
            MissingExtra: PyTorch is needed and not installed; the message names the extra.
            ValueError: it is not a model of this version, is damaged, or holds code.
        """
        if Path(path).suffix.lower() == ".onnx" and device is None:
            from hwrlib.onnx.runtime import OnnxModel

            model = OnnxModel(path)
            charset, normalisation, about = model.charset, model.normalisation, (model.config, model.metrics)
        else:
            model, charset, normalisation, about = _load_with_torch(path, device)
        decoder = _decoder_beside(path, charset) if decoder == OWN else decoder
        recognizer = cls(model, charset, normalisation, decoder=decoder, config=about[0], metrics=about[1])
        recognizer.path = Path(path)
        return recognizer

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
            images: one of what `hwrlib.decode.to_grey` accepts (a path, a file, bytes, a PIL image, an array, a tensor), or
                a sequence of them; any size.
            language: by default "own", the language model that was saved beside the model, if there is one. Another one of
                `hwrlib.language` is weighed as the own one is. None reads the most probable class of every frame, without
                any language: exactly as written, for a diplomatic transcription.
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
            image: one of what `hwrlib.decode.to_grey` accepts: a scan or a photo of a page.
            lines: the lines, if they are known; by default `hwrlib.pages.find_lines` finds them.
            language: as for `read`.
        Returns:
            The page: `text`, `lines` in reading order (each with its reading, baseline and polygon), `plot()`, `to_alto()`,
            `to_pagexml()`, `to_hocr()`, and `notes`, sentences about what looks wrong with it.
        Raises:
            ValueError: the image cannot be read.
        """
        return read_page(self, image, lines=lines, language=language)

    def read_each(self, images: Iterable[ImageLike], **options) -> Iterator[Reading]:
        """As `read`, one reading at a time: memory does not grow with the number of images."""
        for reading in self.try_read(images, **options):
            if isinstance(reading, ValueError):
                raise reading
            yield reading

    def read_to_csv(
        self, paths: Iterable[str | Path] | str | Path, table: str | Path, *, root: str | Path | None = None, **options
    ) -> list[ValueError]:
        """Append file name, text and confidence of every image that the table lacks.

        Rows are written as they come, so a job that was killed continues where it stopped when it is started again; a row
        that was cut short is read again. An image that cannot be read stops nothing. A text or a name that a spreadsheet
        would run as a formula gets an apostrophe before it.

        Args:
            paths: image files; or one file, folder or pattern, as `hwrlib.common.files.find_images` takes it.
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
        if not (isinstance(alternatives, int) and alternatives >= 0):
            raise ValueError(f"alternatives must be an integer from 0, not {alternatives!r}")
        decoder = self._decoder(language)
        decode = partial(decoder.decode, alternatives=alternatives) if decoder else greedy_lines
        model = self.model, self.charset, self.normalisation
        yield from read_lines(*model, images, decode=decode, batch_size=batch_size)

    def log_probs(self, images: Sequence[ImageLike]) -> list[np.ndarray]:
        """The frames of each image: N arrays (T, C) of natural-log probabilities, to look at or to decode otherwise."""
        images = [images] if is_single(images) else images
        lines = [normalise(image, self.normalisation).ink for image in images]
        log_probs, lengths = frames_of(self.model, *pad(lines))
        return [log_probs[:length, n] for n, length in enumerate(lengths.tolist())]

    def _decoder(self, language: Language | Decoder | str | None) -> Decoder | None:
        """The decoder for what `read` was given.

        Raises:
            TypeError: it is something else.
            ValueError: the language belongs to another charset.
        """
        if language is None or language == OWN:
            return self.decoder if language else None
        if isinstance(language, Language):
            language = (self.decoder or Decoder(None)).with_language(language)
        if not isinstance(language, Decoder):
            raise TypeError(f"language must be one of hwrlib.language, {OWN!r} or None, not {language!r}")
        if language.language is not None:
            language.language.adapted_to(self.charset)
        return language


def _load_with_torch(
    path: str | Path, device: str | torch.device | None
) -> tuple[Model, Charset, Normalisation, tuple[dict, dict]]:
    if Path(path).suffix.lower() == ".onnx":
        require("train", f"{path}: device={str(device)!r} (instead of ONNX Runtime on the CPU)", "torch", "onnx")
    else:
        require("train", f"{path}: a PyTorch checkpoint", "torch")
    import torch

    from hwrlib.models.checkpoint import load_model
    from hwrlib.models.precision import resolve_precision

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    model, charset, normalisation, about = load_model(path, device=device)
    model.precision = resolve_precision("auto", torch.device(device))
    return model, charset, normalisation, (about["config"], about["metrics"])


def _decoder_beside(path: str | Path, charset: Charset) -> Decoder | None:
    """The language model that was saved beside a model of this charset, if there is one.

    Raises:
        ValueError: it is damaged, or belongs to another charset.
    """
    beside = Path(path).with_suffix(LANGUAGE_SUFFIX)
    if not beside.is_file():
        return None
    decoder = Decoder.load(beside)
    try:
        if decoder.language is not None:
            decoder.language.adapted_to(charset)
    except ValueError as error:
        raise ValueError(f"{beside}: not of the model beside it ({error}); delete it, or fit it again") from error
    return decoder
