"""Tables of readings that grow while images are read: after a kill, the same call resumes where it stopped.

The one loop that reads many images into a file is `append_readings`. `Recognizer.read_to_csv` appends to the table itself,
each process of `hwrlib.batch.read_many` to a part of its own.
"""

import codecs
import csv
import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from json import dumps
from pathlib import Path
from typing import Any, BinaryIO

from hwrlib.common.files import find_images, locked, with_remedy
from hwrlib.decode import printable
from hwrlib.reader import CHUNK, Reader, Reading
from hwrlib.sets.labels import as_written, spreadsheet_safe

READING_COLUMNS = ("filename", "text", "confidence", "alternatives", "words")
SHORT_COLUMNS = READING_COLUMNS[:3]  # of `read_to_csv`
END_OF_ROW = re.compile(rb",[\d.]+\r?\n")  # with the short columns; a kill cuts a row before this


def as_csv(rows: Iterable[Iterable[str]]) -> bytes:
    """Rows of a CSV; a cell that a spreadsheet would run as a formula gets an apostrophe."""
    text = io.StringIO()
    csv.writer(text).writerows(map(spreadsheet_safe, row) for row in rows)
    return text.getvalue().encode()


def append_readings(
    file: BinaryIO, recognizer: Reader, images: Iterable[tuple[str, Any]], columns: int, **options: Any
) -> Iterator[tuple[str, ValueError]]:
    """Append a row for every image that can be read; a chunk of rows is on the disk before the next one is read.

    Args:
        file: the table, open for appending.
        images: name and image, or the error in place of an image; taken as they are needed.
        columns: the number of `READING_COLUMNS` to write.
        options: of `Recognizer.try_read`.
    Yields:
        The name of every image that cannot be read, and the error. Reading goes on only as these are taken.
    """
    remaining = iter(images)
    while chunk := list(islice(remaining, CHUNK)):
        readings = recognizer.try_read([image for _, image in chunk if not isinstance(image, ValueError)], **options)
        results = [(name, image if isinstance(image, ValueError) else next(readings)) for name, image in chunk]
        file.write(as_csv(_cells(name, result)[:columns] for name, result in results if isinstance(result, Reading)))
        file.flush()
        os.fsync(file.fileno())
        yield from ((name, result) for name, result in results if isinstance(result, ValueError))


def _cells(name: str, reading: Reading) -> list[str]:
    """A row under `READING_COLUMNS`."""
    alternatives = [(text, round(probability, 4)) for text, probability in reading.alternatives]
    words = [(word.text, round(word.confidence, 4)) for word in reading.words]
    lists = (dumps(pairs, ensure_ascii=False) for pairs in (alternatives, words))
    return [name, reading.text, f"{reading.confidence:.4f}", *lists]


def complete_rows(file: BinaryIO, columns: int) -> Iterator[tuple[str, int]]:
    """The rows from where a file stands, up to one that a kill cut short.

    Args:
        file: a table that `append_readings` has written.
        columns: their number.
    Yields:
        The name of the image, and where in the file its row ends.
    """
    place = file.tell()

    def lines() -> Iterator[str]:
        nonlocal place
        for line in file:
            if line.endswith(b"\n"):
                place += len(line)
                yield line.decode()

    with suppress(csv.Error, UnicodeDecodeError):  # a quote that is never closed, or what a power cut leaves
        for row in csv.reader(lines(), strict=True):
            if row and (len(row) != columns or "\n" in row[1]):
                return
            if row:  # not a blank line
                yield as_written(row[0]), place


def read_to_csv(
    recognizer: Reader,
    paths: Iterable[str | Path] | str | Path,
    table: str | Path,
    *,
    root: str | Path | None = None,
    **options: Any,
) -> list[ValueError]:
    """See `Recognizer.read_to_csv`."""
    table = Path(table)
    paths = find_images(paths) if isinstance(paths, (str, os.PathLike)) else paths
    path_of = {_name(path, root): path for path in paths}  # all of them, so that a wrong one is reported before any work
    with locked(table, wait=False), with_remedy(table, kept="the rows before are kept"), open(table, "a+b") as file:
        done = _resume(file, table)
        new = ((name, path) for name, path in path_of.items() if name not in done)
        return [error for _, error in append_readings(file, recognizer, new, len(SHORT_COLUMNS), **options)]


def _name(path: str | Path, root: str | Path | None) -> str:
    """What a row is called: the path below the root, or as it was given."""
    path = Path(path)
    return printable((path.relative_to(root) if root is not None else path).as_posix())


def _resume(file: BinaryIO, table: Path) -> set[str]:
    """Drop a last row that a kill cut short, write the header if it is missing; the names in the complete rows."""
    expected = as_csv([SHORT_COLUMNS])
    file.seek(0)
    first = file.readline()
    header = first.removeprefix(codecs.BOM_UTF8)  # spreadsheets write one
    if header.rstrip(b"\r\n").replace(b'"', b"") != expected.rstrip() and not expected.startswith(header):
        raise ValueError(
            f"{table}: not a table of readings, which starts with {','.join(SHORT_COLUMNS)!r}; this one starts with "
            f"{header.rstrip()[:80].decode(errors='replace')!r}; name another file"
        )
    has_header = header.endswith(b"\n")  # else a kill cut it short
    rows = list(complete_rows(file, len(SHORT_COLUMNS)))
    end = rows[-1][1] if rows else len(first) if has_header else len(first) - len(header)
    _check_rest(file, end, table)
    file.truncate(end)
    if not has_header:
        file.write(expected)
    return {name for name, _ in rows}


def _check_rest(file: BinaryIO, end: int, table: Path) -> None:
    """Raise a ValueError if more follows the complete rows than a kill can leave: the user has to repair the table."""
    file.seek(end)
    rest = file.read()
    if not END_OF_ROW.search(rest):
        return
    file.seek(0)
    number, line = file.read(end).count(b"\n") + 1, rest.partition(b"\n")[0]
    fault = "not a row of readings; is a quote there never closed? Repair the line"
    try:
        line.decode()
    except UnicodeDecodeError as error:
        fault = f"the byte 0x{line[error.start]:02x} is not UTF-8; save the table as UTF-8"
    raise ValueError(f"{table}, line {number}: {fault}")
