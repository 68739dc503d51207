"""PAGE (2013 to 2019), the format of Transkribus and eScriptorium: https://github.com/PRImA-Research-Lab/PAGE-XML."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

import cv2
import numpy as np

from hwrlib.pages.line import Line, Parsed, Sheet
from hwrlib.pages.words import words
from hwrlib.pages.xml import DocumentError, children, declared, descendants, local, points, regions, size

NAMESPACE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
ORDER = re.compile(r"readingOrder\s*\{[^}]*?index\s*:\s*(\d{1,9})")  # Transkribus notes the order of lines in `custom`


def from_pagexml(root: Element, path: Path) -> tuple[Parsed, list[str]]:
    """A page of a PAGE document, in the document's units and order, and what is wrong with single lines of it.

    Raises:
        DocumentError: it holds no page.
    """
    pages = children(root, "Page")
    if len(pages) != 1:
        raise DocumentError(f"{path}: holds {len(pages)} pages; one page per document, please")
    width, height = size(pages[0], "imageWidth", "imageHeight", path)
    lines, faults = [], []
    for region in _ordered_regions(pages[0]):
        for element in sorted(children(region, "TextLine"), key=_index):  # sorted is stable: no index, no change
            try:
                lines.append(_line(element, region.get("id", "")))
            except ValueError as error:
                faults.append(f"line {element.get('id', '?')}: {error}")
    return Parsed(round(width), round(height), lines, pages[0].get("imageFilename", "").strip()), faults


def _ordered_regions(page: Element) -> list[Element]:
    """Regions with lines, in the reading order if the document has one, else in its own."""
    order = {
        reference.get("regionRef"): position
        for group in children(page, "ReadingOrder")
        for position, reference in enumerate(sorted(_references(group), key=lambda element: int(element.get("index") or 0)))
    }
    found = descendants(page, "TextRegion")
    return sorted(found, key=lambda region: order.get(region.get("id"), len(order)))


def _references(group: Element) -> list[Element]:
    return [
        element for element in group.iter() if local(element) in ("RegionRef", "RegionRefIndexed") and _is_count(element)
    ]


def _is_count(element: Element) -> bool:
    return (element.get("index") or "0").isdecimal()


def _index(line: Element) -> int:
    found = ORDER.search(line.get("custom") or "")
    return int(found[1]) if found else 0


def _line(element: Element, region: str) -> Line:
    outline = next((points(coords.get("points")) for coords in children(element, "Coords")), points(""))
    if len(outline) < 3:
        raise ValueError("has no outline")
    baseline = next((points(child.get("points")) for child in children(element, "Baseline")), points(""))
    if len(baseline) < 2:
        raise ValueError("has no baseline")
    return Line(baseline, outline, text=_text(element), region=region)


def _text(element: Element) -> str:
    """The text of the line, of several the first version; without one, the words."""
    versions = sorted(
        children(element, "TextEquiv"), key=lambda equiv: int(equiv.get("index") or 0) if _is_count(equiv) else 0
    )
    for version in versions:
        for child in children(version, "Unicode"):
            return child.text or ""
    return " ".join(filter(None, (_text(word) for word in children(element, "Word"))))


def to_pagexml(page: Sheet) -> str:
    """A page as a PAGE document: a region per block, outline and baseline per line, words with their confidences."""
    schema = f"{NAMESPACE} {NAMESPACE}/pagecontent.xsd"
    root = Element("PcGts", {"xmlns": NAMESPACE, "xmlns:xsi": XSI, "xsi:schemaLocation": schema})
    metadata = SubElement(root, "Metadata")
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    for name, text in {"Creator": "hwrlib", "Created": now, "LastChange": now}.items():
        SubElement(metadata, name).text = text
    sizes = {"imageWidth": str(page.width), "imageHeight": str(page.height)}
    element = SubElement(root, "Page", {"imageFilename": page.name, **sizes})
    groups = regions(page)
    if groups:
        order = SubElement(SubElement(element, "ReadingOrder"), "OrderedGroup", id="order")
        for number in range(len(groups)):
            SubElement(order, "RegionRefIndexed", index=str(number), regionRef=f"region_{number + 1}")
    for number, (_, lines) in enumerate(groups):
        region = SubElement(element, "TextRegion", id=f"region_{number + 1}")
        SubElement(region, "Coords", points=_joined(_hull(lines)))
        for line in lines:
            _write_line(region, line, f"line_{number + 1}_{len(region)}")
    return declared(root)


def _write_line(region: Element, line: Line, name: str) -> None:
    element = SubElement(region, "TextLine", id=name)
    SubElement(element, "Coords", points=_joined(line.polygon))
    SubElement(element, "Baseline", points=_joined(line.baseline))
    for number, word in enumerate(words(line), start=1):
        part = SubElement(element, "Word", id=f"{name}_word_{number}")
        SubElement(part, "Coords", points=_joined(word.outline))
        _write_text(part, word.text, word.confidence)
    _write_text(element, line.text, line.reading.confidence if line.reading else None)


def _write_text(element: Element, text: str, confidence: float | None) -> None:
    equiv = SubElement(element, "TextEquiv", {} if confidence is None else {"conf": f"{confidence:.3f}"})
    SubElement(equiv, "Unicode").text = text


def _hull(lines: list[Line]) -> np.ndarray:
    """The convex outline around lines."""
    return cv2.convexHull(np.concatenate([line.polygon for line in lines]).astype(np.float32))[:, 0]


def _joined(outline: np.ndarray) -> str:
    """Points as PAGE writes them, in whole pixels, which may not be negative."""
    return " ".join(f"{x},{y}" for x, y in np.round(outline).astype(int).clip(0).tolist())
