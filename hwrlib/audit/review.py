"""Suspect labels, one after the other, with buttons: the part of the label audit that only a person can do."""

import html
import io
from pathlib import Path

import ipywidgets as widgets
import pandas as pd
from PIL import Image

from hwrlib.audit import save_suspects
from hwrlib.images import to_grey
from hwrlib.labels import is_special

HEIGHT = 72   # px at which an image is shown


class Review(widgets.VBox):
    """A page of buttons for Jupyter; every decision is in the CSV before the next suspect is shown.

    Args:
        table: suspects, the most suspect first, in the columns ``hwrlib.audit.COLUMNS``; not empty.
        data: folder of the data set.
        path: of the CSV, written anew at each decision (see :func:`hwrlib.audit.save_suspects`).
    """

    def __init__(self, table: pd.DataFrame, data: str | Path, path: str | Path):
        self.data, self.path = Path(data), Path(path)
        self.table = save_suspects(table, path)
        undecided = self.table.index[self.table["DECISION"] == ""]
        self.place = int(undecided[0]) if len(undecided) else 0
        self.heading, self.picture = widgets.HTML(), widgets.Image(format="png")
        self.picture.layout.height = f"{HEIGHT}px"
        self.reading = widgets.Text(description="reading")
        buttons = [self._button("accept", "the reading is right (mend it first, if need be)", "success"),
                   self._button("refuse", "the label is right", "danger"),
                   self._button("drop", "neither can be said: leave the line out", "warning")]
        back = widgets.Button(description="back", tooltip="to the suspect before")
        back.on_click(lambda _: self.show(self.place - 1))
        super().__init__([self.heading, self.picture, self.reading, widgets.HBox([*buttons, back])])
        self.show(self.place)

    def _button(self, decision: str, tooltip: str, style: str) -> widgets.Button:
        button = widgets.Button(description=decision, tooltip=tooltip, button_style=style)
        button.on_click(lambda _: self.decide(decision))
        return button

    def show(self, place: int) -> None:
        """Turn to a suspect, counted from 0; the ends of the list stop it."""
        self.place = min(max(place, 0), len(self.table) - 1)
        row = self.table.iloc[self.place]
        decided = (self.table["DECISION"] != "").sum()
        self.heading.value = (f"{self.place + 1} of {len(self.table)}, {decided} decided · {html.escape(row['FILENAME'])} · label "
                              f"<b>{html.escape(row['IDENTITY'])}</b> · suspicion {row['SUSPICION']:.1f} · {row['DECISION'] or 'undecided'}")
        self.reading.value = row["READING"]
        picture = io.BytesIO()
        Image.fromarray(to_grey(self.data / row["SPLIT"] / row["FILENAME"])).save(picture, "png")
        self.picture.value = picture.getvalue()

    def decide(self, decision: str) -> None:
        """Note a decision on the suspect that is shown, save the table, and turn to the next.

        An empty reading cannot be accepted: the page says so and stays.
        """
        reading = self.reading.value.strip()
        if decision == "accept" and is_special(reading):
            self.heading.value += " · <b>write what stands there, or drop the line</b>"
            return
        self.table.loc[self.place, "DECISION"] = decision
        if decision == "accept":
            self.table.loc[self.place, "READING"] = reading
        self.table = save_suspects(self.table, self.path)
        self.show(self.place + 1)
