"""Your own data: a folder of images and a table of their texts, split at random into the standard layout."""

import posixpath
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from hwrlib.common.archives import Source, open_source
from hwrlib.sets.labels import SPLITS, split_groups
from hwrlib.sources.layout import check_destination, write_set
from hwrlib.sources.report import Counts, ImportReport
from hwrlib.sources.rows import column_headers, read_rows, select_rows


def prepare_folder(
    images: str | Path,
    table: str | Path,
    out: str | Path,
    *,
    filename_column: str = "FILENAME",
    text_column: str = "IDENTITY",
    group_column: str | None = None,
    recursive: bool = False,
    validation: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    overwrite: bool = False,
) -> ImportReport:
    """Import a folder of images and their table, and split the rows at random.

    Args:
        images: folder or zip with the images.
        table: CSV or TSV, in any form that `labels.read_labels` reads; columns beyond those named here are kept.
        out: folder to create.
        filename_column: header of the file names: paths relative to `images`, such as `page 1/line 3.png`.
        text_column: header of the texts.
        group_column: header of a column; rows with the same value (one writer, one page) stay in one split.
        recursive: a bare file name in the table also matches the only image of that name in any subfolder.
        validation, test: fractions of the rows, between 0 and 1; the rest is for training.
        seed: of the shuffle; the same seed and table give the same splits.
        overwrite: replace a set prepared at `out` before.
    Returns:
        What was read, kept and skipped.
    Raises:
        ArchiveError, AlreadyPrepared, FileExistsError: as in `prepare_kaggle`.
        ValueError: as in `prepare_kaggle`; also for fewer than 3 groups, or a bare file name that matches several images.
    """
    columns = {"filename_column": filename_column, "text_column": text_column, "group_column": group_column}
    options = {"validation": validation, "test": test, "seed": seed}
    out, made_from = check_destination(out, [images, table], overwrite=overwrite, recursive=recursive, **columns, **options)
    source, data = open_source(images), Path(table).read_bytes()
    report = ImportReport(made_from, refused=source.refused)
    headers = column_headers(data, name=str(table), **columns)
    labels = read_rows(data, name=str(table), columns=headers)
    files = _find_files(list(labels["FILENAME"]), source, table=table, recursive=recursive)
    rows, report.splits["table"] = select_rows(labels, files, source)
    report.check()
    column_of = {header: column for column, header in headers.items()}
    groups = rows[column_of[group_column]] if group_column else rows.index  # else each row is a group of its own
    return write_split_at_random(source, rows, list(groups), out, report, overwrite=overwrite, **options)


def write_split_at_random(
    source: Source, rows: pd.DataFrame, groups: list, out: Path, report: ImportReport, *, overwrite: bool, **options: float
) -> ImportReport:
    """Split rows so that no group is in two splits, and write the set; errors as of `write_set` and `split_groups`."""
    split_of_row = np.array(split_groups(groups, **options))
    parts = {split: rows[split_of_row == split] for split in SPLITS}
    report.splits |= {split: Counts(read=len(part), kept=len(part)) for split, part in parts.items()}
    return write_set(source, parts, out, report, overwrite=overwrite)


def _find_files(names: list[str], source: Source, *, table: str | Path, recursive: bool) -> list[str]:
    """For each file name in the table, the name of its image in the source; a missing image keeps its name."""
    images_of = defaultdict(list)  # base name -> images
    for file in sorted(source.files.keys() - {name for name in names if "/" in name}):
        images_of[posixpath.basename(file)].append(file)
    if not recursive:
        _check_not_nested(names, source, images_of, table=table)
        return names
    ambiguous = [name for name in dict.fromkeys(names) if len(images_of.get(name, ())) > 1]
    if ambiguous:
        first, second = images_of[ambiguous[0]][:2]
        more = f" ({len(ambiguous)} names are ambiguous in all)" if len(ambiguous) > 1 else ""
        raise ValueError(
            f"{table}: {ambiguous[0]!r} could be {first!r} or {second!r} in {source.path}{more}; write paths "
            "relative to that folder into the table"
        )
    return [images_of[name][0] if name in images_of else name for name in names]


def _check_not_nested(names: list[str], source: Source, images_of: dict[str, list[str]], *, table: str | Path) -> None:
    """Raise ValueError if most images could be found only with `recursive`."""
    nested = [name for name in names if name not in source.files and name in images_of]
    if 2 * len(nested) > len(names):
        raise ValueError(
            f"{table}: {len(nested)} of {len(names)} images are not in {source.path} itself but in its "
            f"subfolders, for example {images_of[nested[0]][0]!r}; use --recursive (recursive=True) to find "
            "them by file name, or write paths relative to that folder into the table"
        )
