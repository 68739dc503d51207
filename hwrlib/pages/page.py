"""A page and its lines: what finding, reading, importing and exporting have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hwrlib.common.files import atomic_write
from hwrlib.pages.alto import to_alto
from hwrlib.pages.hocr import to_hocr
from hwrlib.pages.line import Line
from hwrlib.pages.pagexml import to_pagexml

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Line", "Page"]


@dataclass(eq=False)
class Page:
    """A page: its lines in reading order.

    Attributes:
        width, height: px; all coordinates of the lines lie within.
        lines: in reading order.
        name: file name of the image.
        image: (height, width) uint8 grey levels, if at hand.
        notes: sentences about what looks wrong, for instance that nothing was found.
    """

    width: int
    height: int
    lines: Sequence[Line]
    name: str = ""
    image: np.ndarray | None = field(default=None, repr=False)
    notes: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text of all lines, one per line, in reading order; an empty line between blocks."""
        parts: list[str] = []
        for before, line in zip([None, *self.lines], self.lines):
            if before is not None and before.region != line.region:
                parts.append("")
            parts.append(line.text)
        return "\n".join(parts)

    def plot(self, **options) -> Figure:
        """The page with the outline, number and text of every line over the ink; see `hwrlib.pages.figures.page`."""
        from hwrlib.pages import figures  # matplotlib takes a second

        return figures.page(self, **options)

    def to_alto(self) -> str:
        """The page as an ALTO 4 document."""
        return to_alto(self)

    def to_pagexml(self) -> str:
        """The page as a PAGE document (2019-07-15)."""
        return to_pagexml(self)

    def to_hocr(self) -> str:
        """The page as hOCR, an HTML page that PDF tools lay under the image."""
        return to_hocr(self)

    def save(self, path: str | Path) -> Path:
        """Write the page in the format that the suffix names: .txt, .alto.xml, .page.xml or .hocr.

        Raises:
            ValueError: the name ends in something else.
            WriteError: the disk is full or read-only.
        """
        formats = {
            ".txt": lambda: self.text + "\n",
            ".alto.xml": self.to_alto,
            ".page.xml": self.to_pagexml,
            ".hocr": self.to_hocr,
        }
        for suffix, write in formats.items():
            if str(path).lower().endswith(suffix):
                with atomic_write(path) as file:
                    file.write(write().encode())
                return Path(path)
        raise ValueError(f"{path}: a page is written as {', '.join(formats)}; choose a file name that ends in one of them")
