"""hOCR 1.2, HTML with places: http://kba.github.io/hocr-spec/1.2/. Tools that write searchable PDFs read it."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement

import numpy as np

from hwrlib.pages.line import Line, Sheet
from hwrlib.pages.words import words
from hwrlib.pages.xml import declared, regions


def to_hocr(page: Sheet) -> str:
    """A page as hOCR: a block per region, lines with their slope, words with their confidences."""
    root = Element("html", {"xmlns": "http://www.w3.org/1999/xhtml"})
    head = SubElement(root, "head")
    SubElement(head, "title").text = page.name or "page"
    SubElement(head, "meta", {"http-equiv": "Content-Type", "content": "text/html; charset=utf-8"})
    SubElement(head, "meta", name="ocr-system", content="hwrlib")
    SubElement(head, "meta", name="ocr-capabilities", content="ocr_page ocr_carea ocr_line ocrx_word")
    image = page.name.replace('"', "").replace(";", "")
    element = _part(
        SubElement(root, "body"), "div", "ocr_page", "page_1", f'image "{image}"; bbox 0 0 {page.width} {page.height}'
    )
    for number, (_, lines) in enumerate(regions(page), start=1):
        block = _part(
            element, "div", "ocr_carea", f"block_{number}", _bbox(np.concatenate([line.polygon for line in lines]))
        )
        for position, line in enumerate(lines, start=1):
            _write_line(block, line, f"line_{number}_{position}")
    return declared(root)


def _write_line(block: Element, line: Line, name: str) -> None:
    (left, _), (right, _) = line.baseline[0], line.baseline[-1]
    slope, offset = _straight(line) if right > left else (0.0, 0.0)
    title = f"{_bbox(line.polygon)}; baseline {slope:.4f} {offset:.0f}"
    element = _part(block, "span", "ocr_line", name, title)
    for number, word in enumerate(words(line), start=1):
        confidence = "" if word.confidence is None else f"; x_wconf {round(100 * word.confidence)}"
        part = _part(element, "span", "ocrx_word", f"{name}_word_{number}", _bbox(word.outline) + confidence)
        part.text = word.text
        part.tail = " "


def _straight(line: Line) -> tuple[float, float]:
    """Slope of the baseline, and its height at the left edge of the line's box above the lower edge (negative), px."""
    slope, height = np.polyfit(line.baseline[:, 0], line.baseline[:, 1], 1)
    left, _, _, bottom = line.box
    return float(slope), float(slope * left + height - bottom)


def _part(parent: Element, tag: str, kind: str, name: str, title: str) -> Element:
    return SubElement(parent, tag, {"class": kind, "id": name, "title": title})


def _bbox(outline: np.ndarray) -> str:
    left, top = np.floor(outline.min(axis=0)).astype(int).clip(0)
    right, bottom = np.ceil(outline.max(axis=0)).astype(int)
    return f"bbox {left} {top} {right} {bottom}"
