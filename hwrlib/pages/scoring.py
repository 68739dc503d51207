"""How well lines were found: precision and recall of baselines, as in the cBAD competitions.

Grüning, Labahn, Diem, Kleber and Fiel, "READ-BAD: A new dataset and evaluation scheme for baseline detection in archival
documents", 2018: a point of a baseline counts as found if the other baseline is within a quarter of the distance between
lines, and less and less up to three times that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hwrlib.pages.geometry import resample

TOLERANCE = 0.25  # of the distance between lines
STEP = 5  # px between the points that are compared
FEWEST, MOST = 5.0, 50.0  # px; a tolerance is kept within


class Score(NamedTuple):
    """Precision, recall and their harmonic mean of found baselines, 0-1."""

    precision: float
    recall: float
    f: float


def score_page(found: Sequence[np.ndarray], true: Sequence[np.ndarray]) -> Score:
    """Compare found baselines (P, 2) px with the true ones of a page."""
    found, true = ([resample(np.asarray(curve, float), STEP) for curve in curves] for curves in (found, true))
    if not found or not true:
        value = float(not found and not true)
        return Score(value if found else 1.0, value if true else 1.0, value)
    tolerances = _tolerances(true)
    recall = np.mean([_covered(curve, np.concatenate(found), t) for curve, t in zip(true, tolerances)])
    matrix = np.array([[_covered(curve, other, t) for other, t in zip(true, tolerances)] for curve in found])
    total = 0.0
    for _ in range(min(matrix.shape)):  # each true line explains one found line: pieces cost precision
        row, column = np.unravel_index(matrix.argmax(), matrix.shape)
        total += matrix[row, column]
        matrix[row], matrix[:, column] = -1, -1
    return _score(float(total) / len(found), float(recall))


def mean_score(scores: Sequence[Score]) -> Score:
    """Over several pages, each counting the same: mean precision and recall, and the F of these."""
    return _score(float(np.mean([s.precision for s in scores])), float(np.mean([s.recall for s in scores])))


def _score(precision: float, recall: float) -> Score:
    return Score(precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0.0)


def _tolerances(true: Sequence[np.ndarray]) -> list[float]:
    """For each true baseline a quarter of its distance to the nearest other one; of all of them if it stands alone."""
    distances = []
    for number, curve in enumerate(true):
        others = [_distances(curve, other) for k, other in enumerate(true) if k != number]
        beside = [float(np.median(d)) for d in others if len(d)]
        distances.append(min(beside, default=np.nan))
    usual = np.nanmedian(distances) if not np.all(np.isnan(distances)) else MOST / TOLERANCE
    chosen = [min(d, usual) if not np.isnan(d) else usual for d in distances]
    return [float(np.clip(TOLERANCE * d, FEWEST, MOST)) for d in chosen]


def _distances(curve: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Distances across, from the points of a curve to another one that runs above or below them."""
    low, high = sorted((other[0, 0], other[-1, 0]))
    beside = curve[(curve[:, 0] >= low) & (curve[:, 0] <= high)]
    return np.array([np.hypot(*(other - point).T).min() for point in beside])


def _covered(curve: np.ndarray, other: np.ndarray, tolerance: float) -> float:
    """The fraction of a curve's points that another one (or several) comes near to."""
    nearest = np.sqrt(((curve[:, None] - other[None]) ** 2).sum(axis=2).min(axis=1))
    return float(((3 * tolerance - nearest) / (2 * tolerance)).clip(0, 1).mean())
