"""Tables of labels: reading them, special labels, and splitting rows by group."""

from __future__ import annotations

import codecs
import csv
import io
import random
import re
import reprlib
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hwrlib.common.files import has_control
from hwrlib.metrics import is_special

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "validation", "test")
FORMULA = re.compile(r"'*[=+\-@\t\r\n].*[(|!]", re.DOTALL)  # a cell that a spreadsheet would run, or one with apostrophes
MULTIBYTE = re.compile(  # a character of UTF-8 that is longer than a byte
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)


def why_unusable(text: str) -> str | None:
    """Why a label is not the transcription of an image, in training and in importing; None if it can be one."""
    if is_special(text):
        return "special label"
    if has_control(text):  # a line break is usually the trace of a stray quote
        return "control character in label"
    return "accents in another encoding" if is_misread(text) else None


def is_misread(text: str) -> bool:
    """True if accents were read in the wrong encoding when the table was made: `Ã©` for `é`."""
    try:
        return text.encode("cp1252").decode() != text
    except UnicodeError:
        return False


def spreadsheet_safe(cell: str) -> str:
    """A cell that no spreadsheet runs as a formula: a text such as `=cmd|…` or `@SUM(…)` gets an apostrophe before it.

    Only what can do harm is changed: `-5`, `+33` and `= 12` stay. `as_written` takes the apostrophe off again.
    """
    return "'" + cell if FORMULA.match(cell) else cell


def as_written(cell: str) -> str:
    """The text of a cell that `spreadsheet_safe` has returned."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell[1:]) else cell


def read_labels(
    path: str | Path, *, filename_column: str = "FILENAME", text_column: str = "IDENTITY", optional_column: str = ""
) -> pd.DataFrame:
    """Read a table of labels as text: an empty cell is "", and NULL, NA or nan are what was written.

    Args:
        path: CSV or TSV; comma, semicolon or tab; UTF-8 (with or without BOM), UTF-16 with BOM, or cp1252/latin-1.
        filename_column: header of the column with the image's file name.
        text_column: header of the column with the text.
        optional_column: header of a further column, in capitals or not; its cells are "" in a table without it.
    Returns:
        Columns FILENAME, IDENTITY and the optional one; every cell a str, stripped, NFC.
    Raises:
        ValueError: a column is missing, or the file is not a table.
    """
    columns = {"FILENAME": filename_column, "IDENTITY": text_column}
    data = Path(path).read_bytes()
    if not optional_column:
        return parse_labels(data, name=str(path), columns=columns)
    header = read_header(data, name=str(path), columns=list(columns.values()))
    if found := [column for column in header if column.casefold() == optional_column.casefold()]:
        return parse_labels(data, name=str(path), columns=columns | {optional_column: found[0]})
    return parse_labels(data, name=str(path), columns=columns).assign(**{optional_column: ""})


def read_header(data: bytes, *, name: str, columns: list[str]) -> list[str]:
    """The headers of a table that must have these columns.

    Raises:
        ValueError: a column is missing, or the table is empty; the message names the table.
    """
    return _find_header(decode(data, name=name), name, columns)[0]


def parse_labels(data: bytes, *, name: str, columns: dict[str, str]) -> pd.DataFrame:
    """As `read_labels`, from bytes.

    Args:
        data: the table.
        name: of the table, for error messages.
        columns: name in the result -> header in the table.
    """
    import pandas as pd  # here, since reading images needs other functions of this module only

    return pd.DataFrame(parse_cells(data, name=name, headers=list(columns.values())), columns=list(columns), dtype=object)


def parse_cells(data: bytes, *, name: str, headers: list[str]) -> list[list[str]]:
    """As `parse_labels`, without pandas: the rows, each with the cells under these headers."""
    text = decode(data, name=name)
    header, separator = _find_header(text, name, headers)
    places = [header.index(column) for column in headers]
    rows = []
    # The csv module, not pandas: it distinguishes a row with too many cells (an unquoted comma) from a good one.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        with _cells_of_any_size():
            for cells in reader:
                if any(cells[len(header) :]):
                    raise csv.Error(f"{len(cells)} cells under {len(header)} columns; quote text that holds {separator!r}")
                if any(map(str.strip, cells)):  # not a blank line
                    cells += [""] * (len(header) - len(cells))
                    rows.append([unicodedata.normalize("NFC", cells[place].strip()) for place in places])
    except csv.Error as error:
        never_closed = '; is a quote (") there never closed?' if "end of data" in str(error) else ""
        raise ValueError(f"{name}, line {reader.line_num}: {error}{never_closed}") from None
    return rows[1:]


@contextmanager
def _cells_of_any_size() -> Iterator[None]:
    """Let a label of a million characters cost its own row, not the whole table."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def decode(data: bytes, *, name: str = "the table") -> str:
    """The text of a file in UTF-8 (with or without BOM), UTF-16 with BOM, or cp1252.

    Raises:
        ValueError: the file mixes UTF-8 with other bytes, is in no such encoding, or holds NUL characters; the message names
            the line and the byte.
    """
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding == "utf-16":
            raise _not_decoded(data, name, error, "UTF-16") from None
        if MULTIBYTE.search(data):  # accents of UTF-8 read as cp1252 would turn into other letters in silence
            raise _not_decoded(data, name, error, "UTF-8, though other accents of the file are") from None
        try:
            text = data.decode("cp1252")
        except UnicodeDecodeError as error:
            raise _not_decoded(data, name, error, "UTF-8 and not cp1252") from None
    if (place := text.find("\0")) >= 0:
        line = text.count("\n", 0, place) + 1
        raise ValueError(f"{name}, line {line}: a NUL character; is this UTF-16 or a binary file? Save the table as UTF-8")
    return text


def _not_decoded(data: bytes, name: str, error: UnicodeDecodeError, expected: str) -> ValueError:
    line, byte = data.count(b"\n", 0, error.start) + 1, data[error.start]
    return ValueError(f"{name}, line {line}: the byte 0x{byte:02x} is not {expected}; save the table as UTF-8")


def _find_header(text: str, name: str, columns: list[str]) -> tuple[list[str], str]:
    """The header's cells and the separator under which it holds the most of these columns, then the most cells."""
    line = next((line for line in text.splitlines() if line.strip()), None)
    if line is None:
        raise ValueError(f"{name}: the table is empty")
    with _cells_of_any_size():
        headers = [([cell.strip() for cell in next(csv.reader([line], delimiter=mark))], mark) for mark in ",;\t"]
    header, separator = max(headers, key=lambda pair: (len(set(columns) & set(pair[0])), len(pair[0])))
    for column in columns:
        if column not in header:
            raise ValueError(f"{name}: no column {column!r}; the columns there are {', '.join(map(reprlib.repr, header))}")
        if header.count(column) > 1 and column in columns[:2]:  # of further columns, the first is taken
            places = " and ".join(str(place) for place, cell in enumerate(header, start=1) if cell == column)
            raise ValueError(f"{name}: the columns {places} are both called {column!r}; rename or remove one")
    return header, separator


def split_groups(groups: list, *, validation: float, test: float, seed: int) -> list[str]:
    """Give each row a split so that no group is in two of them.

    Shuffled groups go, the largest first, to the split that lacks most rows; the last ones fill splits that are empty.

    Args:
        groups: the group of each row.
        validation, test: fractions of the rows.
    Returns:
        The split of each row.
    Raises:
        ValueError: the fractions leave nothing for a split, or there are fewer groups than splits.
    """
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise ValueError(f"validation={validation} and test={test} must be above 0 and sum to less than 1")
    sizes = Counter(groups)
    if len(sizes) < len(SPLITS):
        raise ValueError(f"{len(sizes)} groups cannot fill {len(SPLITS)} splits; use a finer group column, or none")
    lacking = dict(zip(SPLITS, (len(groups) * share for share in (1 - validation - test, validation, test))))
    order = random.Random(seed).sample(list(sizes), len(sizes))
    split_of, empty = {}, list(SPLITS)
    for i, group in enumerate(sorted(order, key=sizes.__getitem__, reverse=True)):
        split = max(empty if len(order) - i <= len(empty) else SPLITS, key=lacking.__getitem__)
        split_of[group] = split
        lacking[split] -= sizes[group]
        if split in empty:
            empty.remove(split)
    return [split_of[group] for group in groups]
