"""The standard layout: writing a data set into its folder, all or nothing.

<out>/train/      validation/      test/         the images
<out>/train.csv   validation.csv   test.csv      FILENAME, IDENTITY, and any further columns
<out>/report.json                                what was read, kept and skipped, and why
"""

import errno
import json
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from hwrlib.common.archives import MB, Source
from hwrlib.common.files import atomic_folder, locked
from hwrlib.decode import printable, to_grey
from hwrlib.sets.labels import SPLITS
from hwrlib.sources.report import Counts, ImportReport

IMAGE_LIMIT = 20 * MB  # bytes of one image file
# What systems answer to a file name that is too long, not allowed there, or the name of a folder as well.
BAD_NAME = {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
HOW_TO_REPLACE = "use --overwrite to replace it, or OVERWRITE=1 with make kaggle"


class AlreadyPrepared(FileExistsError):
    """The set exists already, made from the same source with the same options."""


def check_destination(
    out: str | Path, sources: list[str | Path], *, overwrite: bool, **options: object
) -> tuple[Path, dict]:
    """Check that a set may be written to `out`, before any work is done.

    Args:
        out: folder to create.
        sources: the files and folders that the set is made from.
        overwrite: an earlier set at `out` may be replaced.
        options: whatever else the content of the set depends on.
    Returns:
        The absolute path of `out`, and a record of the sources and options for `ImportReport.made_from`.
    Raises:
        AlreadyPrepared: `out` has the same record.
        FileExistsError: `out` holds anything else that may not be replaced.
        FileNotFoundError: a source does not exist.
        ValueError: a source lies within `out`.
    """
    out, states = Path(out).resolve(), {}
    for source in map(Path, sources):
        if not source.exists():
            raise FileNotFoundError(f"{source}: no such file or folder")
        if source.resolve().is_relative_to(out):
            raise ValueError(f"{out}: contains the source {source}, which would be replaced; choose another folder")
        states[printable(source.resolve())] = [source.stat().st_size, source.stat().st_mtime]
    made_from = {"sources": states, **options}
    _check_earlier(out, made_from, overwrite=overwrite)
    return out, made_from


def _check_earlier(out: Path, made_from: dict, *, overwrite: bool) -> None:
    """Raise FileExistsError if `out` holds anything that may not be replaced."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        earlier = json.loads((out / "report.json").read_text(encoding="utf-8"))["made_from"]
        sources = ", ".join(earlier["sources"])
    except (OSError, ValueError, LookupError, TypeError):
        raise FileExistsError(f"{out}: not empty, and not a set prepared by hwrlib; choose another folder") from None
    if overwrite:
        return
    if earlier == made_from:
        raise AlreadyPrepared(f"{out}: already prepared from the same source; {HOW_TO_REPLACE}")
    raise FileExistsError(
        f"{out}: holds a set prepared from another source or with other options ({sources}); choose "
        f"another folder, or {HOW_TO_REPLACE}"
    )


def write_set(
    source: Source, rows: dict[str, pd.DataFrame], out: Path, report: ImportReport, *, overwrite: bool
) -> ImportReport:
    """Copy the images and write the tables and the report; the folder appears only when it is complete.

    If another process is writing there, wait for it; its set may then be the one that is wanted.

    Args:
        source: holds the images.
        rows: rows per split, as `rows.select_rows` returns them.
        out: folder to create or replace.
        report: with the counts so far; images that cannot be read or written are added.
        overwrite: an earlier set at `out` may be replaced.
    Returns:
        The report.
    Raises:
        AlreadyPrepared, FileExistsError: another process was faster.
        ArchiveError: an image is damaged in its archive or too large.
        WriteError: the disk is full or read-only.
        ValueError: a split is empty or has lost more than half of its rows.
    """
    report.check()
    with locked(out):
        _check_earlier(out, report.made_from, overwrite=overwrite)
        with atomic_folder(out) as folder:
            for split in SPLITS:
                _write_split(source, rows[split], folder / split, report.splits[split])
            report.check()
            (folder / "report.json").write_text(report.to_json(), encoding="utf-8")
    return report


def _write_split(source: Source, rows: pd.DataFrame, folder: Path, counts: Counts) -> None:
    folder.mkdir()
    pairs = zip(rows["FILENAME"], rows.index)
    progress = tqdm(pairs, desc=folder.name, total=len(rows), disable=None)  # None: shown only in a terminal
    faults = [_copy_image(source, file, folder / name) for name, file in progress]
    copied = [fault is None for fault in faults]
    counts.kept = sum(copied)
    counts.left_out.update(filter(None, faults))
    rows.loc[copied].to_csv(f"{folder}.csv", index=False, lineterminator="\n")


def _copy_image(source: Source, file: str, path: Path) -> str | None:
    """Copy an image of the source; the fault that costs its row, or None."""
    try:
        data = source.read(file, IMAGE_LIMIT)
    except OSError as error:
        return f"image cannot be read ({error.strerror})"
    if not _is_image(data):
        return "unreadable image"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        if error.errno in BAD_NAME or path.is_dir():
            return f"file name impossible here ({error.strerror})"
        raise
    return None


def _is_image(data: bytes) -> bool:
    try:
        return to_grey(data) is not None
    except ValueError:
        return False
