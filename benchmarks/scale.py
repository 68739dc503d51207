"""Whether speed and memory stay the same when a data set grows: caching, training, reading, preparing."""

import zipfile
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.measure import in_fresh_python
from hwrlib.sets.labels import read_labels

TRAINED = 1600  # images to train on, at each size
MOST_READ = 100_000  # larger sets are not read: smaller ones already show whether memory grows

CACHE = """
import sys, time
from hwrlib.sets.dataset import LineDataset
began = time.perf_counter()
LineDataset(sys.argv[1], "train")"""

TRAIN = """
import sys, time
from hwrlib.charset import Charset
from hwrlib.runs.config import TrainConfig
from hwrlib.sets.dataset import LineDataset
from hwrlib.collate import train_loader
from hwrlib.runs.state import new_training
from hwrlib.train import train_step
lines = LineDataset(sys.argv[1], "train")
charset = Charset.from_texts(lines.texts)
loader = train_loader(lines, charset, batch_size=16)
training = new_training(TrainConfig(), charset, len(loader))
loader = training.accelerator.prepare(loader)
began, left = time.perf_counter(), int(sys.argv[2])
while left > 0:
    for batch in loader:
        train_step(training, batch)
        left -= len(batch.texts)
        if left <= 0:
            break"""

READ = """
import sys, time
from hwrlib import Recognizer
from hwrlib.common.files import find_images
began = time.perf_counter()
assert sum(1 for reading in Recognizer.pretrained("names").read_each(find_images(sys.argv[1]))) == int(sys.argv[2])"""

PREPARE = """
import sys, time
from hwrlib.sources import prepare_kaggle
began = time.perf_counter()
prepare_kaggle(sys.argv[1], sys.argv[2])"""


def scale(data: str | Path, sizes: list[int], work: Path) -> list[dict[str, Any]]:
    """Measure data sets of several sizes.

    Args:
        data: a data set whose training images are repeated.
        sizes: numbers of images.
        work: an empty folder on the same disk; the largest set takes a few GB.
    Returns:
        For each size images per second and peak memory in MiB of caching, training, reading a folder, and preparing.
    """
    rows = []
    for size in sizes:
        folder = _repeated(Path(data), size, work / f"set_{size}")
        row: dict[str, Any] = {"images": size}
        row |= _timed("cache", size, CACHE, folder)
        row |= _timed("train", TRAINED, TRAIN, folder, TRAINED)
        if size <= MOST_READ:
            row |= _timed("read", size, READ, folder / "train", size)
        archive = _kaggle_archive(folder, work / f"kaggle_{size}.zip")
        row |= _timed("prepare", size, PREPARE, archive, work / f"prepared_{size}")
        rows.append(row)
    return rows


def _timed(name: str, images: int, code: str, *arguments: object) -> dict[str, float]:
    seconds, peak = in_fresh_python(code, *arguments)
    return {f"{name} images/s": images / seconds, f"{name} MiB": peak}


def _repeated(data: Path, size: int, folder: Path) -> Path:
    """A data set whose training split has so many images: those of `data`, repeated, as hard links."""
    labels = read_labels(data / "train.csv")
    rows = list(islice(cycle(labels[["FILENAME", "IDENTITY"]].itertuples(index=False)), size))
    (folder / "train").mkdir(parents=True)
    names = [f"{number:06d}_{Path(name).name}" for number, (name, _) in enumerate(rows)]
    for name, (source, _) in zip(names, rows):
        (folder / "train" / name).hardlink_to(data / "train" / source)
    pd.DataFrame({"FILENAME": names, "IDENTITY": [text for _, text in rows]}).to_csv(folder / "train.csv", index=False)
    return folder


def _kaggle_archive(folder: Path, path: Path) -> Path:
    """The same images as an archive like Kaggle's, a tenth of them each for validation and test."""
    table = read_labels(folder / "train.csv")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for number, split in enumerate(("train", "validation", "test")):
            chosen = table[table.index % 10 == number] if number else table[table.index % 10 > 2]
            archive.writestr(f"written_name_{split}_v2.csv", chosen.to_csv(index=False))
            for name in chosen["FILENAME"]:
                archive.write(folder / "train" / name, f"{split}_v2/{split}/{name}")
    return path
