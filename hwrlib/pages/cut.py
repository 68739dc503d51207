"""Cut a line out of its page: along its baseline, straightened, with paper where its outline ends."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from hwrlib.pages.geometry import normals, smoothed
from hwrlib.pages.line import Line

MAX_REACH = 400  # px above or below a baseline; more is no line but a fault of its outline
SMOOTH = 1.0  # the baseline is smoothed over this part of the line's height
MARGIN = 2  # px around the outline


class Cut(NamedTuple):
    """A line cut out of its page."""

    image: np.ndarray  # (H, W) uint8 grey levels, the baseline horizontal
    start: float  # px along the line from the left edge of the image to the baseline's first point


def cut_line(grey: np.ndarray, line: Line) -> Cut:
    """A line as an image of its own, one px of the page per px; letters of its neighbours outside its outline are paper.

    Args:
        grey: (H, W) uint8, the page.
        line: its baseline may be curved and run in any direction.
    """
    height = _height(line)
    curve, before = _extended(smoothed(line.baseline, SMOOTH * height), line.polygon)
    across = normals(curve)
    above, below = _reaches(curve, across, line.polygon)
    steps = np.arange(above + MARGIN, -(below + MARGIN) - 1, -1)
    places = (curve[None] + steps[:, None, None] * across[None]).astype(np.float32)
    image = cv2.remap(grey, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = _inside(places, line.polygon)
    if inside.any():
        image[~inside] = _paper(image, inside)
    return Cut(image, float(before))


def _height(line: Line) -> float:
    """About the height of a line: its area over its length."""
    length = max(float(np.hypot(*np.diff(line.baseline, axis=0).T).sum()), 1.0)
    return cv2.contourArea(line.polygon.astype(np.float32)) / length


def _extended(curve: np.ndarray, polygon: np.ndarray) -> tuple[np.ndarray, int]:
    """The curve, straight on at both ends as far as the polygon reaches, and how many px were added before it."""
    ends = []
    for end, inner in ((curve[0], curve[min(30, len(curve) - 1)]), (curve[-1], curve[-min(31, len(curve))])):
        along = (end - inner) / max(np.hypot(*(end - inner)), 1e-9)
        count = int(np.ceil(max(((polygon - end) @ along).max(), 0))) + MARGIN
        ends.append(end + along * np.arange(1, min(count, MAX_REACH) + 1)[:, None])
    return np.concatenate([ends[0][::-1], curve, ends[1]]), len(ends[0])


def _reaches(curve: np.ndarray, across: np.ndarray, polygon: np.ndarray) -> tuple[int, int]:
    """How far the polygon reaches above and below the curve, px."""
    nearest = ((polygon[:, None] - curve[None, ::4]) ** 2).sum(axis=2).argmin(axis=1) * 4
    heights = ((polygon - curve[nearest]) * across[nearest]).sum(axis=1)
    return tuple(int(np.ceil(np.clip(reach, 1, MAX_REACH))) for reach in (heights.max(), -heights.min()))


def _inside(places: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Which places (H, W, 2) lie within the polygon."""
    low = np.floor(polygon.min(axis=0)) - 1
    width, height = (np.ceil(polygon.max(axis=0)) + 2 - low).astype(int)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.round(polygon - low).astype(np.int32)], 1)
    x, y = (places - low.astype(np.float32)).transpose(2, 0, 1)
    return cv2.remap(mask, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0) > 0


def _paper(image: np.ndarray, inside: np.ndarray) -> int:
    """The grey level of the paper in a line: writing covers less than half of it."""
    return int(np.percentile(image[inside], 60))
