"""Baselines as curves: points at equal distances, directions, and how far an outline reaches above and below."""

from __future__ import annotations

import cv2
import numpy as np


def resample(curve: np.ndarray, step: float = 1.0) -> np.ndarray:
    """Points (P, 2) of a polyline at about equal distances of `step` px, its ends among them."""
    lengths = np.r_[0, np.cumsum(np.hypot(*np.diff(curve, axis=0).T))]
    keep = np.r_[True, np.diff(lengths) > 0]
    count = max(round(lengths[-1] / step), 1) + 1
    places = np.linspace(0, lengths[-1], count)
    return np.column_stack([np.interp(places, lengths[keep], axis[keep]) for axis in curve.T])


def smoothed(curve: np.ndarray, reach: float) -> np.ndarray:
    """A polyline at steps of 1 px, its wiggles within `reach` px averaged; longer at both ends than given by nothing.

    Transcribers set a point here and there, so a baseline has corners that the writing has not.
    """
    curve = resample(curve)
    radius = int(min(reach, (len(curve) - 1) // 2))
    if radius < 1:
        return curve
    before = 2 * curve[0] - curve[radius:0:-1]  # mirrored in its ends, which therefore stay where they are
    after = 2 * curve[-1] - curve[-2 : -2 - radius : -1]
    longer = np.concatenate([before, curve, after])
    kernel = np.hanning(2 * radius + 3)[1:-1]
    return np.column_stack([np.convolve(axis, kernel / kernel.sum(), "valid") for axis in longer.T])


def normals(curve: np.ndarray) -> np.ndarray:
    """Unit vectors (P, 2) across a curve that point above the line: to the left of the direction of reading."""
    along = np.gradient(curve, axis=0)
    along /= np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    return np.column_stack([along[:, 1], -along[:, 0]])


def reach(baseline: np.ndarray, polygon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far a polygon reaches above and below each point of a baseline, px; 0 where it does not hold the point."""
    curve = resample(baseline)
    low = np.floor(np.minimum(polygon.min(axis=0), curve.min(axis=0))) - 2
    width, height = (np.ceil(np.maximum(polygon.max(axis=0), curve.max(axis=0))) + 3 - low).astype(int)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.round(polygon - low).astype(np.int32)], 1)
    across, limit = normals(smoothed(baseline, 20)), int(np.hypot(*np.ptp(polygon, axis=0))) + 1
    sides = []
    for sign in (1, -1):
        steps = np.arange(min(limit, 400))
        places = curve[:, None] + sign * steps[None, :, None] * across[: len(curve), None] - low
        x, y = (np.round(places[..., axis]).astype(int).clip(0, top - 1) for axis, top in ((0, width), (1, height)))
        inside = mask[y, x] > 0
        sides.append(np.where(inside.any(axis=1), inside.shape[1] - 1 - inside[:, ::-1].argmax(axis=1), 0))
    return sides[0].astype(float), sides[1].astype(float)


def band(baseline: np.ndarray, above: float | np.ndarray, below: float | np.ndarray) -> np.ndarray:
    """The outline of a line that reaches so far above and below its baseline."""
    across = normals(baseline)
    return np.concatenate(
        [baseline + across * np.reshape(above, (-1, 1)), (baseline - across * np.reshape(below, (-1, 1)))[::-1]]
    )
