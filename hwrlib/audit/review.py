"""Review of suspects on a notebook page: the part of the label audit that only a person can do."""

import io
from pathlib import Path
from typing import Any, NamedTuple

import anywidget
import pandas as pd
import traitlets
from PIL import Image

import hwrlib.live
from hwrlib.audit.suspects import save_suspects
from hwrlib.decode import to_grey
from hwrlib.live.pad import with_sentence
from hwrlib.metrics import is_special

LIVE = Path(hwrlib.live.__file__).parent
MAX_SIDE = 1600  # px of an image on the page
SENTENCE = (
    "A place to review suspect labels, which this page cannot show. Open the notebook in JupyterLab 4, VS Code or Colab\n"
    "and run the cell, or fill in the column DECISION of the table in a spreadsheet: accept, refuse or drop."
)


class _Before(NamedTuple):
    """What a decision replaced."""

    position: int
    decision: str
    reading: str


class Review(anywidget.AnyWidget):
    """One suspect at a time, with buttons and keys; each decision is saved before the next suspect is shown.

    Keys: a accepts the reading, r refuses it, d drops the line, u undoes the last decision, arrows go back and forward.

    Args:
        table: suspects, the most suspect first, in the columns `hwrlib.audit.SUSPECT_COLUMNS`; not empty.
        data: folder of the data set.
        path: the CSV to which decisions are saved (see `hwrlib.audit.save_suspects`).
    """

    _esm = LIVE / "review.js"
    _css = LIVE / "live.css"

    picture = traitlets.Bytes(help="the line, a PNG file").tag(sync=True)
    shown = traitlets.Dict(help="what the page shows beside it").tag(sync=True)

    def __init__(self, table: pd.DataFrame, data: str | Path, path: str | Path):
        super().__init__()
        self.data, self.path, self.position = Path(data), Path(path), 0
        self.table = save_suspects(table, path)
        self._before: list[_Before] = []  # every decision
        undecided = self.table.index[self.table["DECISION"] == ""]
        self.on_msg(lambda widget, content, buffers: self._receive(content))
        self.show(int(undecided[0]) if len(undecided) else 0)

    def show(self, position: int) -> None:
        """Show the suspect at a position, counted from 0; a position beyond either end shows the suspect at that end."""
        self.position = min(max(position, 0), len(self.table) - 1)
        row, message, picture = self.table.iloc[self.position], "", io.BytesIO()
        try:
            image = Image.fromarray(to_grey(self.data / row["SPLIT"] / row["FILENAME"]))
            image.thumbnail((MAX_SIDE, MAX_SIDE))
            image.save(picture, "png")
        except ValueError as error:
            message = str(error)
        self.picture = picture.getvalue()
        decided = (self.table["DECISION"] != "").sum()
        if decided == len(self.table):
            message = message or "All are decided."
        self.shown = {
            "number": self.shown.get("number", 0) + 1,
            "place": f"{self.position + 1} of {len(self.table)}, {decided} decided · {row['FILENAME']} · "
            f"suspicion {row['SUSPICION']:.1f} · {row['DECISION'] or 'undecided'}",
            "name": row["FILENAME"],
            "label": row["IDENTITY"],
            "reading": row["READING"],
            "message": message,
            "undoable": bool(self._before),
        }

    def decide(self, decision: str, reading: str | None = None) -> None:
        """Record a decision on the suspect shown, save the table, and show the next one.

        An empty reading cannot be accepted: the page says so, and the suspect stays.

        Args:
            decision: "accept", "refuse" or "drop".
            reading: what an accepted line says; by default the table's reading.
        """
        row = self.table.iloc[self.position]
        reading = (row["READING"] if reading is None else reading).strip()
        if decision == "accept" and is_special(reading):
            self.shown = {**self.shown, "message": "Type the text in the image, or drop the line."}
            return
        before = _Before(self.position, row["DECISION"], row["READING"])
        self._save(self.position, decision, reading if decision == "accept" else row["READING"])
        self._before.append(before)
        self.show(self.position + 1)

    def undo(self) -> None:
        """Take the last decision back, save the table, and show its suspect again."""
        if self._before:
            position, decision, reading = self._before[-1]
            self._save(position, decision, reading)
            self._before.pop()
            self.show(position)

    def _save(self, position: int, decision: str, reading: str) -> None:
        """Write the table with this decision; if that fails, the table in memory stays as it is, too."""
        table = self.table.copy()
        table.loc[position, ["DECISION", "READING"]] = decision, reading
        self.table = save_suspects(table, self.path, redecided=position)

    def _receive(self, content: dict[str, Any]) -> None:
        """Do what the page asks for, unless it showed another suspect; a table that cannot be written is said there."""
        action, number = content["action"], content["number"]
        if number != self.shown["number"]:  # a key pressed twice
            return
        try:
            if action in ("back", "next"):
                self.show(self.position + (1 if action == "next" else -1))
            elif action == "undo":
                self.undo()
            else:
                self.decide(action, content["reading"])
        except (ValueError, OSError) as error:
            self.shown = {**self.shown, "message": str(error)}

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The widget, and a sentence for pages that cannot show one."""
        return with_sentence(super()._repr_mimebundle_(**options), SENTENCE)
