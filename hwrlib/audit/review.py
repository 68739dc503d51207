"""Review of suspects with buttons in a notebook: the part of the label audit that only a person can do."""

import html
import io
from pathlib import Path

import ipywidgets as widgets
import pandas as pd
from PIL import Image

from hwrlib.audit.suspects import save_suspects
from hwrlib.images import to_grey
from hwrlib.labels import is_special

HEIGHT = 72  # px at which an image is shown


class Review(widgets.VBox):
    """One suspect at a time, with buttons; each decision is saved before the next suspect is shown.

    Args:
        table: suspects, the most suspect first, in the columns `hwrlib.audit.COLUMNS`; not empty.
        data: folder of the data set.
        path: the CSV to which decisions are saved (see `hwrlib.audit.save_suspects`).
    """

    def __init__(self, table: pd.DataFrame, data: str | Path, path: str | Path):
        self.data, self.path = Path(data), Path(path)
        self.table = save_suspects(table, path)
        undecided = self.table.index[self.table["DECISION"] == ""]
        self.heading, self.picture = widgets.HTML(), widgets.Image(format="png")
        self.picture.layout.height = f"{HEIGHT}px"
        self.reading = widgets.Text(description="reading")
        buttons = [
            self._button("accept", "the reading is right (correct it first if necessary)", "success"),
            self._button("refuse", "the label is right", "danger"),
            self._button("drop", "neither is certain: exclude the line", "warning"),
        ]
        back = widgets.Button(description="back", tooltip="to the previous suspect")
        back.on_click(lambda _: self.show(self.position - 1))
        super().__init__([self.heading, self.picture, self.reading, widgets.HBox([*buttons, back])])
        self.show(int(undecided[0]) if len(undecided) else 0)

    def _button(self, decision: str, tooltip: str, style: str) -> widgets.Button:
        button = widgets.Button(description=decision, tooltip=tooltip, button_style=style)
        button.on_click(lambda _: self.decide(decision))
        return button

    def show(self, position: int) -> None:
        """Show the suspect at a position, counted from 0; a position beyond either end shows the suspect at that end."""
        self.position = min(max(position, 0), len(self.table) - 1)
        row = self.table.iloc[self.position]
        decided = (self.table["DECISION"] != "").sum()
        name, label = html.escape(row["FILENAME"]), html.escape(row["IDENTITY"])
        self.heading.value = (
            f"{self.position + 1} of {len(self.table)}, {decided} decided · {name} · label <b>{label}</b> · "
            f"suspicion {row['SUSPICION']:.1f} · {row['DECISION'] or 'undecided'}"
        )
        self.reading.value = row["READING"]
        picture = io.BytesIO()
        Image.fromarray(to_grey(self.data / row["SPLIT"] / row["FILENAME"])).save(picture, "png")
        self.picture.value = picture.getvalue()

    def decide(self, decision: str) -> None:
        """Record a decision on the suspect shown, save the table, and show the next one.

        An empty reading cannot be accepted: the heading says so, and the suspect stays.
        """
        reading = self.reading.value.strip()
        if decision == "accept" and is_special(reading):
            self.heading.value += " · <b>type the text in the image, or drop the line</b>"
            return
        self.table.loc[self.position, "DECISION"] = decision
        if decision == "accept":
            self.table.loc[self.position, "READING"] = reading
        self.table = save_suspects(self.table, self.path)
        self.show(self.position + 1)
