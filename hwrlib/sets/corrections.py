"""Decisions of a person on suspect labels: read from their table, applied to a data set."""

from pathlib import Path

import numpy as np
import pandas as pd

from hwrlib.common.files import has_control
from hwrlib.metrics import is_special
from hwrlib.sets.dataset import LineDataset
from hwrlib.sets.labels import as_written, parse_labels

DECISIONS = ("", "accept", "refuse", "drop")  # on a suspect label: none yet; the reading is right; the label is; neither


def read_decisions(path: str | Path) -> pd.DataFrame:
    """Read a table of suspect labels, as notebook 05 writes it and a person fills it in.

    Returns:
        Columns SPLIT, FILENAME, IDENTITY (the label), READING, SUSPICION and DECISION; every cell a str.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, a line occurs twice, or a decision is not one of "", "accept", "refuse", "drop";
            the row is named.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such table of corrections; notebook 05 writes one")
    columns = ("SPLIT", "FILENAME", "IDENTITY", "READING", "SUSPICION", "DECISION")
    table = parse_labels(Path(path).read_bytes(), name=str(path), columns=dict(zip(columns, columns))).map(as_written)
    table["DECISION"] = table["DECISION"].str.lower()  # spreadsheets like to begin a cell with a capital
    for number, decision in enumerate(table["DECISION"], start=2):
        if decision not in DECISIONS:
            raise ValueError(f"{path}, row {number}: DECISION must be accept, refuse, drop or empty, not {decision!r}")
    if (twice := table.duplicated(["SPLIT", "FILENAME"])).any():
        raise ValueError(f"{path}, row {twice.idxmax() + 2}: {table['FILENAME'][twice.idxmax()]} occurs here a second time")
    return table


def apply_decisions(dataset: LineDataset, path: str | Path) -> None:
    """Apply a person's decisions on suspect labels: an accepted reading becomes the label, a dropped line is excluded.

    Args:
        dataset: to be changed.
        path: a table as `read_decisions` reads it; rows of other splits are ignored.
    Raises:
        ValueError: an accepted line is not in this split, occurs in it twice, has another label now, or would get an empty
            one; or every line is dropped.
    """
    table = read_decisions(path)
    table = table[(table["SPLIT"] == dataset.split) & table["DECISION"].isin(["accept", "drop"])]
    split, places_of = dataset.folder / dataset.split, {}
    for place, name in enumerate(dataset.names):
        places_of.setdefault(name, []).append(place)
    dropped, accepted = [], {}
    for name, label, reading, decision in zip(*(table[c] for c in ("FILENAME", "IDENTITY", "READING", "DECISION"))):
        places = places_of.get(name, [])
        if decision == "accept" and len(places) != 1:
            raise ValueError(f"{path}: {name} occurs {len(places)} times among the lines of {split}")
        if any(dataset.texts[place] not in (label, reading) for place in places):
            raise ValueError(
                f"{path}: {name} is labelled {label!r} there, but {dataset.texts[places[0]]!r} in {split}; "
                "these corrections belong to another version of the data set"
            )
        if decision == "accept" and (is_special(reading) or has_control(reading)):
            raise ValueError(f"{path}: {name} has {reading!r} as its accepted reading; to exclude the line, write drop")
        if decision == "drop":
            dropped += places
        else:
            accepted[places[0]] = reading
    if len(dropped) == len(dataset):
        raise ValueError(f"{path}: drops every line of {split}")
    for place, reading in accepted.items():
        dataset.texts[place] = reading
    dataset.select(np.setdiff1d(np.arange(len(dataset)), dropped), "dropped by a correction")
