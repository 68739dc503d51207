"""Lines without a network: turn the page upright, smear the ink along the lines, and follow the ridges.

A baseline for the network to beat, and a lesson: what it takes for granted (one distance between lines, straight lines,
nothing but writing on the paper) is where it fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from hwrlib.pages.curves import Curve, join, ridges, trace
from hwrlib.pages.find import lines_along
from hwrlib.pages.line import Line
from hwrlib.pages.maps import STRIDE

if TYPE_CHECKING:
    from hwrlib.decode import ImageLike

ANGLES = np.arange(-10, 10.01, 0.5)  # degrees that are tried
NEAREST, FURTHEST = 5, 60  # px of the maps between two lines
ALMOST = 0.5  # of the best; twice the distance between lines is about as good as the distance itself
FAINT = 0.5  # of the usual ridge; weaker ones are no lines


def find_lines_classically(image: ImageLike) -> list[Line]:
    """The lines of a page, as `hwrlib.pages.find_lines`, by smearing the ink."""
    return lines_along(image, smeared_curves)


def smeared_curves(ink: np.ndarray) -> list[Curve]:
    """Baselines of a page (H, W) of ink, px of the maps."""
    small = cv2.resize(ink, None, fx=1 / STRIDE, fy=1 / STRIDE, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    slope = np.tan(np.radians(skew(small)))
    upright = sheared(small, slope)
    curves = find_ridges(upright, spacing(upright))
    for curve in curves:
        curve.y = curve.y + slope * curve.x
    return [curve for curve in curves if 0 <= curve.y.min() and curve.y.max() < len(small)]


def sheared(ink: np.ndarray, slope: float) -> np.ndarray:
    """The page with each column moved up by slope times its x, which makes lines of this slope horizontal."""
    matrix = np.float32([[1, 0, 0], [-slope, 1, 0]])
    return cv2.warpAffine(ink, matrix, ink.shape[::-1], flags=cv2.INTER_LINEAR)


def skew(ink: np.ndarray) -> float:
    """The angle of the lines, degrees: the one at which the profile of rows changes most from row to row."""
    changes = [np.square(np.diff(sheared(ink, np.tan(np.radians(angle))).sum(axis=1))).sum() for angle in ANGLES]
    return float(ANGLES[int(np.argmax(changes))])


def spacing(upright: np.ndarray) -> int:
    """The distance between lines, px: the smallest at which the profile of rows is about as like itself as at any."""
    profile = upright.sum(axis=1)
    profile = profile - cv2.blur(profile[:, None], (1, 2 * FURTHEST + 1))[:, 0]
    alike = np.correlate(profile, profile, "full")[len(profile) :]
    alike = alike[: min(FURTHEST, len(alike))]
    peaks = [d for d in range(NEAREST, len(alike) - 1) if alike[d - 1] <= alike[d] >= alike[d + 1]]
    best = max((alike[d] for d in peaks), default=0)
    return next((d + 1 for d in peaks if alike[d] >= ALMOST * best > 0), FURTHEST // 3)


def find_ridges(upright: np.ndarray, distance: int) -> list[Curve]:
    """Ridges of the smeared ink, moved down from the middle of the letters to where they stand."""
    smeared = cv2.GaussianBlur(upright, (0, 0), sigmaX=2 * distance, sigmaY=distance / 5)
    usual = float(np.median(smeared[ridges(smeared, 0.5 * float(smeared.mean()))]))
    curves = trace(ridges(smeared, FAINT * usual), smeared)
    for curve in curves:
        ends = np.flatnonzero(cv2.blur(upright, (5, distance))[np.round(curve.y).astype(int), curve.x] > 0.01)
        if len(ends):  # the smear reaches beyond the writing
            curve.x, curve.y = curve.x[ends[0] : ends[-1] + 1], curve.y[ends[0] : ends[-1] + 1]
        curve.y = curve.y + 0.2 * distance
        curve.above, curve.below = 0.6 * distance, 0.25 * distance
    return [curve for curve in join(curves) if len(curve.x) > 2 * distance]
