"""Data sets that come with their three splits: Kaggle's, and any set in the standard layout."""

from pathlib import Path

from hwrlib.common.archives import MB, Source, open_source
from hwrlib.sets.labels import SPLITS
from hwrlib.sources.layout import check_destination, write_set
from hwrlib.sources.report import ImportReport
from hwrlib.sources.rows import column_headers, read_rows, select_rows

TABLE_LIMIT = 200 * MB  # bytes of one CSV file


def prepare_kaggle(archive: str | Path, out: str | Path, *, overwrite: bool = False) -> ImportReport:
    """Import the Kaggle data set *landlord/handwriting-recognition*.

    Labels keep their case and accents. Special labels and rows without a usable image are skipped and counted.

    Args:
        archive: the zip as downloaded from Kaggle, or the folder it unpacks to.
        out: folder to create.
        overwrite: replace a set prepared at `out` before.
    Returns:
        What was read, kept and skipped.
    Raises:
        ArchiveError: the archive is damaged or a decompression bomb.
        ValueError: a table is missing, a split is empty, or more than half of its rows would be skipped.
        AlreadyPrepared: `out` was prepared from the same archive.
        FileExistsError: `out` holds anything else.
    """
    return _prepare_splits(archive, out, table_name="written_name_{}_v2.csv", folder_name="{0}_v2/{0}/", overwrite=overwrite)


def prepare_layout(source: str | Path, out: str | Path, *, overwrite: bool = False) -> ImportReport:
    """Import a set, zip or folder, that is already in the standard layout: its rows are checked, and all columns are kept.

    Arguments, result and errors as in `prepare_kaggle`.
    """
    return _prepare_splits(source, out, table_name="{}.csv", folder_name="{}/", overwrite=overwrite)


def _prepare_splits(
    path: str | Path, out: str | Path, *, table_name: str, folder_name: str, overwrite: bool
) -> ImportReport:
    """Import three tables and three folders of images, named by patterns of the split."""
    out, made_from = check_destination(out, [path], overwrite=overwrite, tables=table_name)
    source = open_source(path)
    report, rows = ImportReport(made_from, refused=source.refused), {}
    base = _enclosing_folder(source, table_name.format("train"))
    for split in SPLITS:
        table, folder = base + table_name.format(split), base + folder_name.format(split)
        data, name = _read_table(source, table), f"{path}: {table}"
        labels = read_rows(data, name=name, columns=column_headers(data, name=name))
        files = [folder + filename for filename in labels["FILENAME"]]
        rows[split], report.splits[split] = select_rows(labels, files, source, folder=folder)
    return write_set(source, rows, out, report, overwrite=overwrite)


def _enclosing_folder(source: Source, table: str) -> str:
    """The folder with this table, "" or "name/": an archive may hold everything in one folder."""
    folders = ["", *sorted({name.split("/")[0] + "/" for name in source.files})]
    return next((folder for folder in folders if folder + table in source.files), "")


def _read_table(source: Source, table: str) -> bytes:
    if table not in source.files:
        others = sorted(name for name in source.files if name.endswith(".csv"))[:5]
        skipped = "".join(f"; files skipped, {reason}: {count}" for reason, count in source.refused.items())
        raise ValueError(f"{source.path}: has no {table}; its CSV files are: {', '.join(others) or 'none'}{skipped}")
    return source.read(table, TABLE_LIMIT)
