"""A page from an ALTO or PAGE document and the image beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from hwrlib.decode import to_grey
from hwrlib.pages.alto import from_alto
from hwrlib.pages.page import Line, Page
from hwrlib.pages.pagexml import from_pagexml
from hwrlib.pages.xml import MAX_LINES, DocumentError, find_image, local, parse

ENOUGH = 1_000  # points of a baseline or an outline
ASPECT = 0.02  # how much the document's and the image's proportions may differ


def load_page(path: str | Path) -> tuple[Page, list[str]]:
    """A page, in the pixels of its image, and what is wrong with skipped lines.

    Args:
        path: of an ALTO or PAGE document, told apart by its root; the image lies beside it or where the document says.
    Raises:
        DocumentError: the document or its image cannot be used; the message says why.
    """
    path = Path(path)
    root = parse(path)
    readers = {"alto": from_alto, "PcGts": from_pagexml}
    if local(root) not in readers:
        raise DocumentError(f"{path}: neither ALTO nor PAGE; its root is {local(root)[:40]!r}")
    page, faults = readers[local(root)](root, path)
    if len(page.lines) > MAX_LINES:
        raise DocumentError(f"{path}: {len(page.lines):,} lines exceed the limit of {MAX_LINES:,} of a page")
    image = find_image(path, page.name)
    try:
        grey = to_grey(image)
    except ValueError as error:
        raise DocumentError(str(error)) from error
    height, width = grey.shape
    scale = np.array([width / page.width, height / page.height])
    if abs(scale[0] / scale[1] - 1) > ASPECT:
        raise DocumentError(
            f"{path}: is about an image of {page.width} x {page.height} px, but {image.name} has {width} x {height}"
        )
    lines = []
    for number, line in enumerate(page.lines, start=1):
        line, fault = _fitted(replace(line, baseline=line.baseline * scale, polygon=line.polygon * scale), width, height)
        if fault:
            faults.append(f"line {number}: {fault}")
        else:
            lines.append(line)
    return Page(width, height, lines, name=image.name, image=grey), faults


def _fitted(line: Line, width: int, height: int) -> tuple[Line, str | None]:
    """The line with its points inside the image, or why that cannot be."""
    limit = np.array([width, height])
    left, top, right, bottom = line.box
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        return line, "its outline lies outside the image"
    line = replace(line, baseline=_few(line.baseline).clip(0, limit), polygon=_few(line.polygon).clip(0, limit))
    if np.hypot(*np.ptp(line.baseline, axis=0)) < 2 or min(np.ptp(line.polygon, axis=0)) < 2:
        return line, "has no extent"
    return line, None


def _few(points: np.ndarray) -> np.ndarray:
    """No more points than a line needs; the time to cut it out grows with their number."""
    if len(points) <= ENOUGH:
        return points
    return points[np.linspace(0, len(points) - 1, ENOUGH).astype(int)]


def find_documents(folder: str | Path) -> list[Path]:
    """All XML files below a folder, sorted; hidden ones and those of Transkribus and METS about the set are skipped.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    names = (path for path in folder.rglob("*") if path.suffix.lower() == ".xml" and path.is_file())
    return sorted(path for path in names if not path.name.startswith(".") and path.stem.lower() not in ("mets", "metadata"))
