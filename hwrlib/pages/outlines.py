"""Outlines around baselines: as far as the network says that a line reaches, and between two lines along the free paper."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from hwrlib.pages.curves import Curve
from hwrlib.pages.geometry import smoothed
from hwrlib.pages.maps import STRIDE

ROOM = 1.25  # times the reach that is usual on a line, for its tallest letters and longest tails
LONGER = 0.15  # heights of a line that are added at both its ends, for the half of a letter that stands over
STEP = 2  # px between the points of an outline
BODY = 0.35  # of the reach above: so much of a line is never cut


class Band:
    """A line as three heights for each column: its baseline, and how far up and down it may reach; px of the page / STEP."""

    def __init__(self, curve: Curve, shape: tuple[int, int]):
        x, y = curve.x * STRIDE / STEP, curve.y * STRIDE / STEP
        self.above, self.below = (max(side, 1.0) * STRIDE / STEP for side in (curve.above, curve.below))
        points = smoothed(np.column_stack([x, y]).astype(float), (self.above + self.below) / 2)
        longer = LONGER * (self.above + self.below)
        limit = (shape[1] - 1) / STEP
        self.x = np.arange(max(round(x[0] - longer), 0), min(round(x[-1] + longer), int(limit)) + 1)
        self.baseline = np.interp(self.x, points[:, 0], points[:, 1])
        bottom = (shape[0] - 1) / STEP
        self.top = (self.baseline - ROOM * self.above).clip(0, bottom)
        self.bottom = (self.baseline + ROOM * self.below).clip(0, bottom)

    def polygon(self) -> np.ndarray:
        upper = np.column_stack([self.x, self.top])
        lower = np.column_stack([self.x, np.maximum(self.bottom, self.top + 1)])
        outline = np.concatenate([upper, lower[::-1]]).astype(np.float32) * STEP
        return cv2.approxPolyDP(outline[:, None], 1.0, closed=True)[:, 0].astype(np.float64)

    def curve(self) -> np.ndarray:
        points = np.column_stack([self.x, self.baseline]).astype(np.float32) * STEP
        return cv2.approxPolyDP(points[:, None], 0.7, closed=False)[:, 0].astype(np.float64)


def outlines(curves: Sequence[Curve], ink: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Baseline and polygon, px of the page, of each curve on the maps.

    Args:
        curves: from `hwrlib.pages.find.find_curves`.
        ink: (H, W) uint8, the page; outlines of neighbours part where there is little of it.
    """
    bands = [band for band in (Band(curve, ink.shape) for curve in curves) if len(band.x) > 1]
    small = cv2.resize(ink, None, fx=1 / STEP, fy=1 / STEP, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    cuts = [(upper, lower, _seam(upper, lower, small)) for upper in bands for lower in bands if upper is not lower]
    for upper, lower, seam in cuts:
        if seam is not None:
            first, heights = seam
            part = slice(first - upper.x[0], first - upper.x[0] + len(heights))
            upper.bottom[part] = np.minimum(upper.bottom[part], heights)
            part = slice(first - lower.x[0], first - lower.x[0] + len(heights))
            lower.top[part] = np.maximum(lower.top[part], heights)
    return [(band.curve(), band.polygon()) for band in bands]


def _seam(upper: Band, lower: Band, ink: np.ndarray) -> tuple[int, np.ndarray] | None:
    """The path of least ink between two lines, one height for each column that they share; None if they do not meet."""
    first, last = max(upper.x[0], lower.x[0]), min(upper.x[-1], lower.x[-1])
    if last - first < 4 or not any(_is_near(upper, lower, column) for column in (first, (first + last) // 2, last)):
        return None
    over = slice(first - upper.x[0], last - upper.x[0] + 1)
    under = slice(first - lower.x[0], last - lower.x[0] + 1)
    high, low = upper.baseline[over] + 1, lower.baseline[under] - BODY * lower.above
    if (lower.baseline[under] - upper.baseline[over]).mean() <= 0 or (upper.bottom[over] < lower.top[under]).all():
        return None
    if (low - high).min() < 2:  # two lines on top of each other: half way, without looking
        return first, (upper.baseline[over] + lower.baseline[under] - BODY * lower.above) / 2
    # The strip between them, straightened: row k of a column is k / (rows - 1) of the way down.
    rows = int(np.clip((low - high).max(), 4, 60)) + 1
    way = np.linspace(0, 1, rows)[:, None]
    y = (high + way * (low - high)).astype(np.float32)
    x = np.broadcast_to(np.arange(first, last + 1, dtype=np.float32), y.shape)
    cost = cv2.remap(ink, np.ascontiguousarray(x), y, cv2.INTER_LINEAR)
    expected = (upper.baseline + upper.below)[over], (lower.baseline - lower.above)[under]
    middle = ((expected[0] + expected[1]) / 2 - high) / (low - high)
    cost = cost + 0.02 + 0.15 * np.abs(way - middle.clip(0.1, 0.9)) ** 2
    path = _cheapest(cost)
    return first, np.take_along_axis(y, path[None], axis=0)[0].astype(float)


def _is_near(upper: Band, lower: Band, column: int) -> bool:
    """Whether two lines come so close in a column that their outlines may meet."""
    distance = lower.baseline[column - lower.x[0]] - upper.baseline[column - upper.x[0]]
    return -lower.above < distance < 2 * ROOM * (upper.below + lower.above)


def _cheapest(cost: np.ndarray) -> np.ndarray:
    """For each column of a map the row of the cheapest path from left to right, which moves by one row at most."""
    rows, columns = cost.shape
    total, moves = cost[:, 0].copy(), np.zeros((rows, columns), np.int8)
    for column in range(1, columns):
        padded = np.pad(total, 1, constant_values=np.inf)
        options = np.stack([padded[1:-1], padded[:-2] + 0.02, padded[2:] + 0.02])
        chosen = options.argmin(axis=0)
        moves[:, column] = np.array([0, -1, 1], np.int8)[chosen]
        total = options[chosen, np.arange(rows)] + cost[:, column]
    path = np.empty(columns, int)
    path[-1] = total.argmin()
    for column in range(columns - 1, 0, -1):
        path[column - 1] = path[column] + moves[path[column], column]
    return path
