"""Watch a network learn to read: a few lines on the page, and what is read in them now."""

import base64
import html
import io
import time
from collections.abc import Sequence
from typing import NamedTuple

from IPython.display import HTML, display
from PIL import Image

from hwrlib.collate import Sample
from hwrlib.ctc import greedy_decode
from hwrlib.images import pad
from hwrlib.reader import frames_of
from hwrlib.runs.state import Training

SHARE = 0.02  # of the training's time, at most
KEPT = 5  # earlier readings on the page
STYLE = "border-collapse: collapse; font-size: 13px"
CELL = "text-align: left; padding: 2px 12px 2px 0; font-family: monospace"


class Snapshot(NamedTuple):
    """What was read at some step."""

    step: int
    texts: list[str]


class Watch:
    """Reads some lines again and again while a network is trained, and shows what it reads: give it to `fit` as `on_step`.

    The time it takes is measured, and never more than a fiftieth of the training's: the next reading waits accordingly.

    Args:
        samples: the lines.
    Attributes:
        snapshots: all readings so far.
        seconds: what they took in all.
    """

    def __init__(self, samples: Sequence[Sample]):
        self.samples, self.snapshots, self.seconds = list(samples), [], 0.0
        self._pictures = [_as_png(sample) for sample in self.samples]
        self._next = 0.0  # when to read again, by the clock
        self._display = display(HTML(self._table()), display_id=True)

    def __call__(self, training: Training) -> None:
        """Read the lines with the weights of the current step, if it is time to."""
        began = time.perf_counter()
        if began < self._next or (training.batch < 2 and not self.snapshots):  # the first step of all is slow
            return
        self.snapshots.append(Snapshot(len(training.losses), self._read(training)))
        if self._display:  # None outside a notebook
            self._display.update(HTML(self._table()))
        took = time.perf_counter() - began
        self.seconds += took
        self._next = began + took / SHARE

    def _read(self, training: Training) -> list[str]:
        try:
            frames = frames_of(training.plain_model, *pad([sample.ink for sample in self.samples]))
        finally:
            training.plain_model.train()
        return [training.charset.decode(classes) for classes in greedy_decode(*frames)]

    def _table(self) -> str:
        shown = spread_out(self.snapshots, KEPT + 1)
        steps = [f"step {snapshot.step:,}" for snapshot in shown]
        head = "".join(f'<th style="{CELL}">{step}</th>' for step in ["", *steps])
        rows = []
        for number, (sample, picture) in enumerate(zip(self.samples, self._pictures)):
            cells = [f'<img src="data:image/png;base64,{picture}" alt="{html.escape(sample.text)}" style="height: 26px">']
            for texts in (snapshot.texts for snapshot in shown):
                text = html.escape(texts[number]) or "·"
                cells.append(f"<b>{text}</b>" if texts[number] == sample.text else text)
            rows.append("<tr>" + "".join(f'<td style="{CELL}">{cell}</td>' for cell in cells) + "</tr>")
        return f'<table class="hwr-watch" style="{STYLE}"><tr>{head}</tr>{"".join(rows)}</table>'


def spread_out(snapshots: Sequence[Snapshot], count: int) -> list[Snapshot]:
    """At most so many of them, the first and the last included; between them, each about the same factor of steps on."""
    if len(snapshots) <= count:
        return list(snapshots)
    first, last = snapshots[0].step, snapshots[-1].step
    wanted = [first * (last / first) ** (number / (count - 1)) for number in range(count)]
    chosen = {min(range(len(snapshots)), key=lambda i: abs(snapshots[i].step - step)) for step in wanted}
    return [snapshots[i] for i in sorted(chosen | {len(snapshots) - 1})][-count:]


def _as_png(sample: Sample) -> str:
    file = io.BytesIO()
    Image.fromarray(255 - sample.ink).save(file, "png")
    return base64.b64encode(file.getvalue()).decode()
