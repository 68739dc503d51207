"""A table of readings that grows while images are read: killed and started again, it continues where it stopped."""

import codecs
import csv
import io
import os
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from hwrlib.common.files import find_images, locked, with_remedy
from hwrlib.decode import printable
from hwrlib.reader import CHUNK, Reader
from hwrlib.sets.labels import as_written, spreadsheet_safe

COLUMNS = ["filename", "text", "confidence"]
HEADER = (",".join(COLUMNS) + "\r\n").encode()
END_OF_ROW = re.compile(r",[\d.]+\r?\n")  # a kill cuts a row before this


def read_to_csv(
    recognizer: Reader,
    paths: Iterable[str | Path] | str | Path,
    table: str | Path,
    *,
    root: str | Path | None = None,
    **options,
) -> list[ValueError]:
    """See `Recognizer.read_to_csv`."""
    table, errors = Path(table), []
    paths = find_images(paths) if isinstance(paths, (str, os.PathLike)) else paths
    path_of = {_key(path, root): path for path in paths}  # all of them, so that a wrong one is reported before any work
    with locked(table, wait=False), with_remedy(table, kept="the rows before are kept"), open(table, "a+b") as file:
        done = _complete_rows(file, table)
        new = iter([(key, path) for key, path in path_of.items() if key not in done])
        while chunk := list(islice(new, CHUNK)):
            rows = io.StringIO()
            for (key, _), reading in zip(chunk, recognizer.try_read([path for _, path in chunk], **options)):
                if isinstance(reading, ValueError):
                    errors.append(reading)
                else:
                    cells = map(spreadsheet_safe, (key, reading.text))
                    csv.writer(rows).writerow((*cells, f"{reading.confidence:.4f}"))
            file.write(rows.getvalue().encode())
            file.flush()
            os.fsync(file.fileno())
    return errors


def _key(path: str | Path, root: str | Path | None) -> str:
    """What a row is called: the path below the root, or as it was given."""
    path = Path(path)
    return printable((path.relative_to(root) if root is not None else path).as_posix())


def _complete_rows(file: BinaryIO, table: Path) -> set[str]:
    """Drop a last row that a kill cut short, write the header if it is missing; the file names of the complete rows."""
    file.seek(0)
    content = file.read()
    start = len(codecs.BOM_UTF8) if content.startswith(codecs.BOM_UTF8) else 0  # spreadsheets write one
    header = content[start:].split(b"\n", 1)[0].rstrip(b"\r")
    if header.replace(b'"', b"") != HEADER.rstrip() and not HEADER.startswith(content):  # more than a part of the header
        raise ValueError(
            f"{table}: not a table of readings, which starts with {','.join(COLUMNS)!r}; this one starts with "
            f"{header[:80].decode(errors='replace')!r}; name another file"
        )
    complete = content[start : content.rfind(b"\n") + 1]  # what follows may even end within a character
    try:
        lines = list(io.StringIO(complete.decode(), newline=""))
    except UnicodeDecodeError as error:
        line, byte = complete.count(b"\n", 0, error.start) + 1, complete[error.start]
        raise ValueError(f"{table}, line {line}: the byte 0x{byte:02x} is not UTF-8; save the table as UTF-8") from None
    names, count = _parse(lines, table)
    file.truncate(start + len("".join(lines[:count]).encode()))
    if not count:
        file.write(HEADER)
    return names


def _parse(lines: list[str], table: Path) -> tuple[set[str], int]:
    """The file names of the complete rows, and how many lines they and the header take.

    Raises:
        ValueError: a line is not a row, and what follows it is more than a kill can leave.
    """
    reader, names = csv.reader(lines[1:]), set()
    count = len(lines[:1])
    try:
        for row in filter(None, reader):
            if len(row) != len(COLUMNS) or "\n" in row[1]:
                break
            names.add(as_written(row[0]))
            count = 1 + reader.line_num
    except csv.Error:  # a cell without end, or NUL characters
        pass
    if any(map(END_OF_ROW.search, lines[count:])):
        raise ValueError(f"{table}, line {count + 1}: not a row of readings; is a quote there never closed? Repair the line")
    return names, count
