"""Lines as batches: `ctc_collate` pads images and labels, loaders group lines of similar width."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import cycle, islice
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from hwrlib.charset import BLANK, Charset
from hwrlib.images import pad

BUCKET_BATCHES = 50  # batches whose lines are sorted by width together


class Sample(NamedTuple):
    """One line of handwriting."""

    ink: np.ndarray  # (H, W) uint8, 0 is paper
    text: str  # the label
    name: str  # the image file's name, for messages


class Lines(Protocol):
    """What a loader needs of a data set."""

    widths: np.ndarray  # (len,) px of every line

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


class Batch(NamedTuple):
    """Lines padded to a common width: N samples, the longest label has S characters."""

    images: Tensor  # (N, 1, H, W) uint8 ink, 0 is paper and padding
    image_widths: Tensor  # (N,) int64, px that are not padding
    targets: Tensor  # (N, S) int64 class indices, padded with the blank
    target_lengths: Tensor  # (N,) int64
    texts: tuple[str, ...]  # the labels as text
    names: tuple[str, ...]  # the image files

    def to(self, device: torch.device) -> "Batch":
        """The same batch with its tensors on a device."""
        return Batch(*(part.to(device) if isinstance(part, Tensor) else part for part in self))


def ctc_collate(samples: Sequence[Sample], *, charset: Charset) -> Batch:
    """Pad images with paper to the width of the widest, labels with blanks to the length of the longest.

    Args:
        samples: N lines of one height; widths differ.
        charset: classes of the characters; characters outside it are skipped in `targets`; `texts` keeps them.
    Returns:
        A batch whose W is the widest image's, rounded up to a multiple of 32 px.
    Raises:
        ValueError: the heights differ.
    """
    images, image_widths = pad([sample.ink for sample in samples])  # (N, 1, H, W), (N,)
    encoded = [charset.encode(sample.text, skip_missing=True) for sample in samples]
    targets = torch.full((len(samples), max(map(len, encoded))), BLANK)  # (N, S)
    for row, classes in zip(targets, encoded):
        row[: len(classes)] = torch.tensor(classes)
    target_lengths = torch.tensor([len(classes) for classes in encoded])  # (N,)
    texts, names = zip(*((sample.text, sample.name) for sample in samples))
    return Batch(torch.from_numpy(images), torch.from_numpy(image_widths), targets, target_lengths, texts, names)


class BucketSampler(Sampler[list[int]]):
    """Batches of lines of similar width, in an order that only the seed and the epoch decide.

    Lines are shuffled, cut into buckets of 50 batches, sorted by width within each and cut into batches, which are
    shuffled: little padding, and still another mixture in every epoch.

    Args:
        widths: (len,) px of every line.
        batch_size: lines per batch; the last one may be smaller.
        seed: of the order.
        processes: their number; the first batches are repeated so that each gets equally many.
        shares: (len,) how often each line is drawn in an epoch, on average once; None: each once.
    """

    def __init__(
        self, widths: np.ndarray, batch_size: int, *, seed: int = 0, processes: int = 1, shares: np.ndarray | None = None
    ):
        # Not named `batch_size`: Accelerate would complete the last batch itself, and differently in a resumed epoch.
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
        """(len,) the lines of an epoch: one with a share of 1.4 occurs once or twice, one with 0.3 once or not at all.

        Systematic resampling: of the cumulative shares, those that pass u, u + 1, u + 2, ... are drawn.
        """
        if self.shares is None:
            return np.arange(len(self.widths))
        ends = np.cumsum(self.shares) * (len(self.shares) / self.shares.sum())
        return np.searchsorted(ends, np.arange(len(ends)) + random.random()).clip(max=len(ends) - 1)


def train_loader(dataset: Lines, charset: Charset, *, batch_size: int, workers: int = 0, **order: Any) -> DataLoader:
    """Shuffled batches of lines of similar width; `order` is `BucketSampler`'s `seed`, `processes` and `shares`."""
    return _loader(dataset, charset, BucketSampler(dataset.widths, batch_size, **order), workers)


def eval_loader(dataset: Lines, charset: Charset, *, batch_size: int = 64, workers: int = 0) -> DataLoader:
    """Every line once, sorted by width so that batches hold little padding."""
    order = np.argsort(dataset.widths, kind="stable")
    batches = [order[i : i + batch_size].tolist() for i in range(0, len(order), batch_size)]
    return _loader(dataset, charset, batches, workers)


def _loader(dataset: Lines, charset: Charset, batches: Iterable[list[int]], workers: int) -> DataLoader:
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=partial(ctc_collate, charset=charset),
        pin_memory=torch.cuda.is_available(),
    )
