"""The table of suspects: a CSV in which a person accepts or rejects each suspicion, with buttons or in a spreadsheet.

Training applies the decisions (its parameter `corrections`); the data set's own files are never changed.
"""

from pathlib import Path

import pandas as pd

from hwrlib.audit.suspicion import SUSPECT_COLUMNS
from hwrlib.common.files import atomic_write, with_remedy
from hwrlib.sets.corrections import read_decisions
from hwrlib.sets.labels import spreadsheet_safe


def save_suspects(table: pd.DataFrame, path: str | Path, *, redecided: int | None = None) -> pd.DataFrame:
    """Write suspects to a CSV, keeping the decisions that are already in it.

    A decision in the file stays unless the table brings a new one or the label has changed since. The file's rows of
    other splits stay, too, and so do all decided rows.

    Args:
        table: suspects in the columns `SUSPECT_COLUMNS`.
        path: the CSV; UTF-8 with a byte order mark, by which spreadsheets recognise the encoding.
        redecided: position of a row whose decision, even none, replaces the file's.
    Returns:
        All rows that were written.
    Raises:
        ValueError: the file at `path` is not a table of decisions (see `hwrlib.sets.corrections.read_decisions`).
        WriteError: the disk is full or protected; the old file is intact.
    """
    path, table = Path(path), table.reset_index(drop=True)
    saved = read_decisions(path).to_dict("records") if path.is_file() else []
    unmatched = {(row["SPLIT"], row["FILENAME"], row["IDENTITY"]): row for row in saved}
    for index, key in enumerate(zip(table["SPLIT"], table["FILENAME"], table["IDENTITY"])):
        row = unmatched.pop(key, None)
        if row and row["DECISION"] and not table.loc[index, "DECISION"] and index != redecided:
            table.loc[index, ["READING", "DECISION"]] = row["READING"], row["DECISION"]
    splits, lines = set(table["SPLIT"]), set(zip(table["SPLIT"], table["FILENAME"]))
    others = [row for (split, name, _), row in unmatched.items() if (split, name) not in lines]
    kept = [row for row in others if row["DECISION"] or row["SPLIT"] not in splits]
    table = pd.concat([table, pd.DataFrame(kept)], ignore_index=True)[SUSPECT_COLUMNS]
    table["SUSPICION"] = pd.to_numeric(table["SUSPICION"], errors="coerce")
    cells = table.assign(**{name: table[name].map(spreadsheet_safe) for name in ("FILENAME", "IDENTITY", "READING")})
    with with_remedy(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        cells.to_csv(file, index=False, float_format="%.2f", encoding="utf-8-sig")
    return table
