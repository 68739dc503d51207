"""Bring any source of labelled images into the one layout: `<out>/{train,validation,test}/` and three CSV files.

    python -m hwrlib.prepare kaggle ARCHIVE --out data/kaggle
    python -m hwrlib.prepare own IMAGES TABLE --out data/mine --text-column text --group-column writer
    python -m hwrlib.prepare layout SOURCE --out data/lines
"""

from __future__ import annotations

import argparse
import codecs
import csv
import io
import json
import os
import posixpath
import re
import shutil
import stat
import sys
import unicodedata
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
from PIL import Image
from tqdm.auto import tqdm

SPLITS = ("train", "validation", "test")
SPECIAL_LABELS = frozenset({"", "EMPTY", "UNREADABLE", "NONE", "BLANK", "ILLISIBLE"})
IMAGE_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF",
                 ".webp": "WEBP"}
MB = 1_000_000
IMAGE_LIMIT = 20 * MB  # one image, bytes unpacked
TABLE_LIMIT = 200 * MB  # one CSV
TOTAL_LIMIT = 20_000 * MB  # a whole archive; Kaggle's is about 1,300 MB
RATIO_LIMIT = 200  # unpacked to packed, for members over 1 MB; a real CSV stays below 20


def is_special(text: str) -> bool:
    """True for a label that stands for "no text here" and is not itself written in the image."""
    return text.strip().upper() in SPECIAL_LABELS


def read_labels(path: str | Path, *, filename_column: str = "FILENAME", text_column: str = "IDENTITY",
                extra_columns: tuple[str, ...] = ()) -> pd.DataFrame:
    """Read a table of labels as text: an empty cell is "", and NULL, NA or nan stay what was written.

    Args:
        path: CSV or TSV; comma, semicolon or tab; UTF-8 (with or without BOM), UTF-16 with BOM, or cp1252/latin-1.
        filename_column: header of the column with the image's file name.
        text_column: header of the column with the text.
        extra_columns: further columns to keep, as they stand.
    Returns:
        Columns FILENAME and IDENTITY (stripped, NFC), then the extra ones; every cell a str.
    Raises:
        ValueError: a column is missing or would stand twice, or the file is not a table.
    """
    if twice := {"FILENAME", "IDENTITY"}.intersection(extra_columns):
        raise ValueError(f"extra_columns holds {min(twice)!r}, which is a column of the result already")
    return _parse_labels(Path(path).read_bytes(), str(path), (filename_column, text_column, *extra_columns))


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _parse_labels(data: bytes, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    text = _decode(data)
    header, delimiter = _sniff(text, name, columns)
    if missing := [column for column in columns if column not in header]:
        raise ValueError(f"{name}: no column {missing[0]!r}; the columns there are {', '.join(map(repr, header))}")
    places = [header.index(column) for column in columns]
    rows = []
    # The csv module, not pandas: it tells a row with too many cells (an unquoted comma) from a good one.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if len(cells) > len(header) and any(cells[len(header):]):
                raise csv.Error(f"{len(cells)} cells under {len(header)} columns; quote text that holds {delimiter!r}")
            if any(cell.strip() for cell in cells):  # not a blank line
                rows.append([cells[place] if place < len(cells) else "" for place in places])
    except csv.Error as error:
        raise ValueError(f"{name}, line {reader.line_num}: {error}") from None
    table = pd.DataFrame(rows[1:], columns=["FILENAME", "IDENTITY", *columns[2:]], dtype=object)
    for column in ("FILENAME", "IDENTITY"):
        table[column] = [_nfc(cell.strip()) for cell in table[column]]
    return table


def _decode(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            pass
    return data.decode("latin-1")  # takes any byte


def _sniff(text: str, name: str, columns: tuple[str, ...]) -> tuple[list[str], str]:
    """The header's cells and the separator under which it holds the most of the columns asked for, then most cells."""
    line = next((line for line in io.StringIO(text, newline=None) if line.strip()), None)
    if line is None:
        raise ValueError(f"{name}: the table is empty")
    separators = "\t,;" if name.lower().endswith(".tsv") else ",;\t"
    headers = [([cell.strip() for cell in next(csv.reader([line], delimiter=mark))], mark) for mark in separators]
    return max(headers, key=lambda pair: (len(set(columns) & set(pair[0])), len(pair[0])))


@dataclass
class Counts:
    """What became of the rows of one table or split."""

    read: int = 0
    kept: int = 0
    left_out: Counter = field(default_factory=Counter)  # reason -> rows
    without_row: int = 0  # images that no row names


@dataclass
class Report:
    """How many rows were read, kept and left out, and why.

    `splits` holds a `Counts` for each split; a set split here has one more, "table", for the table before the split.
    """

    splits: dict[str, Counts] = field(default_factory=dict)
    refused: Counter = field(default_factory=Counter)  # reason -> files of the source never looked into

    def as_dict(self) -> dict:
        splits = {name: {**vars(counts), "left_out": dict(counts.left_out)} for name, counts in self.splits.items()}
        return {"splits": splits, "refused": dict(self.refused)}

    def to_json(self) -> str:
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        reasons = sum((counts.left_out for counts in self.splits.values()), Counter())
        columns = {name: [c.read, *(c.left_out[reason] for reason in reasons), c.kept, c.without_row]
                   for name, c in self.splits.items()}
        index = ["rows read", *(f"- {reason}" for reason in reasons), "= kept", "images without a row"]
        lines = [pd.DataFrame(columns, index=pd.Index(index).str.ljust(max(map(len, index)))).to_string()]
        lines += [f"refused in the source: {reason}: {count}" for reason, count in self.refused.items()]
        return "\n".join(lines)

    def check(self) -> None:
        """Raise ValueError if a split is empty or has lost more than half of its rows."""
        for name, counts in self.splits.items():
            if counts.kept == 0:
                raise ValueError(f"{name}: no rows are left\n{self}")
            if 2 * counts.kept < counts.read:
                raise ValueError(f"{name}: only {counts.kept} of {counts.read} rows are left\n{self}")


# --- Sources: a zip or a folder as names and bytes. Nothing here writes, so no name in an archive becomes a path. ---


class ArchiveError(ValueError):
    """An archive that is damaged or unpacks past a limit."""


class _Source:
    """Files by their names: relative, '/' between folders, NFC; `refused` counts what is not among them, by reason."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: dict[str, object] = {}
        self.refused: Counter = Counter()

    def add(self, name: str, file: object, fault: str | None = None) -> None:
        key = posixpath.normpath(_nfc(name))
        if fault := fault or ("unsafe name" if _is_unsafe(name) else None):
            self.refused[fault] += 1
        elif any(part.startswith(".") or part in ("__MACOSX", "Thumbs.db") for part in key.split("/")):
            pass  # what file managers leave behind
        elif key in self.files:
            self.refused["duplicate name"] += 1
        else:
            self.files[key] = file

    def open(self, name: str, limit: int) -> BinaryIO:
        raise NotImplementedError

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of one file; ArchiveError if they are more than `limit`, whatever size was declared."""
        data = bytearray()
        try:
            with self.open(name, limit) as file:
                while chunk := file.read(MB):
                    data += chunk
                    if len(data) > limit:
                        raise ArchiveError(f"{self.path}: {name!r} is larger than the limit of {limit // MB} MB")
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            raise ArchiveError(f"{self.path}: {name!r} is damaged ({error}); fetch the archive again") from error
        return bytes(data)


class _Folder(_Source):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        root = os.path.realpath(path)
        for folder, subfolders, files in os.walk(root):
            for name in files + [name for name in subfolders if os.path.islink(os.path.join(folder, name))]:
                full = os.path.join(folder, name)
                # A link may lead out of the folder, a pipe never ends: only plain files are read.
                fault = "link" if os.path.islink(full) else None if os.path.isfile(full) else "not a plain file"
                self.add(os.path.relpath(full, root).replace(os.sep, "/"), full, fault)

    def open(self, name: str, limit: int) -> BinaryIO:
        return open(self.files[name], "rb")


class _Zip(_Source):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            self.zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise ArchiveError(f"{path}: not a zip archive, or a damaged one ({error})") from error
        for info in self.zip.infolist():
            # `orig_filename`, since `filename` is cut at a NUL and has its backslashes turned on Windows.
            if not info.is_dir() or _member_fault(info):
                self.add(info.orig_filename, info, _member_fault(info))
        total = sum(info.file_size for info in self.files.values())
        if total > TOTAL_LIMIT:
            largest = max(self.files, key=lambda name: self.files[name].file_size)
            raise ArchiveError(f"{path}: unpacks to {total // MB:,} MB (largest: {largest!r}), "
                               f"the limit is {TOTAL_LIMIT // MB:,} MB")

    def open(self, name: str, limit: int) -> BinaryIO:
        info = self.files[name]
        if info.file_size > limit:
            raise ArchiveError(f"{self.path}: {name!r} unpacks to {info.file_size / MB:,.0f} MB, "
                               f"the limit is {limit // MB} MB")
        if info.file_size > MB and info.file_size > RATIO_LIMIT * info.compress_size:
            raise ArchiveError(f"{self.path}: {name!r} unpacks to more than {RATIO_LIMIT} times its packed size")
        return self.zip.open(info)


def _member_fault(info: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive was not made on Unix
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "link or device"
    if info.flag_bits & 1:
        return "encrypted"
    # bz2 and lzma inflate a block at a time, however little is asked for: that would pass by the limits.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "packed neither stored nor deflated"
    return None


def _is_unsafe(name: str) -> bool:
    """True for a name that is not plainly relative on every system."""
    return (not name or name.startswith("/") or ".." in name.split("/") or "\\" in name
            or re.match("[A-Za-z]:", name) is not None or _has_control(name))


def _has_control(text: str) -> bool:
    return not text.isprintable() and any(unicodedata.category(character) == "Cc" for character in text)


def _open_source(path: str | Path) -> _Source:
    path = Path(path)
    if path.is_dir():
        return _Folder(path)
    if path.is_file():
        return _Zip(path)
    raise FileNotFoundError(f"{path}: no such archive or folder")


# --- From a source to the layout ---

Rows = list[tuple[str, str, str]]  # (name in the source, name relative to the split's folder, text)


def prepare_kaggle(archive: str | Path, out: str | Path, *, overwrite: bool = False) -> Report:
    """Bring Kaggle's *landlord/handwriting-recognition* into the layout.

    Labels keep their case and accents; special labels and rows without a usable image are left out and counted.

    Args:
        archive: the zip as Kaggle serves it, or the folder it unpacks to.
        out: folder to make; it appears only when it is complete.
        overwrite: replace an earlier set at `out`.
    Raises:
        ArchiveError: the archive is damaged or a bomb.
        ValueError: a table is missing, a split is empty, or more than half of its rows are left out.
        FileExistsError: `out` is there already.
    """
    return _prepare_tables(archive, out, "written_name_{}_v2.csv", "{0}_v2/{0}/", overwrite=overwrite)


def prepare_layout(source: str | Path, out: str | Path, *, overwrite: bool = False) -> Report:
    """Take over a set, zip or folder, that is in the layout already; arguments and errors as in `prepare_kaggle`."""
    return _prepare_tables(source, out, "{}.csv", "{}/", overwrite=overwrite)


def _prepare_tables(path: str | Path, out: str | Path, table_name: str, folder_name: str, *, overwrite: bool) -> Report:
    """Three tables and three folders of images, named by patterns of the split, perhaps all in one enclosing folder."""
    out = _check_out(out, overwrite, path)
    source = _open_source(path)
    report = Report(refused=source.refused)
    first = table_name.format("train")
    bases = [name.removesuffix(first) for name in source.files if re.fullmatch(f"([^/]+/)?{re.escape(first)}", name)]
    base = min(bases, key=len, default="")
    rows = {}
    for split in SPLITS:
        name = base + table_name.format(split)
        if name not in source.files:
            raise ValueError(f"{path}: holds no {name}" + "".join(f"; {why}: {n}" for why, n in source.refused.items()))
        table = _parse_labels(source.read(name, TABLE_LIMIT), f"{path}: {name}", ("FILENAME", "IDENTITY"))
        folder = base + folder_name.format(split)
        images = {name.removeprefix(folder): name for name in source.files if name.startswith(folder)}
        report.splits[split] = Counts()
        rows[split], _ = _select(table, images, report.splits[split])
    return _write_set(source, rows, out, report)


def prepare_own(images: str | Path, table: str | Path, out: str | Path, *, filename_column: str = "FILENAME",
                text_column: str = "IDENTITY", group_column: str | None = None, validation: float = 0.1,
                test: float = 0.1, seed: int = 0, overwrite: bool = False) -> Report:
    """Split a folder of images and their table into the layout.

    Args:
        images: folder; the table's names are relative to it, may lie in subfolders, and may lack their suffix.
        table: CSV or TSV, as `read_labels` takes it.
        out, overwrite: as in `prepare_kaggle`.
        group_column: rows that agree in it (one writer, one page) stay in one split.
        validation, test: fractions of the rows, between 0 and 1; the rest is for training.
        seed: of the shuffle; the same seed and table give the same splits.
    Raises:
        ValueError: as in `prepare_kaggle`, or there are fewer than 3 groups.
    """
    out = _check_out(out, overwrite, images, table)
    if not Path(images).is_dir():
        raise NotADirectoryError(f"{images}: not a folder of images")
    labels = read_labels(table, filename_column=filename_column, text_column=text_column)
    groups = labels.index  # without a group column each row is a group of its own
    if group_column:
        groups = read_labels(table, filename_column=filename_column, text_column=group_column)["IDENTITY"]
    labels["FILENAME"] = labels["FILENAME"].str.replace("\\", "/", regex=False)  # tables written on Windows
    source = _Folder(Path(images))
    report = Report(splits={"table": Counts()}, refused=source.refused)
    rows, places = _select(labels, {name: name for name in source.files}, report.splits["table"])
    report.check()
    splits = split_groups([groups[place] for place in places], validation=validation, test=test, seed=seed)
    parts = {split: [row for row, where in zip(rows, splits) if where == split] for split in SPLITS}
    report.splits |= {split: Counts(read=len(part), kept=len(part)) for split, part in parts.items()}
    return _write_set(source, parts, out, report)


def split_groups(groups: list, *, validation: float, test: float, seed: int) -> list[str]:
    """Give each row a split so that no group stands in two.

    Shuffled groups go, the largest first, to the split that lacks most rows; the last ones fill splits still empty.

    Args:
        groups: the group of each row.
        validation, test: fractions of the rows.
    Returns:
        The split of each row.
    """
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise ValueError(f"validation={validation} and test={test} must be above 0 and sum to less than 1")
    sizes = Counter(groups)
    if len(sizes) < len(SPLITS):
        raise ValueError(f"{len(sizes)} groups cannot fill {len(SPLITS)} splits; use a finer group column, or none")
    lacking = dict(zip(SPLITS, (len(groups) * share for share in (1 - validation - test, validation, test))))
    order = [list(sizes)[i] for i in np.random.default_rng(seed).permutation(len(sizes))]
    split_of, empty = {}, set(SPLITS)
    for i, group in enumerate(sorted(order, key=sizes.__getitem__, reverse=True)):
        choice = empty if len(order) - i <= len(empty) else SPLITS
        split = max((s for s in SPLITS if s in choice), key=lacking.__getitem__)
        split_of[group] = split
        lacking[split] -= sizes[group]
        empty.discard(split)
    return [split_of[group] for group in groups]


def _select(table: pd.DataFrame, images: dict[str, str], counts: Counts) -> tuple[Rows, list[int]]:
    """The rows worth copying and their places in the table; the others are counted by reason.

    Args:
        images: names relative to the folder the table means -> names in the source.
    """
    rows, places, named, taken = [], [], set(), set()
    for place, (name, text) in enumerate(zip(table["FILENAME"], table["IDENTITY"])):
        image = _find_image(name, images)
        named.add(image)
        if fault := _row_fault(name, text, image, image in taken):
            counts.left_out[fault] += 1
        else:
            taken.add(image)
            rows.append((images[image], image, text))
            places.append(place)
    counts.read, counts.kept = len(table), len(rows)
    counts.without_row = sum(image not in named and _suffix(image) in IMAGE_FORMATS for image in images)
    return rows, places


def _find_image(name: str, images: dict[str, str]) -> str | None:
    if _is_unsafe(name):
        return None
    stem = posixpath.normpath(name)
    names = (stem + suffix for lower in ("", *IMAGE_FORMATS) for suffix in (lower, lower.upper()))
    return next((name for name in names if name in images), None)


def _row_fault(name: str, text: str, image: str | None, taken: bool) -> str | None:
    if is_special(text):
        return f"label {text.upper()}" if text else "empty label"
    if _has_control(text):  # a line break is most often the trace of a stray quote
        return "control character in label"
    if _is_unsafe(name):
        return "unsafe file name"
    if image is None:
        return "image missing"
    if _suffix(image) not in IMAGE_FORMATS:
        return f"unsupported suffix {_suffix(image)!r}"
    return "duplicate file name" if taken else None


def _suffix(name: str) -> str:
    return posixpath.splitext(name)[1].lower()


def _write_set(source: _Source, rows: dict[str, Rows], out: Path, report: Report) -> Report:
    report.check()
    bar = tqdm(total=sum(map(len, rows.values())), unit="image", disable=None)  # None: only in a terminal
    with _complete_or_nothing(out) as folder, bar, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for split in SPLITS:
            _write_split(source, rows[split], folder, split, report.splits[split], bar.update)
        report.check()
        _write_synced(folder / "report.json", report.to_json())
    return report


def _write_split(source: _Source, rows: Rows, folder: Path, split: str, counts: Counts,
                 step: Callable[[], object]) -> None:
    (folder / split).mkdir()
    table, used = io.StringIO(), set()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("FILENAME", "IDENTITY"))
    for file, relative, text in rows:
        data = source.read(file, IMAGE_LIMIT)
        if _is_image(data):
            name = _flat_name(relative, used)
            (folder / split / name).write_bytes(data)
            writer.writerow((name, text))
        else:
            counts.left_out["unreadable image"] += 1
            counts.kept -= 1
        step()
    _write_synced(folder / f"{split}.csv", table.getvalue())


def _is_image(data: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(data), formats=sorted(set(IMAGE_FORMATS.values()))) as image:
            image.load()
        return True
    except Exception:  # Pillow raises many kinds on a malformed file
        return False


def _flat_name(relative: str, used: set[str]) -> str:
    """A file name for any system, the same as `relative` if that is one, and unlike all in `used`, which it joins."""
    flat = re.sub(r'[<>:"|?*]', "_", relative.replace("/", "__"))[-100:]  # a name holds at most 255 bytes
    stem, suffix = posixpath.splitext(flat)
    name, count = flat, 1
    while name.casefold() in used:  # some file systems do not tell a.jpg from A.jpg
        count += 1
        name = f"{stem}_{count}{suffix}"
    used.add(name.casefold())
    return name


# --- All or nothing on disk ---


def _check_out(out: str | Path, overwrite: bool, *sources: str | Path) -> Path:
    """The absolute path of `out`, if a set may be put there."""
    out = Path(out).resolve()
    for source in map(Path, sources):
        if source.resolve().is_relative_to(out):
            raise ValueError(f"{out}: holds the source {source}, which it would replace; choose another folder")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not overwrite:
            raise FileExistsError(f"{out}: exists and is not empty; choose another folder or overwrite it")
        if not (out / "train.csv").is_file():
            raise FileExistsError(f"{out}: is not a data set, so it is not overwritten; choose another folder")
    return out


@contextmanager
def _complete_or_nothing(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place if the block ends well, and is removed otherwise."""
    mark = f"{out.name}.partial-"
    out.parent.mkdir(parents=True, exist_ok=True)
    for stale in [path for path in out.parent.iterdir() if path.name.startswith(mark)]:  # of a run that was killed
        shutil.rmtree(stale, ignore_errors=True)
    folder, old = (out.with_name(f"{mark}{os.getpid()}{end}") for end in ("", "-old"))
    folder.mkdir()
    try:
        yield folder
        if out.exists():
            out.rename(old)
        folder.rename(out)
    finally:
        for path in (folder, old):
            shutil.rmtree(path, ignore_errors=True)


def _write_synced(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


# --- Command line ---


def _parse_arguments(arguments: list[str] | None) -> dict:
    parser = argparse.ArgumentParser(prog="python -m hwrlib.prepare", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    kaggle = commands.add_parser("kaggle", help="Kaggle's landlord/handwriting-recognition, zip or folder")
    kaggle.add_argument("archive")
    layout = commands.add_parser("layout", help="a set whose three splits are given, zip or folder")
    layout.add_argument("source")
    own = commands.add_parser("own", help="a folder of images and a CSV or TSV")
    own.add_argument("images")
    own.add_argument("table")
    for option, default, meaning in (
            ("--filename-column", "FILENAME", "header of the column with the file names"),
            ("--text-column", "IDENTITY", "header of the column with the text"),
            ("--group-column", "", "rows that agree in it (writer, page) stay in one split"),
            ("--validation", 0.1, "fraction of the rows"), ("--test", 0.1, "fraction of the rows"),
            ("--seed", 0, "of the shuffle")):
        own.add_argument(option, default=default, type=type(default), help=f"{meaning} (default: {default!r})")
    for command in (kaggle, layout, own):
        command.add_argument("--out", required=True, help="folder to make, such as data/mine")
        command.add_argument("--overwrite", action="store_true", help="replace an earlier set there")
    return vars(parser.parse_args(arguments))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns its exit status: 2 for what the user can put right, told in a sentence."""
    options = _parse_arguments(arguments)
    command = {"kaggle": prepare_kaggle, "layout": prepare_layout, "own": prepare_own}[options.pop("command")]
    try:
        print(command(**options))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
