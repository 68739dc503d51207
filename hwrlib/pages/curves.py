"""From ridges on a map to baselines: thin, connect, join the pieces of a line, leave out what is too short."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

REACH = 3  # px of the map within which the next point of a ridge is looked for, up and down
GAP = 5  # px of the map without a ridge that do not end a piece


@dataclass(eq=False)
class Curve:
    """A baseline as one height for each column of a map."""

    x: np.ndarray  # (P,) columns, ascending
    y: np.ndarray  # (P,) rows
    strength: float  # mean of the map along it
    above: float = 0.0  # px of the map
    below: float = 0.0

    @property
    def height(self) -> float:
        return self.above + self.below

    def slope(self, end: int) -> float:
        """Rise per px near its first (0) or last (-1) point."""
        piece = slice(None, 40) if end == 0 else slice(-40, None)
        x, y = self.x[piece], self.y[piece]
        return float(np.polyfit(x, y, 1)[0]) if np.ptp(x) >= 8 else 0.0


def ridges(strength: np.ndarray, threshold: float) -> np.ndarray:
    """Where a map (H, W) is largest from top to bottom within 3 px, and above a threshold."""
    highest = cv2.dilate(strength, np.ones((5, 1), np.uint8))
    return (strength >= highest) & (strength > threshold)


def trace(ridge: np.ndarray, strength: np.ndarray) -> list[Curve]:
    """Connect the points of ridges to curves, one height for each column."""
    closed = cv2.dilate(ridge.astype(np.uint8), np.ones((REACH, GAP), np.uint8))
    _, labels = cv2.connectedComponents(closed, connectivity=8)
    y, x = np.nonzero(ridge)
    label, curves = labels[y, x], []
    order = np.argsort(label, kind="stable")
    for piece in np.split(order, np.flatnonzero(np.diff(label[order])) + 1):
        if len(piece) >= 3:
            curves.append(_curve(x[piece], y[piece], strength))
    return curves


def _curve(x: np.ndarray, y: np.ndarray, strength: np.ndarray) -> Curve:
    """One height for each column, the mean of its points; columns between are interpolated."""
    weights = strength[y, x]
    columns = np.arange(x.min(), x.max() + 1)
    total = np.bincount(x - x.min(), weights)
    heights = np.bincount(x - x.min(), weights * y)
    held = total > 0
    return Curve(columns, np.interp(columns, columns[held], heights[held] / total[held]), float(weights.mean()))


def join(curves: list[Curve], ends: np.ndarray | None = None, *, widest: float = 2.0) -> list[Curve]:
    """Join pieces that lie one after the other on the same line, those with the smallest gaps first.

    Args:
        curves: with their heights.
        ends: map (H, W) of where lines end, 0-1; pieces that end surely are joined over shorter gaps only.
        widest: gap that is bridged, in heights of a line.
    """
    following: dict[int, int] = {}
    for _, left, right in sorted(_pairs(curves, ends, widest)):
        if left not in following and right not in following.values():
            following[left] = right
    joined = []
    for first in set(range(len(curves))) - set(following.values()):
        chain = [first]
        while chain[-1] in following:
            chain.append(following[chain[-1]])
        joined.append(_joined([curves[number] for number in chain]))
    return joined


def _pairs(curves: list[Curve], ends: np.ndarray | None, widest: float) -> list[tuple[float, int, int]]:
    """The gap and the numbers of two pieces, for all that may be joined."""
    if not curves:
        return []
    starts, stops = np.array([(curve.x[0], curve.x[-1]) for curve in curves], float).T
    heights = np.array([max(curve.height, 4.0) for curve in curves])
    gaps, lower = starts[None] - stops[:, None], np.minimum.outer(heights, heights)
    ahead = np.less_equal.outer(starts, starts) & np.less.outer(stops, stops)
    found = []
    for left, right in np.argwhere(ahead & (gaps > -lower) & (gaps < widest * lower)):
        gap, height = float(gaps[left, right]), float(lower[left, right])
        first, second = curves[left], curves[right]
        if _offset(first, second) >= 0.35 * height:
            continue
        if ends is None or gap <= 0.6 * height or min(_ends(first, ends, -1), _ends(second, ends, 0)) <= 0.5:
            found.append((gap, int(left), int(right)))
    return found


def _joined(pieces: list[Curve]) -> Curve:
    """One curve from pieces from left to right; where two overlap, the earlier one counts."""
    if len(pieces) == 1:
        return pieces[0]
    x, y = pieces[0].x, pieces[0].y
    for piece in pieces[1:]:
        new = piece.x > x[-1]
        x, y = np.concatenate([x, piece.x[new]]), np.concatenate([y, piece.y[new]])
    columns = np.arange(x[0], x[-1] + 1)
    parts = [len(piece.x) for piece in pieces]
    means = (
        float(np.average([getattr(piece, name) for piece in pieces], weights=parts))
        for name in ("strength", "above", "below")
    )
    return Curve(columns, np.interp(columns, x, y), *means)


def _ends(curve: Curve, ends: np.ndarray, end: int) -> float:
    """The largest value of the map of ends around an end of a curve."""
    x, y = int(curve.x[end]), int(round(curve.y[end]))
    around = ends[max(y - 4, 0) : y + 3, max(x - 3, 0) : x + 4]
    return float(around.max()) if around.size else 0.0


def _offset(left: Curve, right: Curve) -> float:
    """How far two pieces miss each other if both go on straight to the middle of the gap."""
    middle = (left.x[-1] + right.x[0]) / 2
    first = left.y[-1] + left.slope(-1) * (middle - left.x[-1])
    second = right.y[0] + right.slope(0) * (middle - right.x[0])
    straight = abs(left.y[-1] - right.y[0])
    return float(min(abs(first - second), straight))
