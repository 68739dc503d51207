"""A pad to write on: at each lifted stroke the text is read and shown under the ink, with the frames that say it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import cv2
import numpy as np
import traitlets

from hwrlib.images import normalise
from hwrlib.models.recognizer import Recognizer
from hwrlib.reader import Reading

MAX_POINTS = 100_000  # of all strokes: hours of writing
FRACTION_BITS = 4  # fractional bits of the coordinates given to OpenCV
FALLBACK = (
    "A pad to write on, which this page cannot show. Open the notebook in JupyterLab 4,\n"
    "VS Code or Colab, with the package anywidget installed, and run the cell."
)

Point = tuple[float, float]


class WritingPad(anywidget.AnyWidget):
    """A pad to write on with a mouse, a pen or a finger, read at each lifted stroke.

    The ink, the text, its confidence, other readings and the frames are shown on the page; `image` and `reading` are for
    code: `pad.observe(function, "reading")` calls a function at each reading.

    Args:
        recognizer: by default the shipped `names`, which read capital letters.
        width, height: of the pad in px.
        pen: width of the pen in px.
    """

    _esm = Path(__file__).with_name("pad.js")
    _css = Path(__file__).with_name("live.css")

    width = traitlets.Int(640, help="px").tag(sync=True)
    height = traitlets.Int(160, help="px").tag(sync=True)
    pen = traitlets.Float(5, min=1, max=40, help="px, width of the pen").tag(sync=True)
    strokes = traitlets.List(help="the ink: a list of (x, y) for each stroke, px from the upper left corner")
    reading = traitlets.Instance(Reading, allow_none=True, help="of the ink; None while the pad is empty")
    # What the page gets. It sends its ink as messages instead, numbered: a trait that both sides write would lose strokes.
    ink = traitlets.Dict(help="the strokes and the number of their last change").tag(sync=True)
    shown = traitlets.Dict(help="what is shown of the reading, and the change that it belongs to").tag(sync=True)

    def __init__(self, recognizer: Recognizer | None = None, **traits: Any):
        self.recognizer, self._change = recognizer or Recognizer.pretrained("names"), 0
        super().__init__(**traits)
        self.on_msg(lambda widget, content, buffers: self._receive(content))
        self._read()

    @property
    def image(self) -> np.ndarray:
        """The ink as an image: (height, width) uint8, black on white."""
        page = np.full((self.height, self.width), 255, np.uint8)
        lines = [np.round(np.array(stroke, float) * (1 << FRACTION_BITS)).astype(np.int32) for stroke in self.strokes]
        cv2.polylines(page, lines, False, 0, max(round(self.pen), 1), cv2.LINE_AA, FRACTION_BITS)
        return page

    def clear(self) -> None:
        """Remove all ink."""
        self.strokes = []

    def undo(self) -> None:
        """Remove the last stroke."""
        self.strokes = self.strokes[:-1]

    @traitlets.validate("strokes")
    def _checked_strokes(self, proposal: traitlets.Bunch) -> list[list[Point]]:
        """Strokes of finite numbers; points beyond the pad are put on its edge.

        Raises:
            TraitError: a stroke is not a list of points, or there are too many.
        """
        strokes = proposal.value
        if sum(map(len, strokes)) > MAX_POINTS:
            raise traitlets.TraitError(f"more than {MAX_POINTS:,} points; clear the pad")
        return [[self._on_pad(point) for point in stroke] for stroke in strokes if stroke]

    def _on_pad(self, point: Sequence[float]) -> Point:
        try:
            x, y = map(float, point)
        except (TypeError, ValueError):
            raise traitlets.TraitError(f"a stroke is a list of points (x, y), not of {point!r}") from None
        if not (math.isfinite(x) and math.isfinite(y)):
            raise traitlets.TraitError(f"a point must have finite coordinates, not {point!r}")
        return min(max(x, 0.0), float(self.width)), min(max(y, 0.0), float(self.height))

    def _receive(self, content: dict[str, Any]) -> None:
        """Take over the ink that the page sends; what is wrong with it is shown there."""
        self._change = content["change"] - 1  # reading it counts as the change
        try:
            before, self.strokes = self.strokes, content["strokes"]
            if self.strokes == before:
                self._read()
        except traitlets.TraitError as error:
            self.shown = {"change": content["change"], "error": str(error)}

    @traitlets.observe("strokes", "pen")
    def _read(self, event: traitlets.Bunch | None = None) -> None:
        """Read the ink, and show what was read."""
        self._change += 1
        self.ink = {"change": self._change, "strokes": self.strokes}
        if not self.strokes:
            self.reading, self.shown = None, {"change": self._change}
            return
        image = self.image
        self.reading = self.recognizer.read([image])[0]
        self.shown = {
            "change": self._change,
            "text": self.reading.text,
            "confidence": self.reading.confidence,
            "alternatives": [list(pair) for pair in self.reading.alternatives[:4]],
            "frames": frames_of(self.recognizer, image),
        }

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The widget, and a sentence for pages that cannot show one."""
        return with_sentence(super()._repr_mimebundle_(**options), FALLBACK)


def with_sentence(bundle: Any, sentence: str) -> Any:
    """What a page gets of a widget, with a sentence for pages that cannot show one."""
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    if data:
        data["text/plain"] = sentence
    return bundle


def frames_of(recognizer: Recognizer, image: np.ndarray) -> list[tuple[float, float, str, float]]:
    """What the network says at each frame, and where the frame is.

    Args:
        recognizer: that reads.
        image: whatever `Recognizer.read` takes.
    Returns:
        For each frame: left and right end in px of the image, the likeliest character ("" for the blank), its probability.
    """
    line = normalise(image, recognizer.normalisation)
    (log_probs,) = recognizer.log_probs([image])
    px = recognizer.model.stride / line.scale
    frames = []
    for number, (index, log_prob) in enumerate(zip(log_probs.argmax(1).tolist(), log_probs.max(1).tolist())):
        left = line.left + number * px
        if left < line.right:  # the rest is padding
            text = recognizer.charset.decode([index])
            frames.append((round(left, 1), round(min(left + px, line.right), 1), text, round(math.exp(log_prob), 3)))
    return frames
