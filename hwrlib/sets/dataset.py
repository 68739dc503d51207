"""Labelled lines on disk: `LineDataset`, and several of them as one."""

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch.utils.data import ConcatDataset, Dataset

from hwrlib.collate import Sample
from hwrlib.images import Normalisation
from hwrlib.sets.cache import InkCache
from hwrlib.sets.labels import read_labels, why_unusable

MAX_BROKEN = 0.05  # fraction of a split's images that may be unreadable; beyond it the data set itself is at fault


@dataclass(frozen=True)
class Skipped:
    """A row of the label table that is not used, and why."""

    name: str
    reason: str


class LineDataset(Dataset):
    """The labelled lines of one split; `dataset[i]` is a `Sample`.

    Args:
        folder: a data set in the standard layout (`data/README.md`).
        split: "train", "validation" or "test".
        normalisation: how every image is prepared.
    Attributes:
        names, texts: the image file and the label of every line.
        writers: who wrote each line; "" without a column WRITER in the table.
        widths: (len,) px of every line after normalisation.
        skipped: rows that are not used: those with a `why_unusable`, further rows of an image, broken images, what `select`
            excluded.
        ink_digest: of the ink of all lines that can be read, selected or not.
    Raises:
        FileNotFoundError: the table or the folder is missing.
        ValueError: no line is left, or more than 5 % of the images are missing or unreadable.
    """

    def __init__(self, folder: str | Path, split: str, normalisation: Normalisation = Normalisation()):
        self.folder, self.split, self.normalisation = Path(folder), split, normalisation
        check_split(folder, split)
        labels = read_labels(self.folder / f"{split}.csv", optional_column="WRITER")
        faults = list(map(why_unusable, labels["IDENTITY"]))
        self.skipped = [Skipped(name, fault) for name, fault in zip(labels["FILENAME"], faults) if fault]
        labels = labels[np.array([fault is None for fault in faults], bool)]
        repeated = labels.duplicated("FILENAME")
        self.skipped += [Skipped(name, "not the first row of its image") for name in labels["FILENAME"][repeated]]
        labels = labels[~repeated]
        self.names, self.texts = labels["FILENAME"].tolist(), labels["IDENTITY"].tolist()
        self.writers = labels["WRITER"].tolist()
        self._on_disk = _other_spellings(self.folder / split, self.names)
        files = [self._on_disk.get(name, name) for name in self.names]
        self._cache = InkCache(self.folder / split, files, normalisation)
        self._rows, self.widths, self.ink_digest = np.arange(len(self.names)), self._cache.widths, self._cache.digest
        self._skip_broken()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self._cache[self._rows[index]], self.texts[index], self.names[index])

    def path(self, index: int) -> Path:
        """The image file of a line."""
        name = self.names[index]
        return self.folder / self.split / self._on_disk.get(name, name)

    def select(self, indices: np.ndarray, reason: str) -> None:
        """Keep only these lines, in this order; the others go to `skipped` with the reason."""
        excluded = np.setdiff1d(np.arange(len(self)), indices)
        self.skipped += [Skipped(self.names[i], reason) for i in excluded]
        self._keep(indices)

    def _keep(self, indices: np.ndarray) -> None:
        self.names, self.texts = [self.names[i] for i in indices], [self.texts[i] for i in indices]
        self.writers = [self.writers[i] for i in indices]
        self._rows, self.widths = self._rows[indices], self.widths[indices]

    def _skip_broken(self) -> None:
        """Skip rows whose image cannot be read, or reject the whole split if they are many."""
        broken = self._cache.broken
        if len(broken) > MAX_BROKEN * len(self):
            raise ValueError(
                f"{self.folder / self.split}: {len(broken)} of {len(self)} images cannot be read, more "
                f"than {MAX_BROKEN:.0%}. {'; '.join(list(broken.values())[:3])}"
            )
        if len(broken) == len(self):
            raise ValueError(f"{self.folder / (self.split + '.csv')}: no labelled line in this split")
        self.skipped += [Skipped(self.names[i], reason) for i, reason in broken.items()]
        self._keep(np.setdiff1d(np.arange(len(self)), list(broken)))


def check_split(folder: str | Path, split: str) -> None:
    """Check that a split's table and its folder of images are there, before any work is done.

    Raises:
        FileNotFoundError: one of them is missing.
    """
    table, images = Path(folder, f"{split}.csv"), Path(folder, split)
    if not table.is_file():
        raise FileNotFoundError(
            f"{table}: no such table; a data set holds train.csv, validation.csv, test.csv "
            "and a folder of images for each (see data/README.md)"
        )
    if not images.is_dir():
        raise FileNotFoundError(f"{images}: no such folder; it holds the images of {table.name}")


def _other_spellings(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """The files that are not spelled as in the table: macOS and some archives decompose the accents of file names."""
    missing = {name for name in names if not name.isascii() and not os.path.exists(folder / name)}
    if not missing:  # the folder need not be listed
        return {}
    paths = (os.path.join(root, file) for root, _, files in os.walk(folder) for file in files)
    found = [os.path.relpath(path, folder).replace(os.sep, "/") for path in paths]
    spelled = {unicodedata.normalize("NFC", file): file for file in found}
    return {name: spelled[name] for name in missing & spelled.keys()}


class JoinedLines(ConcatDataset):
    """The lines of several data sets, one after the other, to be trained on together."""

    @property
    def widths(self) -> np.ndarray:
        """(len,) px of every line after normalisation."""
        return np.concatenate([lines.widths for lines in self.datasets])

    def shares(self, balance: float) -> np.ndarray | None:
        """How often each line is drawn, (len,), on average once: a writer of n lines n ** (1 - balance) times; None if 0.

        Raises:
            ValueError: a line has no writer.
        """
        if balance == 0:
            return None
        if missing := [lines.folder for lines in self.datasets if "" in lines.writers]:
            raise ValueError(f"{missing[0] / 'train.csv'}: `balance` needs the column WRITER with a name in every row")
        _, writer, lines_of = np.unique(
            [f"{number} {name}" for number, lines in enumerate(self.datasets) for name in lines.writers],
            return_inverse=True,
            return_counts=True,
        )
        shares = lines_of[writer] ** -float(balance)
        return shares / shares.mean()
