"""A pad that shows what to write and saves ink and label: a data set in your own handwriting, word by word."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import traitlets

from hwrlib.common.files import atomic_write, with_remedy
from hwrlib.live.pad import WritingPad
from hwrlib.models.recognizer import Recognizer
from hwrlib.sets.labels import SPLITS, read_labels


class Collector(WritingPad):
    """Shows one prompt after the other, and saves what is written into a data set in the standard layout.

    Every word is on the disk, image first and label after it, before the next prompt is shown; a new collector
    continues with the first prompt that is not there yet.

    Args:
        folder: of the data set, `data/mine` for instance; created if it is not there.
        prompts: what to write, in order; each is written once.
        held_out: every so many words one goes to the validation split, the others to the training split.
        recognizer: reads along; by default the shipped `names`.
        traits: as for `WritingPad`.
    Raises:
        ValueError: there are no prompts, one is empty, or one occurs twice.
    """

    prompt = traitlets.Unicode(help="what to write now; empty: all is written").tag(sync=True)
    progress = traitlets.Unicode(help="what is done, for the page").tag(sync=True)

    def __init__(
        self,
        folder: str | Path,
        prompts: Sequence[str],
        *,
        held_out: int = 4,
        recognizer: Recognizer | None = None,
        **traits: Any,
    ):
        if not prompts or not all(map(str.strip, prompts)) or len(set(prompts)) < len(prompts):
            raise ValueError(f"prompts must be different texts, at least one, not {list(prompts)[:5]}")
        self.folder, self.prompts, self.held_out = Path(folder), list(prompts), held_out
        self.skipped: set[str] = set()
        super().__init__(recognizer, **traits)
        self._ask()

    @property
    def written(self) -> dict[str, tuple[str, str]]:
        """What is on the disk: prompt -> split and image file, in the order of saving."""
        rows = {}
        for split in SPLITS:
            table = self.folder / f"{split}.csv"
            if table.is_file():
                rows |= {text: (split, name) for name, text in read_labels(table).itertuples(index=False)}
        return dict(sorted(rows.items(), key=lambda row: _number(row[1][1])))

    def save(self) -> None:
        """Save the ink as the prompt, and show the next one.

        Raises:
            ValueError: the pad is empty, or all is written.
            WriteError: the disk is full or read-only; the ink stays on the pad.
        """
        if not self.prompt:
            raise ValueError("all prompts are written; make a collector with others")
        if not self.strokes:
            raise ValueError(f"write {self.prompt!r} on the pad before saving it")
        number = 1 + max((_number(name) for _, name in self.written.values()), default=0)
        split = "validation" if number % self.held_out == 0 else "train"
        name = f"word_{number:04d}.png"
        _, image = cv2.imencode(".png", self.image)
        with with_remedy(self.folder):
            (self.folder / split).mkdir(parents=True, exist_ok=True)
        with atomic_write(self.folder / split / name) as file:
            file.write(image)
        self._write_table(split, [*self._rows(split), (name, self.prompt)])
        self.clear()
        self._ask()

    def skip(self) -> None:
        """Leave out the prompt for now; a new collector shows it again."""
        self.skipped.add(self.prompt)
        self.clear()
        self._ask()

    def take_back(self) -> None:
        """Remove the word that was saved last, and show its prompt again."""
        written = self.written
        if not written:
            return
        text, (split, name) = list(written.items())[-1]
        self._write_table(
            split, [row for row in self._rows(split) if row[0] != name]
        )  # first, so that no row lacks its image
        (self.folder / split / name).unlink(missing_ok=True)
        self.clear()
        self._ask(text)

    def _ask(self, prompt: str | None = None) -> None:
        """Show a prompt: by default the first that is neither written nor skipped."""
        written = self.written
        left = [text for text in self.prompts if text not in written and text not in self.skipped]
        done = sum(text in written for text in self.prompts)
        self.prompt = prompt if prompt in self.prompts else next(iter(left), "")
        self.progress = f"{done} of {len(self.prompts)} written"

    def _rows(self, split: str) -> list[tuple[str, str]]:
        return [(name, text) for text, (its_split, name) in self.written.items() if its_split == split]

    def _write_table(self, split: str, rows: list[tuple[str, str]]) -> None:
        table = io.StringIO()
        csv.writer(table).writerows([("FILENAME", "IDENTITY"), *rows])
        with atomic_write(self.folder / f"{split}.csv") as file:
            file.write(table.getvalue().encode())

    def _receive(self, content: dict[str, Any]) -> None:
        """Take over the ink that the page sends, and do what its buttons ask for; what goes wrong is shown there."""
        super()._receive(content)
        actions = {"save": self.save, "skip": self.skip, "take back": self.take_back}
        try:
            if content.get("action") in actions:
                actions[content["action"]]()
        except (ValueError, OSError) as error:
            self.progress = f"Not saved: {error}"


def _number(name: str) -> int:
    """The number in the name of a saved image; 0 for other images."""
    digits = Path(name).stem.removeprefix("word_")
    return int(digits) if digits.isdigit() else 0
