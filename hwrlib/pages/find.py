"""Find the lines of a page: the network's maps, baselines from them, outlines around them, in reading order."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hwrlib.decode import to_grey
from hwrlib.pages.curves import Curve, join, ridges, trace
from hwrlib.pages.ink import page_ink, page_scale, resized
from hwrlib.pages.line import Line
from hwrlib.pages.maps import ABOVE, BASELINE, BELOW, DEPTH, ENDS, STRIDE
from hwrlib.pages.order import in_reading_order
from hwrlib.pages.outlines import outlines

if TYPE_CHECKING:
    from hwrlib.decode import ImageLike

WEIGHTS = Path(__file__).parent.parent / "weights" / "pages.onnx"
THRESHOLD = 0.2  # probability; a weaker point is on no baseline
MIN_STRENGTH = 0.55  # mean probability along a baseline
SHORTEST = 1.0  # heights; a shorter line is a blot


def find_lines(image: ImageLike, *, network: Network | None = None) -> list[Line]:
    """The lines of writing on a page, in reading order.

    Args:
        image: whatever `hwrlib.decode.to_grey` takes: a scan or a photo of a page, its lines within 45° of horizontal.
        network: other weights than the shipped ones.
    Returns:
        Lines with baseline and polygon in px of the image, and the block each belongs to; none on an empty page.
    Raises:
        ValueError: the image cannot be read.
    """
    return lines_along(image, lambda ink: find_curves((network or shipped())(ink)))


def lines_along(image: ImageLike, curves_of: Callable[[np.ndarray], list[Curve]]) -> list[Line]:
    """The lines of a page, in reading order and with outlines, whose baselines a function finds.

    Args:
        image: as for `find_lines`.
        curves_of: from ink (H, W) to curves in px of the maps.
    """
    grey = to_grey(image)
    ink = page_ink(resized(grey, page_scale(grey.shape)))
    ratio = np.array(grey.shape[::-1]) / ink.shape[::-1]
    lines = outlines(curves_of(ink), ink)
    return in_reading_order([Line(baseline * ratio, polygon * ratio) for baseline, polygon in lines])


class Network:
    """The weights of a `LineNetwork`, run by ONNX Runtime."""

    def __init__(self, path: str | Path):
        from hwrlib.onnx.runtime import session

        self.session = session(path)

    def __call__(self, ink: np.ndarray) -> np.ndarray:
        """Maps (4, H / 4, W / 4) of ink (H, W): probabilities of baselines and their ends, and heights in px of the maps."""
        height, width = (-(-side // DEPTH) * DEPTH for side in ink.shape)
        padded = np.zeros((1, 1, height, width), np.float32)
        padded[0, 0, : ink.shape[0], : ink.shape[1]] = ink / np.float32(255)
        maps = self.session.run(None, {"ink": padded})[0][0]
        return maps[:, : -(-ink.shape[0] // STRIDE), : -(-ink.shape[1] // STRIDE)]


@cache
def shipped() -> Network:
    """The shipped weights; see `hwrlib/weights/pages.md`."""
    return Network(WEIGHTS)


def find_curves(maps: np.ndarray) -> list[Curve]:
    """Baselines on the network's maps, with how far their lines reach above and below; px of the maps."""
    baseline, ends = maps[BASELINE], maps[ENDS]
    strength = baseline * (1 - ends)
    curves = [_measured(curve, maps) for curve in trace(ridges(strength, THRESHOLD), strength)]
    curves = join(curves, ends)
    curves = [curve for curve in curves if curve.strength > MIN_STRENGTH and len(curve.x) > SHORTEST * max(curve.height, 4)]
    return curves


def _measured(curve: Curve, maps: np.ndarray) -> Curve:
    rows = np.round(curve.y).astype(int)
    curve.above, curve.below = (float(np.median(maps[channel][rows, curve.x])) for channel in (ABOVE, BELOW))
    return curve
