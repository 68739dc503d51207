"""ALTO 4, the format of libraries: https://www.loc.gov/standards/alto/. Read and written as eScriptorium and kraken do."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from hwrlib.pages.line import Line, Parsed, Sheet
from hwrlib.pages.words import words
from hwrlib.pages.xml import IN_PIXELS, DocumentError, children, declared, descendants, local, points, regions, size

NAMESPACE = "http://www.loc.gov/standards/alto/ns-v4#"
SCHEMA = "http://www.loc.gov/standards/alto/v4/alto-4-4.xsd"
XSI = "http://www.w3.org/2001/XMLSchema-instance"


def from_alto(root: Element, path: Path) -> tuple[Parsed, list[str]]:
    """A page of an ALTO document, in the document's units and order, and what is wrong with single lines of it.

    Raises:
        DocumentError: it holds no page, or is not measured in pixels.
    """
    unit = "".join(element.text or "" for element in descendants(root, "MeasurementUnit")).strip()
    if unit not in IN_PIXELS:
        raise DocumentError(f"{path}: measured in {unit}, not in pixels; export it in pixels")
    pages = descendants(root, "Page")
    if len(pages) != 1:
        raise DocumentError(f"{path}: holds {len(pages)} pages; one page per document, please")
    width, height = size(pages[0], "WIDTH", "HEIGHT", path)
    name = next((element.text or "" for element in descendants(root, "fileName")), "").strip()
    lines, faults = [], []
    for block, element in _lines(pages[0]):
        try:
            lines.append(_line(element, block))
        except ValueError as error:
            faults.append(f"line {element.get('ID', '?')}: {error}")
    return Parsed(round(width), round(height), lines, name), faults


def _lines(page: Element) -> list[tuple[str, Element]]:
    """Every line with the ID of its block."""
    found = []
    for block in descendants(page, "TextBlock"):
        found += [(block.get("ID", ""), line) for line in children(block, "TextLine")]
    return found


def _line(element: Element, block: str) -> Line:
    baseline = _baseline(element)
    outline = next(
        (points(polygon.get("POINTS")) for shape in children(element, "Shape") for polygon in children(shape, "Polygon")),
        None,
    )
    if outline is None or len(outline) < 3:
        outline = _box(element)
    return Line(baseline, outline, text=_text(element), region=block)


def _baseline(element: Element) -> np.ndarray:
    """The baseline; ALTO before 4.1 has one height for the whole line."""
    value = (element.get("BASELINE") or "").strip()
    try:
        height = float(value)
    except ValueError:
        baseline = points(value)
    else:
        left, width = float(element.get("HPOS", "nan")), float(element.get("WIDTH", "nan"))
        baseline = np.array([[left, height], [left + width, height]])
    if len(baseline) < 2 or not np.isfinite(baseline).all():
        raise ValueError("has no baseline")
    return baseline


def _box(element: Element) -> np.ndarray:
    left, top, width, height = (float(element.get(name, "nan")) for name in ("HPOS", "VPOS", "WIDTH", "HEIGHT"))
    box = np.array([[left, top], [left + width, top], [left + width, top + height], [left, top + height]])
    if not np.isfinite(box).all() or width <= 0 or height <= 0:
        raise ValueError("has neither a polygon nor a box")
    return box


def _text(element: Element) -> str:
    """The words with what stands between them: a space, or a hyphen at the end of the line."""
    parts = []
    for child in element:
        if local(child) in ("String", "HYP"):
            parts.append(child.get("CONTENT", ""))
        elif local(child) == "SP":
            parts.append(" ")
    return "".join(parts)


def to_alto(page: Sheet) -> str:
    """A page as an ALTO document: a block per region, polygon and baseline per line, words with their confidences."""
    root = Element("alto", {"xmlns": NAMESPACE, "xmlns:xsi": XSI, "xsi:schemaLocation": f"{NAMESPACE} {SCHEMA}"})
    description = SubElement(root, "Description")
    SubElement(description, "MeasurementUnit").text = "pixel"
    information = SubElement(description, "sourceImageInformation")
    SubElement(information, "fileName").text = page.name
    processing = SubElement(SubElement(description, "Processing", ID="hwrlib"), "processingSoftware")
    SubElement(processing, "softwareName").text = "hwrlib"
    sizes = {"WIDTH": str(page.width), "HEIGHT": str(page.height)}
    element = SubElement(SubElement(root, "Layout"), "Page", {"ID": "page", "PHYSICAL_IMG_NR": "1", **sizes})
    space = SubElement(element, "PrintSpace", {"HPOS": "0", "VPOS": "0", **sizes})
    for number, (_, lines) in enumerate(regions(page)):
        outline = np.concatenate([line.polygon for line in lines])
        block = SubElement(space, "TextBlock", {"ID": f"block_{number + 1}", **_place(outline)})
        for line in lines:
            _write_line(block, line, f"line_{number + 1}_{len(block) + 1}")
    return declared(root)


def _write_line(block: Element, line: Line, name: str) -> None:
    element = SubElement(block, "TextLine", {"ID": name, "BASELINE": _joined(line.baseline), **_place(line.polygon)})
    SubElement(SubElement(element, "Shape"), "Polygon", POINTS=_joined(line.polygon))
    if not line.text.strip():  # a line must have a String
        SubElement(element, "String", {"CONTENT": "", **_place(line.polygon)})
    for word in words(line):
        if len(element) > 1:
            SubElement(element, "SP")
        confidence = {} if word.confidence is None else {"WC": f"{word.confidence:.3f}"}
        SubElement(element, "String", {"CONTENT": word.text, **_place(word.outline), **confidence})


def _place(outline: np.ndarray) -> dict[str, str]:
    (left, top), (right, bottom) = np.floor(outline.min(axis=0)).astype(int), np.ceil(outline.max(axis=0)).astype(int)
    return {"HPOS": str(left), "VPOS": str(top), "WIDTH": str(right - left), "HEIGHT": str(bottom - top)}


def _joined(outline: np.ndarray) -> str:
    """Points as ALTO writes them, in whole pixels."""
    return " ".join(f"{x} {y}" for x, y in np.round(outline).astype(int).tolist())
