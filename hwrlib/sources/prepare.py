"""Bring any source of labelled images into the one layout: `<out>/{train,validation,test}/` and three CSV files.

    python -m hwrlib.sources kaggle ARCHIVE --out data/kaggle
    python -m hwrlib.sources folder IMAGES TABLE --out data/mine --text-column text --group-column writer
    python -m hwrlib.sources layout SOURCE --out data/lines

A set appears at `out` only when it is complete. What was left out and why stands in its `report.json`.
"""

import argparse
import io
import json
import posixpath
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from PIL import Image
from tqdm.auto import tqdm

from hwrlib.files import atomic_folder
from hwrlib.labels import SPLITS, has_control, is_special, parse_labels, read_labels, split_groups
from hwrlib.sources.archives import MB, Source, is_unsafe, open_source

IMAGE_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
IMAGE_LIMIT = 20 * MB      # bytes of one image file
PIXEL_LIMIT = 50_000_000   # of one image; the same as in `images`
TABLE_LIMIT = 200 * MB     # bytes of one CSV
HOW_TO_REPLACE = "to replace it: --overwrite, or OVERWRITE=1 after make kaggle"


class AlreadyPrepared(FileExistsError):
    """The set is there already, made from the same source."""


@dataclass
class Counts:
    """What became of the rows of one table or split."""

    read: int = 0
    kept: int = 0
    left_out: Counter = field(default_factory=Counter)  # reason -> rows
    without_row: int = 0  # files that no row names


@dataclass
class Report:
    """How many rows were read, kept and left out, and why.

    `splits` holds a `Counts` for each split; a set split here has one more, "table", for the table before the split.
    """

    made_from: dict = field(default_factory=dict)
    splits: dict[str, Counts] = field(default_factory=dict)
    refused: Counter = field(default_factory=Counter)  # reason -> files of the source never looked into

    def to_json(self) -> str:
        return json.dumps(self, default=vars, indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        reasons = sum((counts.left_out for counts in self.splits.values()), Counter())
        columns = {name: [c.read, *(c.left_out[reason] for reason in reasons), c.kept, c.without_row]
                   for name, c in self.splits.items()}
        index = ["rows read", *(f"- {reason}" for reason in reasons), "= kept", "files without a row"]
        lines = [pd.DataFrame(columns, index=pd.Index(index).str.ljust(max(map(len, index)))).to_string()]
        lines += [f"refused in the source: {reason}: {count}" for reason, count in self.refused.items()]
        return "\n".join(lines)

    def check(self) -> None:
        """Raise ValueError if a split is empty or has lost more than half of its rows."""
        for name, counts in self.splits.items():
            if counts.read == 0:
                raise ValueError(f"{name}: no row of labels there\n{self}")
            if counts.kept == 0 or 2 * counts.kept < counts.read:
                raise ValueError(f"{name}: only {counts.kept} of {counts.read} rows are left\n{self}")


# From a source to the layout -----------------------------------------------------------------------------------------

def prepare_kaggle(archive: str | Path, out: str | Path, *, overwrite: bool = False) -> Report:
    """Bring Kaggle's *landlord/handwriting-recognition* into the layout.

    Labels keep their case and accents; special labels and rows without a usable image are left out and counted.

    Args:
        archive: the zip as Kaggle serves it, or the folder it unpacks to.
        out: folder to make.
        overwrite: replace an earlier set at `out`.
    Raises:
        ArchiveError: the archive is damaged or a bomb.
        ValueError: a table is missing, a split is empty, or more than half of its rows are left out.
        AlreadyPrepared: `out` was made from the same archive.
        FileExistsError: `out` holds anything else.
    """
    return _prepare_splits(archive, out, "written_name_{}_v2.csv", "{0}_v2/{0}/", overwrite=overwrite)


def prepare_layout(source: str | Path, out: str | Path, *, overwrite: bool = False) -> Report:
    """Take over a set, zip or folder, that is in the layout already; arguments and errors as in `prepare_kaggle`."""
    return _prepare_splits(source, out, "{}.csv", "{}/", overwrite=overwrite)


def _prepare_splits(path: str | Path, out: str | Path, table_name: str, folder_name: str, *, overwrite: bool) -> Report:
    """Three tables and three folders of images, named by patterns of the split, perhaps all in one enclosing folder."""
    out, source, report = _begin(out, overwrite, path, tables=table_name)
    bases = ["", *sorted({name.split("/")[0] + "/" for name in source.files})]
    base = next((base for base in bases if base + table_name.format("train") in source.files), "")
    rows = {}
    for split in SPLITS:
        name, folder = base + table_name.format(split), base + folder_name.format(split)
        if name not in source.files:
            raise ValueError(f"{path}: holds no {name}" + "".join(f"; {why}: {n}" for why, n in source.refused.items()))
        table = parse_labels(source.read(name, TABLE_LIMIT), name=f"{path}: {name}",
                             columns={"FILENAME": "FILENAME", "IDENTITY": "IDENTITY"})
        rows[split], report.splits[split] = _select(table, source, folder)
    return _write_set(source, rows, out, report)


def prepare_folder(images: str | Path, table: str | Path, out: str | Path, *, filename_column: str = "FILENAME",
                text_column: str = "IDENTITY", group_column: str | None = None, validation: float = 0.1,
                test: float = 0.1, seed: int = 0, overwrite: bool = False) -> Report:
    """Split a folder of images and their table into the layout.

    Args:
        images: folder; the table's names are relative to it and may lie in subfolders.
        table: CSV or TSV, as `read_labels` takes it.
        out, overwrite: as in `prepare_kaggle`.
        group_column: rows that agree in it (one writer, one page) stay in one split.
        validation, test: fractions of the rows, between 0 and 1; the rest is for training.
        seed: of the shuffle; the same seed and table give the same splits.
    Raises:
        ValueError, FileExistsError: as in `prepare_kaggle`, or there are fewer than 3 groups.
    """
    columns = {"filename_column": filename_column, "text_column": text_column, "group_column": group_column}
    options = {"validation": validation, "test": test, "seed": seed}
    out, source, report = _begin(out, overwrite, images, table, **columns, **options)
    rows, report.splits["table"] = _select(read_labels(table, **columns), source, "")
    report.check()
    groups = rows["GROUP"] if group_column else rows.index  # else each row is a group of its own
    split_of_row = pd.Series(split_groups(list(groups), **options), rows.index)
    parts = {split: rows[split_of_row == split] for split in SPLITS}
    report.splits |= {split: Counts(read=len(part), kept=len(part)) for split, part in parts.items()}
    return _write_set(source, parts, out, report)


def _select(table: pd.DataFrame, source: Source, folder: str) -> tuple[pd.DataFrame, Counts]:
    """The rows worth copying, their image's name in the source as column FILE; the others are counted by reason."""
    counts, taken, good = Counts(read=len(table)), set(), []
    table["FILENAME"] = table["FILENAME"].map(lambda name: name if is_unsafe(name) else posixpath.normpath(name))
    table["FILE"] = folder + table["FILENAME"]
    for name, text, file in zip(table["FILENAME"], table["IDENTITY"], table["FILE"]):
        fault = _row_fault(name, text, file in source.files, name.casefold() in taken)
        good.append(fault is None)
        if fault:
            counts.left_out[fault] += 1
        else:
            taken.add(name.casefold())  # some file systems do not tell a.jpg from A.jpg
    counts.kept = sum(good)
    counts.without_row = sum(file.startswith(folder) for file in source.files.keys() - set(table["FILE"]))
    return table.loc[good], counts


def _row_fault(name: str, text: str, there: bool, taken: bool) -> str | None:
    if is_special(text):
        return f"label {text.upper()}" if text else "empty label"
    if has_control(text):  # a line break is most often the trace of a stray quote
        return "control character in label"
    if is_unsafe(name):
        return "unsafe file name"
    if not there:
        return "image missing"
    return "duplicate file name" if taken else None


def _write_set(source: Source, rows: dict[str, pd.DataFrame], out: Path, report: Report) -> Report:
    report.check()
    with atomic_folder(out) as folder:
        for split in SPLITS:
            _write_split(source, rows[split], folder / split, report.splits[split])
        report.check()
        (folder / "report.json").write_text(report.to_json(), encoding="utf-8")
    return report


def _write_split(source: Source, rows: pd.DataFrame, folder: Path, counts: Counts) -> None:
    readable = []
    pairs = zip(rows["FILENAME"], rows["FILE"])
    for name, file in tqdm(pairs, desc=folder.name, total=len(rows), disable=None):  # None: only in a terminal
        data = source.read(file, IMAGE_LIMIT)
        readable.append(_is_image(data))
        if readable[-1]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    counts.kept = sum(readable)
    if counts.kept < len(rows):
        counts.left_out["unreadable image"] = len(rows) - counts.kept
    rows.loc[readable, ["FILENAME", "IDENTITY"]].to_csv(f"{folder}.csv", index=False, lineterminator="\n")


def _is_image(data: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
            if small := image.width * image.height <= PIXEL_LIMIT:
                image.load()
            return small
    except Exception:  # Pillow raises many kinds on a malformed file, or one larger than its own limit
        return False


# All or nothing on disk ----------------------------------------------------------------------------------------------

def _begin(out: str | Path, overwrite: bool, *sources: str | Path, **options: object) -> tuple[Path, Source, Report]:
    """The absolute path of `out`, the first source and an empty report, if a set may be put at `out`."""
    out, states = Path(out).resolve(), {}
    for source in map(Path, sources):
        if not source.exists():
            raise FileNotFoundError(f"{source}: no such file or folder")
        if source.resolve().is_relative_to(out):
            raise ValueError(f"{out}: holds the source {source}, which it would replace; choose another folder")
        states[str(source.resolve())] = [source.stat().st_size, source.stat().st_mtime]
    made_from = {"sources": states, **options}
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        _check_earlier(out, made_from, overwrite)
    source = open_source(sources[0])
    return out, source, Report(made_from, refused=source.refused)


def _check_earlier(out: Path, made_from: dict, overwrite: bool) -> None:
    try:
        earlier = json.loads((out / "report.json").read_text(encoding="utf-8"))["made_from"]
    except (OSError, ValueError, LookupError, TypeError):
        raise FileExistsError(f"{out}: is not empty and was not made here; choose another folder") from None
    if not overwrite:
        if earlier == made_from:
            raise AlreadyPrepared(f"{out}: is there already, made from the same source ({HOW_TO_REPLACE})")
        raise FileExistsError(f"{out}: holds a set made otherwise, from {', '.join(earlier['sources'])}; choose "
                              f"another folder ({HOW_TO_REPLACE})")


# Command line --------------------------------------------------------------------------------------------------------

def _parse_arguments(arguments: list[str] | None) -> dict:
    parser = argparse.ArgumentParser(prog="python -m hwrlib.sources", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    kaggle = commands.add_parser("kaggle", help="Kaggle's landlord/handwriting-recognition")
    layout = commands.add_parser("layout", help="a set whose three splits are given")
    folder = commands.add_parser("folder", help="a folder of images and a CSV or TSV")
    kaggle.add_argument("archive", help="zip or folder")
    layout.add_argument("source", help="zip or folder")
    folder.add_argument("images", help="folder")
    folder.add_argument("table", help="CSV or TSV")
    folder.add_argument("--filename-column", default="FILENAME", help="header of the file names (%(default)s)")
    folder.add_argument("--text-column", default="IDENTITY", help="header of the texts (%(default)s)")
    folder.add_argument("--group-column", help="rows that agree in it (writer, page) stay in one split")
    folder.add_argument("--validation", type=float, default=0.1, help="fraction of the rows (%(default)s)")
    folder.add_argument("--test", type=float, default=0.1, help="fraction of the rows (%(default)s)")
    folder.add_argument("--seed", type=int, default=0, help="of the shuffle (%(default)s)")
    for command, function in ((kaggle, prepare_kaggle), (layout, prepare_layout), (folder, prepare_folder)):
        command.set_defaults(function=function)
        command.add_argument("--out", required=True, help="folder to make, such as data/mine")
        command.add_argument("--overwrite", action="store_true", help="replace an earlier set there")
    return vars(parser.parse_args(arguments))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns its exit status: 2 for what the user can put right, told in a sentence."""
    options = _parse_arguments(arguments)
    try:
        print(options.pop("function")(**options))
    except AlreadyPrepared as error:  # as `make` does with what is up to date
        print(error)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
