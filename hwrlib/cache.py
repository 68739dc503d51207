"""Lines decoded and normalised once: one flat file of uint8 ink, mapped into memory.

A set larger than memory costs only disk, and no epoch ever decodes an image. The file's name holds a fingerprint of the
image files (name, size, time of change) and of the normalisation: if one of them changes, the cache is built again.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from uuid import uuid4

import cv2
import numpy as np
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from hwrlib.files import atomic_write, with_remedy
from hwrlib.images import Normalisation, normalise

VERSION = 3  # raised whenever the same images give other ink
LINES_PER_WORKER = 2000  # another process that builds the cache must be worth its start


class InkCache:
    """The normalised lines of a folder of images; `cache[i]` is (H, W) uint8 ink.

    Args:
        folder: of the images, `data/mine/train` for instance; the cache is kept in `data/mine/.cache/`.
        names: the image files, relative to the folder.
        normalisation: how every image is prepared.
    Raises:
        WriteError: the disk is full or read-only.
    """

    def __init__(self, folder: Path, names: Sequence[str], normalisation: Normalisation):
        self.height = normalisation.height
        self._stem = f"{folder.name}-{hashlib.sha1(repr(normalisation).encode()).hexdigest()[:8]}"
        self._path = folder.parent / ".cache" / f"{self._stem}-{_fingerprint(folder, names)}.ink"
        index_path = self._path.with_suffix(".json")
        if not (index_path.is_file() and self._path.is_file()):
            self._build([folder / name for name in names], normalisation, index_path)
        index = json.loads(index_path.read_text(encoding="utf-8"))
        self.broken: dict[int, str] = {int(i): reason for i, reason in index["broken"].items()}  # why, by place
        self.widths = np.array(index["widths"], dtype=np.int64)  # px of each line; 0 for a broken one
        self._offsets = np.concatenate([[0], np.cumsum(self.widths * self.height)]).astype(np.int64)
        self._ink: np.ndarray | None = None

    def __getitem__(self, index: int) -> np.ndarray:
        if self._ink is None:  # opened late, so that worker processes map the file themselves
            self._ink = np.memmap(self._path, np.uint8, mode="c")  # copy on write: the file is never changed
        return np.array(self._ink[self._offsets[index] : self._offsets[index + 1]]).reshape(self.height, -1)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_ink": None}

    def _build(self, images: Sequence[Path], normalisation: Normalisation, index_path: Path) -> None:
        """Write the ink, then the index that makes it valid; each file appears complete or not at all.

        Several processes may do so at once (those of a data-parallel training); each writes a file of its own.
        """
        with with_remedy(index_path.parent):
            index_path.parent.mkdir(exist_ok=True)
        partial_path = self._path.with_suffix(f".{uuid4().hex}.partial")
        try:
            with with_remedy(self._path), open(partial_path, "wb") as file:
                widths, broken = _write_ink(file, images, normalisation)
        except OSError:
            partial_path.unlink(missing_ok=True)
            raise
        try:
            os.replace(partial_path, self._path)
            with atomic_write(index_path) as file:
                file.write(json.dumps({"widths": widths, "broken": broken}).encode())
        except FileNotFoundError:
            if not index_path.is_file():  # else another process finished first and has tidied up
                raise
        for path in index_path.parent.glob(f"{self._stem}-*"):
            if path not in (self._path, index_path):
                path.unlink(missing_ok=True)


def _write_ink(file, images: Sequence[Path], normalisation: Normalisation) -> tuple[list[int], dict[int, str]]:
    """Normalise every image and write its ink; the widths, and why images are broken, by their place."""
    widths, broken = [], {}
    # Processes, not threads: decoding a line takes such short steps that threads would wait for each other.
    workers = min(os.cpu_count() or 1, len(images) // LINES_PER_WORKER)
    chunks = DataLoader(_Normalised(images, normalisation), batch_size=32, num_workers=workers, collate_fn=list)
    quiet = True if os.environ.get("TQDM_DISABLE") else None  # the notebook's bar ignores the variable
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the workers inherit it; each core has one
    try:
        for i, line in enumerate(chain.from_iterable(tqdm(chunks, desc="caching lines", leave=False, disable=quiet))):
            if isinstance(line, str):
                broken[i] = line
                widths.append(0)
            else:
                file.write(line.tobytes())
                widths.append(line.shape[1])
    finally:
        cv2.setNumThreads(threads)
    file.flush()
    os.fsync(file.fileno())
    return widths, broken


class _Normalised(Dataset):
    """Images, decoded and normalised on demand; the reason instead if one cannot be read."""

    def __init__(self, images: Sequence[Path], normalisation: Normalisation):
        self.images, self.normalisation = images, normalisation

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> np.ndarray | str:
        try:
            return normalise(self.images[index], self.normalisation).ink
        except ValueError as error:
            return str(error)


def _fingerprint(folder: Path, names: Sequence[str]) -> str:
    digest = hashlib.sha1(str(VERSION).encode())
    for name in names:
        try:
            status = os.stat(folder / name)
            digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
        except OSError:
            digest.update(f"{name} missing\n".encode())
    return digest.hexdigest()[:16]
