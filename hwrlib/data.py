"""A split of a data set, its images decoded and normalised once, and loaders that batch lines of like width.

The cache (``<set>/.cache/``) is one flat file of uint8 ink that is mapped into memory, so that a set larger than
memory costs nothing but disk, and an epoch never decodes an image. Its name holds a fingerprint of the image files
(name, size, time of change) and of the normalisation: when one of them changes, the cache is made anew.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Sampler
from tqdm.auto import tqdm

from hwrlib.charset import BLANK, Charset
from hwrlib.files import atomic_write, with_remedy
from hwrlib.images import Normalisation, normalise, pad, padded_width
from hwrlib.labels import has_control, is_special, read_decisions, read_labels

CACHE_VERSION = 2
MAX_BROKEN_SHARE = 0.05   # of a split's images may be unreadable; more, and the data set itself is at fault
LINES_A_WORKER = 2000     # a process more that builds the cache must be worth its start
BUCKET_BATCHES = 50       # batches whose lines are sorted by width together


class Sample(NamedTuple):
    """One line of handwriting."""

    ink: np.ndarray     # (H, W) uint8, 0 is paper
    text: str           # the label
    name: str           # the image file's name, for messages


class Batch(NamedTuple):
    """Lines padded to a common width. N samples, the longest label has S characters."""

    images: Tensor          # (N, 1, H, W) uint8 ink, 0 is paper and padding
    image_widths: Tensor    # (N,) int64, px that are not padding
    targets: Tensor         # (N, S) int64 class indices, padded with the blank
    target_lengths: Tensor  # (N,) int64
    texts: tuple[str, ...]  # the labels as text
    names: tuple[str, ...]  # the image files


def ctc_collate(samples: Sequence[Sample], *, charset: Charset) -> Batch:
    """Pad images with paper to the width of the widest, labels with blanks to the longest.

    Args:
        samples: N lines of one height; widths differ.
        charset: classes of the characters; characters outside it are left out of ``targets`` (never of ``texts``).
    Returns:
        A batch whose W is the widest image's, rounded up to a multiple of 32 px.
    Raises:
        ValueError: the heights differ.
    """
    images, widths = pad([sample.ink for sample in samples])
    encoded = [charset.encode(sample.text, skip_missing=True) for sample in samples]
    targets = torch.full((len(samples), max(map(len, encoded))), BLANK, dtype=torch.int64)
    for n, classes in enumerate(encoded):
        targets[n, :len(classes)] = torch.tensor(classes, dtype=torch.int64)
    return Batch(torch.from_numpy(images), torch.from_numpy(widths), targets,
                 torch.tensor([len(classes) for classes in encoded]),
                 tuple(sample.text for sample in samples), tuple(sample.name for sample in samples))


@dataclass(frozen=True)
class Skipped:
    """A row of the label table that is not trained on, and why."""

    name: str
    reason: str


class LineDataset(Dataset):
    """The labelled lines of one split. ``dataset[i]`` is a :class:`hwrlib.data.Sample`.

    Args:
        folder: a data set in the one layout.
        split: "train", "validation" or "test".
        normalisation: what every image goes through.
    Raises:
        FileNotFoundError: the table or the folder is not there.
        ValueError: no line is left, or more than 5 % of the images are missing or unreadable.
    """

    def __init__(self, folder: str | Path, split: str, normalisation: Normalisation = Normalisation()):
        self.folder, self.split, self.normalisation = Path(folder), split, normalisation
        table = self.folder / f"{split}.csv"
        if not table.is_file():
            raise FileNotFoundError(f"{table}: no such table; a data set holds train.csv, validation.csv, test.csv "
                                    "and a folder of images for each (see data/README.md)")
        labels = read_labels(table)
        special = labels["IDENTITY"].map(is_special)
        self.skipped = [Skipped(name, "special label") for name in labels["FILENAME"][special]]
        self.names, self.texts = labels["FILENAME"][~special].tolist(), labels["IDENTITY"][~special].tolist()
        self.offsets, self._widths, broken = self._open_cache()
        self._leave_out(broken)
        self._ink = None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        height, width, offset = self.normalisation.height, int(self._widths[index]), int(self.offsets[index])
        ink = np.array(self.ink[offset:offset + height * width]).reshape(height, width)
        return Sample(ink, self.texts[index], self.names[index])

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_ink": None}

    @property
    def ink(self) -> np.ndarray:
        """The cache, a flat array mapped from its file: line ``i`` begins at ``offsets[i]``, row by row."""
        if self._ink is None:   # opened late, so that worker processes map the file themselves
            self._ink = np.memmap(self._cache_path, np.uint8, mode="c")   # copy on write: the file is never changed
        return self._ink

    @property
    def widths(self) -> np.ndarray:
        """(len,) px width of every line after normalisation."""
        return self._widths

    def path(self, index: int) -> Path:
        """The image file of a sample."""
        return self.folder / self.split / self.names[index]

    def keep(self, indices: np.ndarray, reason: str) -> None:
        """Keep only these samples (in this order); the others go to ``skipped`` with the reason."""
        gone = np.setdiff1d(np.arange(len(self)), indices)
        self.skipped += [Skipped(self.names[i], reason) for i in gone]
        self.names, self.texts = [self.names[i] for i in indices], [self.texts[i] for i in indices]
        self.offsets, self._widths = self.offsets[indices], self._widths[indices]

    def correct(self, path: str | Path) -> None:
        """Apply a person's decisions on suspect labels: an accepted reading becomes the label, a dropped line goes.

        Args:
            path: as :func:`hwrlib.labels.read_decisions` reads it; rows of other splits are passed over.
        Raises:
            ValueError: an accepted line is not in this split, stands twice in it, has another label now, or would get an
                empty one.
        """
        table = read_decisions(path)
        table = table[(table["SPLIT"] == self.split) & table["DECISION"].isin(["accept", "drop"])]
        readings, places_of = {}, {}
        for place, name in enumerate(self.names):
            places_of.setdefault(name, []).append(place)
        for name, label, reading, decision in zip(*(table[c] for c in ("FILENAME", "IDENTITY", "READING", "DECISION"))):
            places = places_of.get(name, [])
            if decision == "accept" and len(places) != 1:
                raise ValueError(f"{path}: {name} stands {len(places)} times among the lines of {self.folder / self.split}")
            if any(self.texts[place] not in (label, reading) for place in places):
                raise ValueError(f"{path}: {name} is labelled {label!r} there, but {self.texts[places[0]]!r} in "
                                 f"{self.folder / self.split}; these corrections belong to another version of the data set")
            if decision == "accept" and (is_special(reading) or has_control(reading)):
                raise ValueError(f"{path}: {name} has {reading!r} as its accepted reading; to leave the line out, write drop")
            readings.update(dict.fromkeys(places, reading if decision == "accept" else None))
        for place, reading in readings.items():
            self.texts[place] = reading or self.texts[place]
        if gone := [place for place, reading in readings.items() if reading is None]:
            self.keep(np.setdiff1d(np.arange(len(self)), gone), "dropped by a correction")
        if len(self) == 0:
            raise ValueError(f"{path}: drops every line of {self.folder / self.split}")

    def _leave_out(self, broken: dict[int, str]) -> None:
        """Drop rows whose image cannot be read, or refuse the whole split where they are many."""
        examples = "; ".join(list(broken.values())[:3])
        if len(broken) > MAX_BROKEN_SHARE * len(self):
            raise ValueError(f"{self.folder / self.split}: {len(broken)} of {len(self)} images cannot be read, "
                             f"more than {MAX_BROKEN_SHARE:.0%}. {examples}")
        good = np.setdiff1d(np.arange(len(self)), list(broken))
        if len(good) == 0:
            raise ValueError(f"{self.folder / (self.split + '.csv')}: no labelled line in this split")
        self.skipped += [Skipped(self.names[i], reason) for i, reason in broken.items()]
        self.names, self.texts = [self.names[i] for i in good], [self.texts[i] for i in good]
        self.offsets, self._widths = self.offsets[good], self._widths[good]

    # The cache -----------------------------------------------------------------------------------------------------

    @property
    def _cache_stem(self) -> str:
        """Of all caches of this split and normalisation, whatever the state of the source."""
        return f"{self.split}-{hashlib.sha1(repr(self.normalisation).encode()).hexdigest()[:8]}"

    @property
    def _cache_path(self) -> Path:
        return self.folder / ".cache" / f"{self._cache_stem}-{self._fingerprint}.ink"

    def _open_cache(self) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
        """Offsets and widths of all lines, and the broken ones; made now if the cache is not there."""
        self._fingerprint = self._source_fingerprint()
        index_path = self._cache_path.with_suffix(".json")
        if not (index_path.is_file() and self._cache_path.is_file()):
            self._build_cache(index_path)
        index = json.loads(index_path.read_text(encoding="utf-8"))
        widths = np.array(index["widths"], dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(widths * self.normalisation.height)[:-1]]).astype(np.int64)
        return offsets, widths, {int(i): reason for i, reason in index["broken"].items()}

    def _source_fingerprint(self) -> str:
        digest = hashlib.sha1(str(CACHE_VERSION).encode())
        for name in self.names:
            try:
                status = os.stat(self.folder / self.split / name)
                digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
            except OSError:
                digest.update(f"{name} missing\n".encode())
        return digest.hexdigest()[:16]

    def _build_cache(self, index_path: Path) -> None:
        """Decode and normalise every image; the ink first, then the index that makes it valid, each renamed.

        Several processes may come to do so at once (those of a data-parallel training); each writes a file of its own.
        """
        with with_remedy(index_path.parent):
            index_path.parent.mkdir(exist_ok=True)
        partial_path = self._cache_path.with_suffix(f".{uuid4().hex}.partial")
        widths, broken = [], {}
        # Processes, not threads: the steps of decoding a line are so short that threads would wait for each other.
        workers = min(os.cpu_count() or 1, len(self.names) // LINES_A_WORKER)
        chunks = DataLoader(_Normalising(self), batch_size=32, num_workers=workers, collate_fn=list)
        # tqdm's notebook bar overlooks the variable by itself; None: only in a terminal or a notebook
        quiet = True if os.environ.get("TQDM_DISABLE") else None
        with with_remedy(self._cache_path), open(partial_path, "wb") as file:
            chunks = tqdm(chunks, desc=f"caching {self.split}", leave=False, disable=quiet)
            for i, line in enumerate(chain.from_iterable(chunks)):
                if isinstance(line, str):
                    broken[i] = line
                    widths.append(0)
                else:
                    file.write(line.tobytes())
                    widths.append(line.shape[1])
            file.flush()
            os.fsync(file.fileno())
        try:
            os.replace(partial_path, self._cache_path)
            with atomic_write(index_path) as file:
                file.write(json.dumps({"widths": widths, "broken": broken}).encode())
        except FileNotFoundError:
            if not index_path.is_file():    # else another process was done first and has tidied up
                raise
        for path in index_path.parent.glob(f"{self._cache_stem}-*"):
            if path not in (self._cache_path, index_path):
                path.unlink(missing_ok=True)


class _Normalising(Dataset):
    """The lines of a split, decoded and normalised when asked for; why not, where an image cannot be read."""

    def __init__(self, lines: LineDataset):
        self.lines = lines

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: int) -> np.ndarray | str:
        try:
            return normalise(self.lines.path(index), self.lines.normalisation).ink
        except ValueError as error:
            return str(error)


class JoinedLines(ConcatDataset):
    """The lines of several sets, one after the other, to be trained on together."""

    @property
    def widths(self) -> np.ndarray:
        """(len,) px width of every line after normalisation."""
        return np.concatenate([lines.widths for lines in self.datasets])


class ResidentLines(Dataset):
    """Lines whose ink lies in a device's memory, all of it, where one gather makes a batch of them.

    A GPU trains on more lines a second than a processor can put together. A DataLoader asks for whole batches of this;
    they hold what :func:`hwrlib.data.ctc_collate` would make of the same lines.

    Args:
        parts: sets of lines of one height, one after the other.
        charset: classes of the characters; others are left out of the targets.
        device: in whose memory the lines are kept.
    """

    def __init__(self, parts: Sequence[LineDataset], charset: Charset, device: torch.device):
        self.device, self.height = device, parts[0].normalisation.height
        self.texts, self.names = [text for part in parts for text in part.texts], [n for part in parts for n in part.names]
        self.widths = np.concatenate([part.widths for part in parts])
        begins = np.cumsum([0] + [len(part.ink) for part in parts])
        self._ink = torch.empty(int(begins[-1]), dtype=torch.uint8, device=device)
        for part, begin in zip(parts, begins):
            self._ink[begin:begin + len(part.ink)] = torch.from_numpy(part.ink)
        self._offsets = torch.from_numpy(np.concatenate([part.offsets + b for part, b in zip(parts, begins)])).to(device)
        encoded = [torch.tensor(charset.encode(text, skip_missing=True), dtype=torch.int64) for text in self.texts]
        self._lengths = np.array([len(classes) for classes in encoded])
        self._targets = nn.utils.rnn.pad_sequence(encoded, batch_first=True, padding_value=BLANK).to(device)

    def __len__(self) -> int:
        return len(self.texts)

    def __getitems__(self, indices: list[int]) -> Batch:
        lines = torch.tensor(indices, device=self.device)
        widths, lengths = torch.from_numpy(self.widths[indices]), torch.from_numpy(self._lengths[indices])
        on_device = widths.to(self.device)[:, None, None, None]
        y = torch.arange(self.height, device=self.device)[:, None]
        x = torch.arange(padded_width(int(widths.max())), device=self.device)
        places = self._offsets[lines, None, None, None] + y * on_device + torch.minimum(x, on_device - 1)   # (N, 1, H, W)
        return Batch(self._ink[places] * (x < on_device), widths, self._targets[lines, :int(lengths.max())], lengths,
                     tuple(self.texts[i] for i in indices), tuple(self.names[i] for i in indices))


def with_room_for(parts: Sequence[LineDataset], device: torch.device) -> torch.device | None:
    """The device, if it is a GPU whose free memory holds these lines twice."""
    if device.type != "cuda" or 2 * sum(len(part.ink) for part in parts) > torch.cuda.mem_get_info(device)[0]:
        return None
    return device


class BucketSampler(Sampler[list[int]]):
    """Batches of lines of like width, in an order that depends on the seed and the epoch alone.

    Lines are shuffled, cut into buckets of 50 batches, sorted by width within each and cut into batches, which are
    shuffled again: little padding, and still a new mixture in every epoch.

    Args:
        widths: (len,) px of every line.
        batch_size: lines a batch; the last may be smaller.
        seed: of the order.
    """

    def __init__(self, widths: np.ndarray, batch_size: int, *, seed: int = 0):
        self.widths, self.batch_size, self.seed = np.asarray(widths), batch_size, seed
        self.drop_last = False
        self.epoch, self.start = 0, 0

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        return -(-len(self.widths) // self.batch_size)

    # Not named `set_epoch`: Accelerate calls a method of that name with its own count, which a resumed run begins at 0.
    def start_at(self, epoch: int, *, start: int = 0) -> None:
        """Choose the epoch's order and the batch to begin with (to resume inside an epoch)."""
        self.epoch, self.start = epoch, start

    def __iter__(self) -> Iterator[list[int]]:
        random = np.random.default_rng((self.seed, self.epoch))
        order = random.permutation(len(self.widths))
        size = self.batch_size * BUCKET_BATCHES
        batches = []
        for first in range(0, len(order), size):
            bucket = order[first:first + size]
            bucket = bucket[np.argsort(self.widths[bucket], kind="stable")]
            batches += [bucket[i:i + self.batch_size].tolist() for i in range(0, len(bucket), self.batch_size)]
        random.shuffle(batches)
        yield from batches[self.start:]


def train_loader(dataset: LineDataset | JoinedLines | ResidentLines, charset: Charset, *, batch_size: int, seed: int = 0,
                 workers: int = 0) -> DataLoader:
    """Shuffled batches of like width; ``loader.batch_sampler.begin_at`` chooses the order."""
    return _loader(dataset, charset, BucketSampler(dataset.widths, batch_size, seed=seed), workers)


def eval_loader(dataset: LineDataset | ResidentLines, charset: Charset, *, batch_size: int = 64, workers: int = 0
                ) -> DataLoader:
    """Every line once, sorted by width so that batches hold little padding."""
    order = np.argsort(dataset.widths, kind="stable")
    batches = [order[i:i + batch_size].tolist() for i in range(0, len(order), batch_size)]
    return _loader(dataset, charset, batches, workers)


def _loader(dataset: Dataset, charset: Charset, batches: Iterable[list[int]], workers: int) -> DataLoader:
    if isinstance(dataset, ResidentLines):   # its batches are whole, and on the device
        return DataLoader(dataset, batch_sampler=batches, collate_fn=_as_it_is)
    return DataLoader(dataset, batch_sampler=batches, num_workers=workers, collate_fn=partial(ctc_collate, charset=charset),
                      pin_memory=torch.cuda.is_available())


def _as_it_is(batch: Batch) -> Batch:
    return batch
