"""Reading order: which line comes after which, in one column or several.

Breuel, "High performance document layout analysis", 2003: of two lines that share columns the upper one comes first; a line
comes before one entirely to its right, unless something between them reaches over both. The rest follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hwrlib.pages.line import Line

SHARED = 0.1  # of the shorter line's width; less is no overlap of columns
SPACED = 2.0  # times the usual distance between lines; a larger gap begins a new block


def in_reading_order(lines: Sequence[Line]) -> list[Line]:
    """The lines in the order in which they are read, each with the block it belongs to."""
    if not lines:
        return []
    left, right, y = _deskewed(lines)
    before = _before(left, right, y)
    order: list[int] = []
    seen: set[int] = set()
    by_height = np.argsort(y, kind="stable").tolist()
    for start in by_height:
        _visit(start, before, by_height, seen, order)
    return _blocks([lines[k] for k in order], left[order], right[order], y[order])


def _deskewed(lines: Sequence[Line]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left, right and height of each line on the page turned upright."""
    chords = np.array([line.baseline[-1] - line.baseline[0] for line in lines])
    total = (chords * np.sign(chords[:, :1] + 1e-9)).sum(axis=0)
    angle = np.arctan2(total[1], total[0])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned = [line.baseline @ turn.T for line in lines]
    return (
        np.array([curve[:, 0].min() for curve in turned]),
        np.array([curve[:, 0].max() for curve in turned]),
        np.array([curve[:, 1].mean() for curve in turned]),
    )


def _before(left: np.ndarray, right: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N, N): whether a line must come before another."""
    shared = np.minimum.outer(right, right) - np.maximum.outer(left, left)
    overlap = shared > SHARED * np.minimum.outer(right - left, right - left)
    above = np.less.outer(y, y)
    before = overlap & above
    aside = ~overlap & np.less.outer(left, left)
    for first, second in zip(*np.nonzero(aside)):
        low, high = sorted((y[first], y[second]))
        between = (y > low) & (y < high) & overlap[first] & overlap[second]
        before[first, second] = not between.any()
    return before


def _visit(start: int, before: np.ndarray, by_height: list[int], seen: set[int], order: list[int]) -> None:
    """Append all lines that come before one, and the line; without recursion, as a page may have many lines."""
    stack = [start]
    while stack:
        line = stack[-1]
        seen.add(line)
        earlier = next((other for other in by_height if before[other, line] and other not in seen), None)
        if earlier is not None:
            stack.append(earlier)
            continue
        stack.pop()
        if line not in order:
            order.append(line)


def _blocks(lines: list[Line], left: np.ndarray, right: np.ndarray, y: np.ndarray) -> list[Line]:
    """Name the block of each line: a new one begins after a large gap, and where the next line is not below the last."""
    gaps = np.diff(y)
    usual = np.median(gaps[gaps > 0]) if (gaps > 0).any() else np.inf
    named, block = [], 1
    for number, line in enumerate(lines):
        if number:
            shared = min(right[number], right[number - 1]) - max(left[number], left[number - 1])
            if not (0 < gaps[number - 1] <= SPACED * usual and shared > 0):
                block += 1
        named.append(replace(line, region=f"block_{block}"))
    return named
