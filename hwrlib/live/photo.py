"""A photo in the notebook: mark a line of writing, or find all lines of a page, and read."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import numpy as np
import traitlets
from PIL import Image

from hwrlib.decode import to_grey
from hwrlib.live.pad import with_sentence
from hwrlib.models.recognizer import Recognizer
from hwrlib.reader import Reading

if TYPE_CHECKING:
    from hwrlib.decode import ImageLike
    from hwrlib.pages import Page

MAX_SIDE = 2000  # px; the page scales a larger photo down to this before it sends it
MIN_SIDE = 4  # px of a mark; less is a click
LINE_ASPECT = 4  # an image this many times as wide as high is one line, and needs no mark
SENTENCE = (
    "A place for photos of handwriting, which this page cannot show. Open the notebook in JupyterLab 4,\n"
    "VS Code or Colab, with the package anywidget installed, and run the cell."
)

Box = tuple[float, float, float, float]


class PhotoReader(anywidget.AnyWidget):
    """Reads lines in a photo that is dropped, pasted, chosen or taken with the camera.

    The photo is turned as its EXIF data say and scaled down on the page. Every line that is marked with a rectangle is read;
    an image of a single line is read at once, and `read_page` finds and reads all lines of a page. `photo`, `boxes` and
    `readings` are for code: `reader.observe(function, "readings")` calls a function at each reading.

    Args:
        recognizer: by default the shipped `lines`, which read French in mixed case.
    """

    _esm = Path(__file__).with_name("photo.js")
    _css = Path(__file__).with_name("live.css")

    picture = traitlets.Bytes(help="the photo as the page shows it, a JPEG file; empty: none").tag(sync=True)
    shown = traitlets.Dict(help="what the page shows: the lines, or an error").tag(sync=True)
    max_side = traitlets.Int(MAX_SIDE, help="px").tag(sync=True)
    boxes = traitlets.List(help="left, top, right, bottom of each marked line, px of the photo")
    readings = traitlets.List(traitlets.Instance(Reading), help="of the marked lines, in the order of the marks")

    def __init__(self, recognizer: Recognizer | None = None, **traits: Any):
        self.recognizer = recognizer or Recognizer.pretrained("lines")
        self.photo: np.ndarray | None = None  # (H, W) uint8 grey
        super().__init__(**traits)
        self.on_msg(lambda widget, content, buffers: self._receive(content, buffers))

    @property
    def text(self) -> str:
        """The marked lines, one below the other."""
        return "\n".join(reading.text for reading in self.readings)

    def load(self, image: ImageLike) -> None:
        """Show another photo, without marks; read it at once if it is a single line.

        Args:
            image: whatever `Recognizer.read` takes.
        Raises:
            ValueError: the image cannot be read; the photo before stays.
        """
        photo = Image.fromarray(to_grey(image))
        photo.thumbnail((self.max_side, self.max_side), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        photo.save(file, "JPEG", quality=90)
        self.photo, self.picture = np.asarray(photo), file.getvalue()
        is_line = photo.width >= LINE_ASPECT * photo.height
        self.boxes, self.readings = [], []
        if is_line:
            self.mark((0, 0, photo.width, photo.height))
        else:
            self._show()

    def mark(self, box: Sequence[float]) -> Reading:
        """Read a line.

        Args:
            box: left, top, right and bottom in px of the photo; what is outside the photo is cut off.
        Raises:
            ValueError: there is no photo, or less than a few px of it are in the box.
        """
        if self.photo is None:
            raise ValueError("there is no photo yet; drop one, or give one to `load`")
        height, width = self.photo.shape
        left, top, right, bottom = _checked(box)
        left, right = (min(max(x, 0), width) for x in (left, right))
        top, bottom = (min(max(y, 0), height) for y in (top, bottom))
        if min(right - left, bottom - top) < MIN_SIDE:
            raise ValueError(f"a line must be at least {MIN_SIDE} px wide and high; draw a rectangle around it")
        crop = self.photo[math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)]
        reading = self.recognizer.read(crop)
        self.boxes, self.readings = [*self.boxes, (left, top, right, bottom)], [*self.readings, reading]
        self._show()
        return reading

    def read_page(self) -> Page:
        """Find all lines of the photo, mark and read them; marks made before are replaced.

        Raises:
            ValueError: there is no photo.
        """
        if self.photo is None:
            raise ValueError("there is no photo yet; drop one, or give one to `load`")
        page = self.recognizer.read_page(self.photo)
        self.boxes, self.readings = [line.box for line in page.lines], [line.reading for line in page.lines]
        self._show(" ".join(page.notes))
        return page

    def undo(self) -> None:
        """Remove the last mark."""
        self.boxes, self.readings = self.boxes[:-1], self.readings[:-1]
        self._show()

    def clear(self) -> None:
        """Remove all marks."""
        self.boxes, self.readings = [], []
        self._show()

    def _show(self, error: str = "") -> None:
        lines = [
            {"box": list(box), "text": reading.text, "confidence": reading.confidence}
            for box, reading in zip(self.boxes, self.readings)
        ]
        self.shown = {"lines": lines, "error": error, "number": self.shown.get("number", 0) + 1}

    def _receive(self, content: dict[str, Any], buffers: Sequence[memoryview]) -> None:
        """Do what the page asks for; what is wrong with it is shown there."""
        try:
            if content["action"] == "open":
                self.load(bytes(buffers[0]))
            elif content["action"] == "mark":
                self.mark(content["box"])
            else:
                {"page": self.read_page, "undo": self.undo, "clear": self.clear}[content["action"]]()
        except ValueError as error:
            self._show(str(error))

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The widget, and a sentence for pages that cannot show one."""
        return with_sentence(super()._repr_mimebundle_(**options), SENTENCE)


def _checked(box: Sequence[float]) -> Box:
    try:
        left, top, right, bottom = map(float, box)
    except (TypeError, ValueError):
        raise ValueError(f"a box is left, top, right, bottom, not {box!r}") from None
    if not all(map(math.isfinite, (left, top, right, bottom))):
        raise ValueError(f"a box must have finite coordinates, not {box!r}")
    return min(left, right), min(top, bottom), max(left, right), max(top, bottom)
