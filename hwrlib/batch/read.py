"""Read very many images: a folder, a pattern, a list of paths or an archive, in several processes, into one table.

    python -m hwrlib.batch.read scans/ --out texts.csv --model names --jobs 2
    python -m hwrlib.batch.read pages/ --out texts --pages alto               # whole pages, a document each

is what `make read` calls. Every process appends the rows of what it reads to a part of its own in `<out>.parts/`; a job that
was killed resumes from the parts, with any number of processes. At the end the rows are copied into one table, in the order
of the images, and what could not be read is listed beside it.
"""

import argparse
import csv
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from uuid import uuid4

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm.auto import tqdm

from hwrlib.batch.images import Images
from hwrlib.batch.parallel import backend, processors
from hwrlib.common.extras import MissingExtra
from hwrlib.common.files import atomic_write, locked, with_remedy
from hwrlib.common.progress import Tail, every_second
from hwrlib.decode import printable
from hwrlib.models.recognizer import Recognizer
from hwrlib.models.table import READING_COLUMNS, append_readings, as_csv, complete_rows
from hwrlib.reader import CHUNK
from hwrlib.sets.labels import as_written

ATTEMPTS = 5  # of starting the processes again after one of them was killed
ROWS = 10_000  # written to a Parquet file at once

Failures = list[tuple[str, str]]  # file name and reason


class ReadingReport(NamedTuple):
    """What came of reading many images."""

    read: int
    failed: Failures
    seconds: float


class Place(NamedTuple):
    """Where a row is: memory holds the places, not the rows."""

    part: Path
    start: int
    end: int  # bytes from the start of the part


def read_many(
    source: str | Path, out: str | Path, *, model: str = "names", jobs: int = 1, cluster: str = "", **options: Any
) -> ReadingReport:
    """Read all images of a source into a table.

    Args:
        source: a folder (with all folders below), a pattern such as `scans/**/*.png`, an image, a zip or tar archive, which
            is read in place, or a CSV with a column `filename` (or FILENAME) of paths, as seen from the CSV's folder.
        out: the table, `.csv` or `.parquet`: `filename` (the path below the source), `text`, `confidence`, `alternatives`
            and `words` (JSON: text and probability of each).
        model: "names", "lines", a checkpoint or a run.
        jobs: processes on this machine, each with its share of the processors.
        cluster: address of a Dask scheduler instead; all machines must see the images and the folder of `out`.
        options: as `Recognizer.read`'s.
    Returns:
        The number of readings in the table, what could not be read (also in `<out>.errors.csv`), and the seconds it took.
    Raises:
        Busy: another process is writing there.
        FileNotFoundError: there is no such source, or no image in it.
        ValueError: the table's kind or the source is not known, or the model is rejected; nothing has been read then.
        WriteError: the disk is full or protected; what was read is kept.
    """
    out, started = Path(out), time.monotonic()
    _check(out, jobs)
    images = Images(source)
    Recognizer.load(model)  # rejected here and not in every process
    parts = out.with_name(out.name + ".parts")
    with locked(out, wait=False), with_remedy(out, kept="what was read is kept"):
        parts.mkdir(parents=True, exist_ok=True)
        failed = _read_left(images.names, parts, partial(_read_shard, images, model, options), jobs, cluster)
        count = _merge(images.names, parts, out, failed)
        shutil.rmtree(parts)
    return ReadingReport(count, failed, time.monotonic() - started)


def _check(out: Path, jobs: int) -> None:
    if out.suffix.lower() not in (".csv", ".parquet"):
        raise ValueError(f"{out}: the table must end in .csv or .parquet")
    if out.suffix.lower() == ".parquet" and not find_spec("pyarrow"):
        raise ValueError("a .parquet table needs pyarrow: pip install pyarrow; or write a .csv")
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, not {jobs}")


def _read_left(names: list[str], parts: Path, read_shard: Callable, jobs: int, cluster: str) -> Failures:
    """Read what is in no part yet, and start again if a process is killed; what could not be read, in the given order."""
    for _ in range(ATTEMPTS):
        places = _places(parts)
        left = [name for name in names if name not in places]
        try:
            failed = dict(_read_shards(left, len(names), parts, read_shard, jobs, cluster)) if left else {}
            return [(name, failed[name]) for name in left if name in failed]
        except TerminatedWorkerError as error:
            killed = error
    raise RuntimeError(f"a process was killed {ATTEMPTS} times; is there enough memory? ({killed})")


def _read_shards(left: list[str], total: int, parts: Path, read_shard: Callable, jobs: int, cluster: str) -> Failures:
    """Read what is left, a shard in each process."""
    count = max(len(left) // (4 * CHUNK), 1) if cluster else min(jobs, len(left))
    threads = 0 if cluster or jobs == 1 else max(processors() // jobs, 1)
    shards = {parts / f"{uuid4().hex}.csv": left[n::count] for n in range(count)}
    tasks = [joblib.delayed(read_shard)(part, names, threads) for part, names in shards.items()]
    tails = [Tail(part) for part in shards]
    disabled = True if os.environ.get("TQDM_DISABLE") else None
    with tqdm(total=total, initial=total - len(left), unit=" lines", disable=disabled, mininterval=1) as bar:
        with every_second(lambda: bar.update(sum(len(tail.lines()) for tail in tails))), backend(cluster, jobs):
            failed = list(chain.from_iterable(joblib.Parallel(batch_size=1, pre_dispatch="all")(tasks)))
        bar.update(len(failed))
    return failed


def _read_shard(images: Images, model: str, options: dict, part: Path, names: list[str], threads: int) -> Failures:
    """Read some images into a part of their own, which has the columns of the table and no header."""
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    recognizer, named = Recognizer.load(model), ((name, images.get(name)) for name in names)
    with open(part, "ab") as file:
        errors = append_readings(file, recognizer, named, len(READING_COLUMNS), **options)
        return [(name, printable(error)) for name, error in errors]


def _places(parts: Path) -> dict[str, Place]:
    """Where the row of each image is; a row that a kill cut short is none."""
    places = {}
    for part in sorted(parts.glob("*.csv")):
        with open(part, "rb") as file:
            start = 0
            for name, end in complete_rows(file, len(READING_COLUMNS)):
                places[name], start = Place(part, start, end), end
    return places


def _merge(names: list[str], parts: Path, out: Path, failed: Failures) -> int:
    """Write the table, in the order of the images, and the table of errors, each whole or not at all; the rows written."""
    places = _places(parts)
    found = [places[name] for name in names if name in places]
    with atomic_write(out) as file:
        (_write_parquet if out.suffix.lower() == ".parquet" else _write_csv)(map(_row_at, found), file)
    errors = out.with_name(out.name + ".errors.csv")
    if failed:
        with atomic_write(errors) as file:
            file.write(as_csv([("filename", "error"), *failed]))
    else:
        errors.unlink(missing_ok=True)
    return len(found)


def _row_at(place: Place) -> bytes:
    with open(place.part, "rb") as file:
        file.seek(place.start)
        return file.read(place.end - place.start)


def _write_csv(rows: Iterable[bytes], file: BinaryIO) -> None:
    file.write(as_csv([READING_COLUMNS]))
    file.writelines(rows)


def _write_parquet(rows: Iterable[bytes], file: BinaryIO) -> None:
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema({name: pyarrow.string() for name in READING_COLUMNS} | {"confidence": pyarrow.float64()})
    with parquet.ParquetWriter(file, schema) as writer:
        while chunk := list(islice(rows, ROWS)):
            cells = [map(as_written, next(csv.reader([row.decode()]))) for row in chunk]
            columns = dict(zip(READING_COLUMNS, map(list, zip(*cells))))
            columns["confidence"] = list(map(float, columns["confidence"]))
            writer.write_table(pyarrow.table(columns, schema=schema))


def main() -> int:
    """Run the command line; returns its exit status: 0 well, 1 some images could not be read, 2 nothing was done."""
    parser = argparse.ArgumentParser(description="Read very many images into one table.")
    parser.add_argument("source", help="a folder, a pattern, an image, a zip or tar archive, or a CSV of paths")
    parser.add_argument("--out", required=True, help="the table, .csv or .parquet; with --pages, a folder")
    parser.add_argument(
        "--pages", choices=("txt", "alto", "page", "hocr"), help="the images are whole pages; the format to write"
    )
    parser.add_argument("--model", help="names, lines, a checkpoint or a run (default: names, for pages lines)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    parser.add_argument("--cluster", default="", metavar="ADDRESS", help="a Dask scheduler, tcp://host:8786")
    options = parser.parse_args()
    common = dict(jobs=options.jobs, cluster=options.cluster)
    try:
        if options.pages:
            from hwrlib.batch.pages import read_pages

            report = read_pages(options.source, options.out, form=options.pages, model=options.model or "lines", **common)
            what = f"{report.read:,} pages with {report.lines:,} lines read"
        else:
            report = read_many(options.source, options.out, model=options.model or "names", **common)
            what = f"{report.read:,} lines read"
    except (ValueError, OSError, RuntimeError, MissingExtra) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {what} in {report.seconds:,.0f} s; {len(report.failed):,} could not be read")
    for _, reason in report.failed[:5]:
        print(f"    {reason}", file=sys.stderr)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
