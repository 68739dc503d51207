"""The report of an import: how many rows were read, kept and skipped, and why."""

import json
from collections import Counter
from dataclasses import dataclass, field

import pandas as pd

SHOWN = 5  # faults in the printed report


@dataclass
class Counts:
    """What happened to the rows of one table or split."""

    read: int = 0
    kept: int = 0
    left_out: Counter = field(default_factory=Counter)  # reason -> rows skipped
    without_row: int = 0  # files that no row names


@dataclass
class ImportReport:
    """What an import read, kept and skipped; `report.json` in the data set holds the same fields.

    Attributes:
        made_from: the sources, with their size and modification time, and the options.
        splits: `Counts` per split; a set that was split here also has "table", for the table before the split.
        refused: reason -> files of the source that were never opened, or could not be used.
        faults: a sentence about each of the first thousand of those, if there is more to say than the reason.
    """

    made_from: dict = field(default_factory=dict)
    splits: dict[str, Counts] = field(default_factory=dict)
    refused: Counter = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        return json.dumps(self, default=vars, indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        reasons = sum((counts.left_out for counts in self.splits.values()), Counter())
        columns = {
            name: [c.read, *(c.left_out[reason] for reason in reasons), c.kept, c.without_row]
            for name, c in self.splits.items()
        }
        index = ["rows read", *(f"- {reason}" for reason in reasons), "= rows kept", "files without a row"]
        lines = [pd.DataFrame(columns, index=pd.Index(index).str.ljust(max(map(len, index)))).to_string()]
        lines += [f"files of the source skipped, {reason}: {count}" for reason, count in self.refused.items()]
        lines += [f"- {fault}" for fault in self.faults[:SHOWN]]
        if len(self.faults) > SHOWN:
            lines.append(f"- and {len(self.faults) - SHOWN} more, in report.json")
        return "\n".join(lines)

    def check(self) -> None:
        """Raise ValueError if a split is empty or has lost more than half of its rows."""
        for name, counts in self.splits.items():
            if counts.read == 0:
                raise ValueError(f"{name}: no row of labels there\n{self}")
            if counts.kept == 0 or 2 * counts.kept < counts.read:
                raise ValueError(
                    f"{name}: only {counts.kept} of {counts.read} rows are left; do the table and the images "
                    f"belong together?\n{self}"
                )
