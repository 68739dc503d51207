"""The words of a line and their outlines on the page, for documents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwrlib.pages.geometry import band, reach, resample
from hwrlib.pages.line import Line

POINTS = 40  # px between the points of an outline


@dataclass(frozen=True, eq=False)
class PlacedWord:
    """A word and its outline on the page."""

    text: str
    outline: np.ndarray  # (Q, 2) px
    confidence: float | None = None  # 0-1, if a model read it


def words(line: Line) -> list[PlacedWord]:
    """The words of a line: where the model read them, or, of a transcription, as if all letters were equally wide."""
    curve = resample(line.baseline)
    length = len(curve) - 1
    above, below = (float(np.median(side)) for side in reach(line.baseline, line.polygon))
    read = line.reading.words if line.reading and " ".join(w.text for w in line.reading.words) == line.text else ()
    if read:
        spans = [(word.text, word.start, word.end, word.confidence) for word in read]
    else:
        spans, start = [], 0
        for text in line.text.split():
            start = line.text.index(text, start)
            end = start + len(text)
            spans.append((text, start / len(line.text) * length, end / len(line.text) * length, None))
            start = end
    placed = []
    for text, start, end, confidence in spans:
        first = int(np.clip(start, 0, length - 1))
        last = int(np.clip(np.ceil(end), first + 1, length))
        few = np.linspace(first, last, (last - first) // POINTS + 2).astype(int)
        placed.append(PlacedWord(text, band(curve[few], above, below), confidence))
    return placed
