"""Read a page: find its lines, cut them out, read them, and say what looks wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hwrlib.decode import to_grey
from hwrlib.pages.cut import cut_line
from hwrlib.pages.find import find_lines
from hwrlib.pages.page import Line, Page
from hwrlib.reader import Reader, Reading

if TYPE_CHECKING:
    from hwrlib.decode import ImageLike

DOUBTFUL = 0.6  # median of the words' confidences; a page of handwriting that the model can read has more
TRIED = 5  # lines that are read on the turned page, to find out whether it is upside down
MORE = 0.1  # what a turned page must be surer by
TURNS = {2: "upside down", 1: "lying on its right side", 3: "lying on its left side"}  # quarter turns that put it right


def read_page(recognizer: Reader, image: ImageLike, *, lines: Sequence[Line] | None = None, **options) -> Page:
    """Read all lines of a page; see `Recognizer.read_page`."""
    grey = to_grey(image)
    found = find_lines(grey) if lines is None else list(lines)
    page = Page(grey.shape[1], grey.shape[0], _read(recognizer, grey, found, options), image=grey)
    page.notes += _notes(recognizer, page, options) if lines is None else []
    return page


def _read(recognizer: Reader, grey: np.ndarray, lines: Sequence[Line], options: dict) -> list[Line]:
    cuts = [cut_line(grey, line) for line in lines]
    readings = recognizer.read_each([cut.image for cut in cuts], **options)
    return [
        replace(line, text=reading.text, reading=_moved(reading, -cut.start))
        for line, cut, reading in zip(lines, cuts, readings)
    ]


def _moved(reading: Reading, by: float) -> Reading:
    """The reading with its places so many px further right."""
    characters, words = (
        tuple(replace(part, start=part.start + by, end=part.end + by) for part in parts)
        for parts in (reading.characters, reading.words)
    )
    return replace(reading, characters=characters, words=words)


def confidence(lines: Sequence[Line]) -> float:
    """The median confidence of all words, 0-1; 0 without any."""
    confidences = [word.confidence for line in lines if line.reading for word in line.reading.words]
    return float(np.median(confidences)) if confidences else 0.0


def _notes(recognizer: Reader, page: Page, options: dict) -> list[str]:
    """Sentences about a page on which nothing was found, or which was read with little confidence."""
    if not page.lines:
        return ["No line of writing was found: the page is empty, or too faint, or too small in the picture."]
    sure = confidence(page.lines)
    if sure >= DOUBTFUL:
        return []
    turned = {turns: _sample(recognizer, np.rot90(page.image, turns), options) for turns in TURNS}
    best = max(turned, key=turned.get)
    if turned[best] > max(sure + MORE, DOUBTFUL):
        return [f"The page seems to be {TURNS[best]}; turn it and read it again."]
    return [
        f"Half of the words were read with a confidence below {sure:.0%}: this may be print, another language, "
        "or a picture without handwriting."
    ]


def _sample(recognizer: Reader, grey: np.ndarray, options: dict) -> float:
    """How surely the longest lines of a page are read."""
    grey = np.ascontiguousarray(grey)
    lines = sorted(find_lines(grey), key=lambda line: np.ptp(line.polygon, axis=0).max(), reverse=True)[:TRIED]
    return confidence(_read(recognizer, grey, lines, options))
