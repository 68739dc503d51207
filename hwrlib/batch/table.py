"""A table of readings that grows while images are read: killed and started again, it continues where it stopped."""

import csv
import io
import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from hwrlib.files import find_images, locked, with_remedy
from hwrlib.labels import spreadsheet_safe
from hwrlib.recognizer import CHUNK, Recognizer

COLUMNS = ["filename", "text", "confidence"]
HEADER = (",".join(COLUMNS) + "\r\n").encode()


def read_to_csv(
    recognizer: Recognizer,
    paths: Iterable[str | Path] | str | Path,
    table: str | Path,
    *,
    root: str | Path | None = None,
    **options,
) -> list[ValueError]:
    """See `Recognizer.read_to_csv`."""
    table, errors = Path(table), []
    paths = find_images(paths) if isinstance(paths, (str, Path)) else paths
    with locked(table, wait=False), with_remedy(table, kept="the rows before are kept"), open(table, "a+b") as file:
        done = _complete_rows(file, table)
        named = ((_key(path, root), path) for path in paths)
        new = ((key, path) for key, path in named if not (key in done or done.add(key)))
        while chunk := list(islice(new, CHUNK)):
            rows = io.StringIO()
            for (key, _), reading in zip(chunk, recognizer.try_read([path for _, path in chunk], **options)):
                if isinstance(reading, ValueError):
                    errors.append(reading)
                else:
                    csv.writer(rows).writerow((key, spreadsheet_safe(reading.text), f"{reading.confidence:.4f}"))
            file.write(rows.getvalue().encode())
            file.flush()
            os.fsync(file.fileno())
    return errors


def _key(path: str | Path, root: str | Path | None) -> str:
    """What a row is called: the path below the root, or as it was given; bytes that are not UTF-8 as escapes."""
    path = Path(path)
    name = (path.relative_to(root) if root is not None else path).as_posix()
    return spreadsheet_safe(name.encode(errors="backslashreplace").decode())


def _complete_rows(file: BinaryIO, table: Path) -> set[str]:
    """Drop a last row that a kill cut short, write the header if it is missing; the file names of the complete rows."""
    file.seek(0)
    content = file.read()
    if not HEADER.startswith(content):  # more than a part of the header
        first = content.split(b"\n", 1)[0].rstrip(b"\r")
        if first != HEADER.rstrip():
            raise ValueError(
                f"{table}: not a table of readings, which starts with {','.join(COLUMNS)!r}; this one starts with "
                f"{first[:80].decode(errors='replace')!r}; name another file"
            )
    complete = content[: _end_of_rows(content)]
    file.truncate(len(complete))
    if not complete:
        file.write(HEADER)
    return {row[0] for row in csv.reader(io.StringIO(complete.decode(errors="backslashreplace"), newline="")) if row}


def _end_of_rows(content: bytes) -> int:
    """Where the last complete row ends: after a line break that no open quote makes a part of a cell."""
    end = content.rfind(b"\n") + 1
    while end and content.count(b'"', 0, end) % 2:
        end = content.rfind(b"\n", 0, end - 1) + 1
    return end
