"""Rows of a table of labels: reading them with all their columns, and selecting those that can be used."""

import posixpath

import pandas as pd

from hwrlib.common.archives import Source, is_unsafe
from hwrlib.metrics import is_special
from hwrlib.sets.labels import parse_labels, read_header, why_unusable
from hwrlib.sources.report import Counts

SPACE_FOR_CONTROL = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], " ")


def column_headers(
    data: bytes,
    *,
    name: str,
    filename_column: str = "FILENAME",
    text_column: str = "IDENTITY",
    group_column: str | None = None,
) -> dict[str, str]:
    """Decide which columns of a table go into the layout, and under which names: all of them.

    Args:
        data: the table, CSV or TSV.
        name: of the table, for error messages.
        filename_column, text_column, group_column: headers that the table must have.
    Returns:
        Column in the layout -> header in the table. FILENAME and IDENTITY come first; the other columns keep their headers
        and their order. If a header is FILENAME or IDENTITY but another column was chosen for it, its column becomes
        OTHER_FILENAME or OTHER_IDENTITY. Columns without a header are dropped, and so are repeated headers.
    Raises:
        ValueError: a column is missing, or the table is empty.
    """
    required = [filename_column, text_column, *([group_column] if group_column else [])]
    headers = {"FILENAME": filename_column, "IDENTITY": text_column}
    for column in read_header(data, name=name, columns=required):
        if column and column not in headers.values():
            key = column
            while key in headers:
                key = f"OTHER_{key}"
            headers[key] = column
    return headers


def read_rows(data: bytes, *, name: str, columns: dict[str, str]) -> pd.DataFrame:
    """Read the columns of a table, chosen by `column_headers`.

    Args:
        data: the table, CSV or TSV.
        name: of the table, for error messages.
        columns: column in the result -> header in the table.
    Returns:
        As `labels.parse_labels`, with file names in their shortest form (`./a.jpg` becomes `a.jpg`), and with spaces for
        the control characters in further columns, where a stray line break would damage the CSV file.
    """
    table = parse_labels(data, name=name, columns=columns)
    table["FILENAME"] = table["FILENAME"].map(lambda name: name if is_unsafe(name) else posixpath.normpath(name))
    for column in table.columns.difference(["FILENAME", "IDENTITY"]):
        table[column] = table[column].map(lambda cell: cell.translate(SPACE_FOR_CONTROL))
    return table


def select_rows(table: pd.DataFrame, files: list[str], source: Source, *, folder: str = "") -> tuple[pd.DataFrame, Counts]:
    """Select the rows that have a usable label and an image of their own.

    Args:
        table: as from `read_rows`.
        files: for each row, the name of its image in the source, whether it exists or not.
        source: where the images are.
        folder: prefix of this table's images in the source, to count those without a row.
    Returns:
        The selected rows, with `files` as their index, and the counts of the skipped ones by reason.
    """
    counts, taken, selected = Counts(read=len(table)), set(), []
    for name, text, file in zip(table["FILENAME"], table["IDENTITY"], files):
        fault = _fault(name, text, exists=file in source.files, is_taken=name.casefold() in taken)
        selected.append(fault is None)
        if fault:
            counts.left_out[fault] += 1
        else:
            taken.add(name.casefold())  # on some file systems a.jpg and A.jpg are the same file
    counts.kept = sum(selected)
    counts.without_row = sum(file.startswith(folder) for file in source.files.keys() - set(files))
    return table.set_axis(files).loc[selected], counts


def _fault(name: str, text: str, *, exists: bool, is_taken: bool) -> str | None:
    """Why a row cannot be used; None if it can."""
    if is_special(text):
        return f"label {text.upper()}" if text else "empty label"  # which one, for the report
    if fault := why_unusable(text):
        return fault
    if is_unsafe(name):
        return "unsafe file name"
    if not exists:
        return "image missing"
    return "duplicate file name" if is_taken else None
