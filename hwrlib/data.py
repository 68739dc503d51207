"""Labelled lines on disk: `LineDataset`, and loaders that group lines by width."""

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Sampler

from hwrlib.cache import InkCache
from hwrlib.charset import Charset
from hwrlib.collate import Batch, Sample, ctc_collate
from hwrlib.images import Normalisation
from hwrlib.labels import is_misread, is_special, read_labels

MAX_BROKEN = 0.05  # fraction of a split's images that may be unreadable; beyond it the data set itself is at fault
BUCKET_BATCHES = 50  # batches whose lines are sorted by width together

__all__ = [
    "Batch",
    "BucketSampler",
    "JoinedLines",
    "LineDataset",
    "Sample",
    "Skipped",
    "check_split",
    "ctc_collate",
    "eval_loader",
    "train_loader",
]


@dataclass(frozen=True)
class Skipped:
    """A row of the label table that is not used, and why."""

    name: str
    reason: str


class LineDataset(Dataset):
    """The labelled lines of one split; `dataset[i]` is a `Sample`.

    Args:
        folder: a data set in the one layout (`data/README.md`).
        split: "train", "validation" or "test".
        normalisation: how every image is prepared.
    Attributes:
        names, texts: the image file and the label of every line.
        writers: who wrote each line; "" without a column WRITER in the table.
        widths: (len,) px of every line after normalisation.
        skipped: rows that are not used: special labels, accents in another encoding, further rows of an image, broken
            images, what `select` excluded.
        ink_digest: of the ink of all lines that can be read, selected or not.
    Raises:
        FileNotFoundError: the table or the folder is missing.
        ValueError: no line is left, or more than 5 % of the images are missing or unreadable.
    """

    def __init__(self, folder: str | Path, split: str, normalisation: Normalisation = Normalisation()):
        self.folder, self.split, self.normalisation = Path(folder), split, normalisation
        check_split(folder, split)
        labels = read_labels(self.folder / f"{split}.csv", optional_column="WRITER")
        special = labels["IDENTITY"].map(is_special).astype(bool)
        misread = labels["IDENTITY"].map(is_misread).astype(bool)
        repeated = labels[~special].duplicated("FILENAME").reindex(labels.index, fill_value=False)
        self.skipped = [Skipped(name, "special label") for name in labels["FILENAME"][special]]
        self.skipped += [Skipped(name, "accents in another encoding") for name in labels["FILENAME"][misread]]
        self.skipped += [Skipped(name, "not the first row of its image") for name in labels["FILENAME"][repeated]]
        labels = labels[~special & ~misread & ~repeated]
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


# Loaders -------------------------------------------------------------------------------------------------------------


class BucketSampler(Sampler[list[int]]):
    """Batches of lines of similar width, in an order that only the seed and the epoch decide.

    Lines are shuffled, cut into buckets of 50 batches, sorted by width within each and cut into batches, which are
    shuffled: little padding, and still another mixture in every epoch.

    Args:
        widths: (len,) px of every line.
        batch_size: lines per batch; the last one may be smaller.
        seed: of the order.
        processes: that take the batches by turns; the first ones come again at the end, so that all have equally many.
        shares: (len,) how often each line is drawn in an epoch, on average once; None: each once.
    """

    def __init__(
        self,
        widths: np.ndarray,
        batch_size: int,
        *,
        seed: int = 0,
        processes: int = 1,
        shares: np.ndarray | None = None,
    ):
        # Not named `batch_size`: Accelerate would complete the batches by itself, and otherwise in a resumed epoch.
        self.widths, self.lines_per_batch, self.seed = np.asarray(widths), batch_size, seed
        self.processes, self.drop_last, self.shares = processes, False, shares
        self.epoch, self.start = 0, 0

    def __len__(self) -> int:
        """Batches in a whole epoch, a multiple of the processes."""
        batches = -(-len(self.widths) // self.lines_per_batch)
        return -(-batches // self.processes) * self.processes

    # Not named `set_epoch`: Accelerate calls a method of that name with its own count, which a resumed run starts at 0.
    def start_at(self, epoch: int, *, start: int = 0) -> None:
        """Choose the epoch's order and the batch to start with (to resume inside an epoch)."""
        self.epoch, self.start = epoch, start

    def __iter__(self) -> Iterator[list[int]]:
        random, count = np.random.default_rng((self.seed, self.epoch)), self.lines_per_batch
        order, size, batches = random.permutation(self._drawn(random)), count * BUCKET_BATCHES, []
        for first in range(0, len(order), size):
            bucket = order[first : first + size]
            bucket = bucket[np.argsort(self.widths[bucket], kind="stable")]
            batches += [bucket[i : i + count].tolist() for i in range(0, len(bucket), count)]
        random.shuffle(batches)
        batches = list(islice(cycle(batches), len(self)))
        yield from batches[self.start :]

    def _drawn(self, random: np.random.Generator) -> np.ndarray:
        """(len,) the lines of an epoch: one with a share of 1.4 occurs once or twice, one with 0.3 once or not at all."""
        if self.shares is None:
            return np.arange(len(self.widths))
        ends = np.cumsum(self.shares) * (len(self.shares) / self.shares.sum())
        return np.searchsorted(ends, np.arange(len(ends)) + random.random()).clip(max=len(ends) - 1)


def train_loader(
    dataset: LineDataset | JoinedLines,
    charset: Charset,
    *,
    batch_size: int,
    seed: int = 0,
    workers: int = 0,
    processes: int = 1,
    shares: np.ndarray | None = None,
) -> DataLoader:
    """Shuffled batches of lines of similar width; `loader.batch_sampler.start_at` chooses the order."""
    sampler = BucketSampler(dataset.widths, batch_size, seed=seed, processes=processes, shares=shares)
    return _loader(dataset, charset, sampler, workers)


def eval_loader(dataset: LineDataset, charset: Charset, *, batch_size: int = 64, workers: int = 0) -> DataLoader:
    """Every line once, sorted by width so that batches hold little padding."""
    order = np.argsort(dataset.widths, kind="stable")
    batches = [order[i : i + batch_size].tolist() for i in range(0, len(order), batch_size)]
    return _loader(dataset, charset, batches, workers)


def _loader(dataset: Dataset, charset: Charset, batches: Iterable[list[int]], workers: int) -> DataLoader:
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=partial(ctc_collate, charset=charset),
        pin_memory=torch.cuda.is_available(),
    )
