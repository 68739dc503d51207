"""A table of readings that grows while images are read: killed and started again, it continues where it stopped."""

import csv
import io
import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from hwrlib.files import with_remedy
from hwrlib.recognizer import CHUNK, Recognizer

COLUMNS = ("filename", "text", "confidence")


def read_to_csv(
    recognizer: Recognizer,
    paths: Iterable[str | Path],
    table: str | Path,
    *,
    root: str | Path | None = None,
    **options,
) -> list[ValueError]:
    """See `Recognizer.read_to_csv`."""
    table, errors = Path(table), []
    with with_remedy(table, kept="the rows before are kept"):
        table.parent.mkdir(parents=True, exist_ok=True)
        with open(table, "a+b") as file:
            done = _complete_rows(file, table)
            named = ((_key(path, root), path) for path in paths)
            new = ((key, path) for key, path in named if not (key in done or done.add(key)))
            while chunk := list(islice(new, CHUNK)):
                rows = io.StringIO()
                for (key, _), reading in zip(chunk, recognizer.try_read([path for _, path in chunk], **options)):
                    if isinstance(reading, ValueError):
                        errors.append(reading)
                    else:
                        csv.writer(rows).writerow((key, reading.text, f"{reading.confidence:.4f}"))
                file.write(rows.getvalue().encode(errors="surrogateescape"))  # file names need not be UTF-8
                file.flush()
                os.fsync(file.fileno())
    return errors


def _key(path: str | Path, root: str | Path | None) -> str:
    """What a row is called: the path below the root, or as it was given."""
    path = Path(path)
    return (path.relative_to(root) if root is not None else path).as_posix()


def _complete_rows(file: BinaryIO, table: Path) -> set[str]:
    """Drop a last row that a kill cut short, write the header if it is missing; the file names of the complete rows."""
    file.seek(0)
    content, header = file.read(), (",".join(COLUMNS) + "\r\n").encode()
    if not (content.startswith(header) or header.startswith(content)):
        first = content[:80].splitlines()[0].decode(errors="replace")
        raise ValueError(
            f"{table}: not a table of readings, which starts with {','.join(COLUMNS)!r}; this one starts with "
            f"{first!r}; name another file"
        )
    complete = content[: content.rfind(b"\n") + 1]
    file.truncate(len(complete))
    if not complete:
        file.write(header)
    return {row[0] for row in csv.reader(io.StringIO(complete.decode(errors="surrogateescape"), newline="")) if row}
