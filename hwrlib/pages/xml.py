"""What reading ALTO and PAGE has in common: XML that may be hostile, points, and the image that a document is about."""

from __future__ import annotations

import math
import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from hwrlib.common.files import IMAGE_SUFFIXES
from hwrlib.decode import printable
from hwrlib.pages.line import Line, Sheet

MAX_BYTES = 64_000_000  # of a document; a page of a thousand lines has two million
MAX_POINTS = 20_000  # of one line's outline
MAX_LINES = 10_000  # of a page
IN_PIXELS = ("pixel", "")


class DocumentError(ValueError):
    """A document that cannot be used; the message names the file and says why."""


def parse(path: str | Path) -> Element:
    """The root of a document, with no entity expanded and nothing fetched.

    Raises:
        DocumentError: too large, no XML, or it declares a document type, as entity bombs and external entities must.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DocumentError(f"{path}: {path.stat().st_size:,} bytes exceed the limit of {MAX_BYTES:,} of a document")
        return fromstring(path.read_bytes(), forbid_dtd=True)
    except OSError as error:
        raise DocumentError(f"{path}: cannot be read ({error.strerror})") from error
    except DefusedXmlException as error:
        raise DocumentError(f"{path}: declares a document type or entities, which may be an attack; remove them") from error
    except (ParseError, ValueError, LookupError) as error:  # the last two: an encoding that does not exist or does not fit
        if isinstance(error, DocumentError):
            raise
        raise DocumentError(f"{path}: not a well-formed XML document ({printable(str(error))})") from error


def local(element: Element) -> str:
    """The name of an element without its namespace, which changes with every version of a format."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def children(element: Element, *names: str) -> list[Element]:
    """The children with one of these names, in the order of the document."""
    return [child for child in element if local(child) in names]


def descendants(element: Element, name: str) -> list[Element]:
    """All elements of this name below, in the order of the document."""
    return [child for child in element.iter() if local(child) == name]


def points(text: str | None) -> np.ndarray:
    """Points "x,y x,y" or "x y x y" as (P, 2).

    Raises:
        ValueError: an odd count, something that is not a number, or more points than any line needs.
    """
    text = text or ""
    if len(text) > 20 * MAX_POINTS:
        raise ValueError(f"more than {MAX_POINTS:,} points")
    numbers = [float(number) for number in re.split(r"[\s,]+", text.strip()) if number]
    if len(numbers) % 2 or not all(map(math.isfinite, numbers)):
        raise ValueError(f"points {printable(text[:40])!r} are not pairs of numbers")
    if len(numbers) > 2 * MAX_POINTS:
        raise ValueError(f"more than {MAX_POINTS:,} points")
    return np.array(numbers, dtype=np.float64).reshape(-1, 2)


def size(element: Element, width: str, height: str, path: Path) -> tuple[float, float]:
    """Width and height of a page in the document's units.

    Raises:
        DocumentError: they are missing or not sizes.
    """
    try:
        sizes = float(element.get(width, "nan")), float(element.get(height, "nan"))
    except ValueError:
        sizes = math.nan, math.nan
    if not all(0 < value < 1e6 for value in sizes):
        raise DocumentError(f"{path}: the page has no size ({width}, {height})")
    return sizes


def find_image(path: Path, named: str) -> Path:
    """The image of a document: the file that it names, below its own folder, or the one beside it with its name.

    Raises:
        DocumentError: there is none.
    """
    folder, names = path.parent, []
    relative = PurePosixPath(PureWindowsPath(named).as_posix()) if named and "\0" not in named else None
    if relative is not None:
        if not relative.is_absolute() and ".." not in relative.parts and not PureWindowsPath(named).drive:
            names.append(str(relative))
        names.append(relative.name)
    stem = path.name
    while "." in stem:  # page.alto.xml, page.xml
        stem = stem.rpartition(".")[0]
        names += [stem + suffix for case in sorted(IMAGE_SUFFIXES) for suffix in (case, case.upper())]
    for name in filter(None, names):
        candidate = folder / name
        if (
            candidate.is_file()
            and candidate.suffix.lower() in IMAGE_SUFFIXES
            and candidate.resolve().is_relative_to(folder.resolve())
        ):
            return candidate
    raise DocumentError(f"{path}: its image {printable(named) or '(none named)'} is not beside it; put it there")


def regions(page: Sheet) -> list[tuple[str, list[Line]]]:
    """Lines that follow each other in the same block, in reading order."""
    found: list[tuple[str, list[Line]]] = []
    for line in page.lines:
        if not found or found[-1][0] != line.region:
            found.append((line.region, []))
        found[-1][1].append(line)
    return found


def declared(root: Element) -> str:
    """A document as text, indented, without characters that XML does not allow."""
    for element in root.iter():
        element.text = element.text and legal(element.text)
        for name, value in element.attrib.items():
            element.set(name, legal(value))
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def legal(text: str) -> str:
    """The text without control characters and lone surrogates."""
    return "".join(
        c for c in text if c in "\t\n\r" or (c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff")
    )
