"""A line of writing on a page, and what a page is for those who write or draw one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from hwrlib.reader import Reading


@dataclass(frozen=True, eq=False)
class Line:
    """One line of writing on a page.

    Attributes:
        baseline: (P, 2) px; x and y of at least two points on which the letters stand, in the direction of reading.
        polygon: (Q, 2) px; the outline of the line.
        text: what is written there, transcribed or read.
        reading: of `Recognizer.read`, if a model read it; places are px along the baseline from its first point.
        region: name of the block of text that holds the line.
    """

    baseline: np.ndarray
    polygon: np.ndarray
    text: str = ""
    reading: Reading | None = None
    region: str = ""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the polygon, px."""
        return (*self.polygon.min(axis=0).tolist(), *self.polygon.max(axis=0).tolist())


class Sheet(Protocol):
    """What documents and figures need of a page."""

    width: int
    height: int
    lines: Sequence[Line]
    name: str
    image: np.ndarray | None


class Parsed(NamedTuple):
    """A page as a document describes it, in the units of the document."""

    width: int
    height: int
    lines: list[Line]
    name: str
