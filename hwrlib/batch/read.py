"""Read very many images: a folder, a pattern, a list of paths or an archive, in several processes, into one table.

    python -m hwrlib.batch.read scans/ --out texts.csv --model names --jobs 2
    python -m hwrlib.batch.read pages/ --out texts --pages alto               # whole pages, a document each

is what `make read` calls. Every process appends what it has read to a part of its own in `<out>.parts/`, a line of JSON
per image; a job that was killed continues there, with any number of processes. At the end the parts become one table, in the
order of the images, and what could not be read is listed beside it.
"""

import argparse
import csv
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm.auto import tqdm

from hwrlib.batch.images import Images
from hwrlib.batch.parallel import backend, processors
from hwrlib.common.files import atomic_write, locked, with_remedy
from hwrlib.common.progress import Tail, every_second
from hwrlib.decode import printable
from hwrlib.models.recognizer import Recognizer
from hwrlib.reader import CHUNK, Reading
from hwrlib.sets.labels import spreadsheet_safe

COLUMNS = ["filename", "text", "confidence", "alternatives", "words"]
SUFFIXES = (".csv", ".parquet")
ATTEMPTS = 5  # of starting the processes again after one of them was killed
ROWS = 10_000  # written to a Parquet file at once


class Report(NamedTuple):
    """What came of reading many images."""

    read: int
    failed: list[tuple[str, str]]  # file name and reason
    seconds: float


def read_many(
    source: str | Path,
    out: str | Path,
    *,
    model: str = "names",
    jobs: int = 1,
    cluster: str = "",
    **options: Any,
) -> Report:
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
    if out.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{out}: the table must end in .csv or .parquet")
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, not {jobs}")
    images = Images(source)
    Recognizer.load(model)  # rejected here and not in every process
    parts = out.with_name(out.name + ".parts")
    with locked(out, wait=False), with_remedy(out, kept="what was read is kept"):
        parts.mkdir(parents=True, exist_ok=True)
        for attempt in range(ATTEMPTS):
            done = {row["filename"] for row in _rows(parts)}
            left = [name for name in images.names if name not in done]
            if not left:
                break
            try:
                _read_parts(images, left, parts, model, jobs, cluster, options, len(images.names) - len(left))
                break
            except TerminatedWorkerError as error:
                if attempt == ATTEMPTS - 1:
                    raise RuntimeError(f"a process was killed {ATTEMPTS} times; is there enough memory? ({error})") from None
        report = _merge(images.names, parts, out, time.monotonic() - started)
        shutil.rmtree(parts)
    return report


def _read_parts(
    images: Images, left: list[str], parts: Path, model: str, jobs: int, cluster: str, options: dict, done: int
) -> None:
    """Read what is left, in several processes."""
    count = max(jobs, 1) if not cluster else max(len(left) // (4 * CHUNK), 1)
    threads = 0 if cluster else max(processors() // jobs, 1)
    tasks = [joblib.delayed(_read_shard)(images, left[n::count], parts, model, threads, options) for n in range(count)]
    with _progress(parts, done, done + len(left)):
        if jobs == 1 and not cluster:
            _read_shard(images, left, parts, model, 0, options)  # here: no process to start
            return
        with backend(cluster, jobs):
            joblib.Parallel(batch_size=1, pre_dispatch="all")(tasks)


def _read_shard(images: Images, names: list[str], parts: Path, model: str, threads: int, options: dict) -> None:
    """Read some images and append them to a part of their own; a line of JSON per image."""
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    recognizer = Recognizer.load(model)
    remaining = iter(names)
    with open(parts / f"{uuid4().hex}.jsonl", "ab") as part:
        while chunk := list(islice(remaining, CHUNK)):
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in _rows_of(recognizer, images, chunk, options)]
            part.write("".join(lines).encode())
            part.flush()
            os.fsync(part.fileno())


def _rows_of(recognizer: Recognizer, images: Images, names: list[str], options: dict) -> Iterator[dict[str, Any]]:
    given = [images.get(name) for name in names]
    good = [image for image in given if not isinstance(image, ValueError)]
    readings = recognizer.try_read(good, **options)
    for name, image in zip(names, given):
        result = image if isinstance(image, ValueError) else next(readings)
        yield {"filename": name, **_as_row(result)}


def _as_row(result: Reading | ValueError) -> dict[str, Any]:
    if isinstance(result, ValueError):
        return {"error": printable(result)}
    return {
        "text": result.text,
        "confidence": round(result.confidence, 4),
        "alternatives": [[text, round(probability, 4)] for text, probability in result.alternatives],
        "words": [[word.text, round(word.confidence, 4)] for word in result.words],
    }


def _rows(parts: Path) -> Iterator[dict[str, Any]]:
    """The complete rows of all parts; what a kill has left of one is skipped."""
    for part in sorted(parts.glob("*.jsonl")):
        with open(part, "rb") as file:
            for line in file:
                with suppress(ValueError):  # also of a line cut within a character
                    row = json.loads(line)
                    if isinstance(row, dict) and "filename" in row:
                        yield row


def _merge(names: list[str], parts: Path, out: Path, seconds: float) -> Report:
    """Write the table, in the order of the images, and the table of errors; whole or not at all."""
    places = _places(parts)
    failed = []

    def rows() -> Iterator[dict[str, Any]]:
        for name in names:
            row = _row_at(*places[name])
            if "error" in row:
                failed.append((name, row["error"]))
            else:
                yield {**row, **{key: json.dumps(row[key], ensure_ascii=False) for key in ("alternatives", "words")}}

    with atomic_write(out) as file:
        count = (_write_parquet if out.suffix.lower() == ".parquet" else _write_csv)(rows(), file)
    errors = out.with_name(out.name + ".errors.csv")
    if failed:
        with atomic_write(errors) as file:
            text = io.StringIO()
            csv.writer(text).writerows([("filename", "error"), *(map(spreadsheet_safe, pair) for pair in failed)])
            file.write(text.getvalue().encode())
    else:
        errors.unlink(missing_ok=True)
    return Report(count, failed, seconds)


def _places(parts: Path) -> dict[str, tuple[Path, int]]:
    """Where the row of each image is: memory holds the places, not the rows."""
    places = {}
    for part in sorted(parts.glob("*.jsonl")):
        with open(part, "rb") as file:
            start = 0
            for line in file:
                with suppress(ValueError):
                    places[json.loads(line)["filename"]] = (part, start)
                start += len(line)
    return places


def _row_at(part: Path, start: int) -> dict[str, Any]:
    with open(part, "rb") as file:
        file.seek(start)
        return json.loads(file.readline())


def _write_csv(rows: Iterable[dict[str, Any]], file) -> int:
    count, text = 0, io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for row in rows:
        count += 1
        cells = (row[name] if name == "confidence" else spreadsheet_safe(row[name]) for name in COLUMNS)
        writer.writerow(cells)
    text.detach()
    return count


def _write_parquet(rows: Iterable[dict[str, Any]], file) -> int:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ValueError("a .parquet table needs pyarrow: pip install pyarrow; or write a .csv") from None
    kinds = {name: pyarrow.float64() if name == "confidence" else pyarrow.string() for name in COLUMNS}
    count, remaining = 0, iter(rows)
    with parquet.ParquetWriter(file, pyarrow.schema(kinds)) as writer:
        while chunk := list(islice(remaining, ROWS)):
            columns = {name: [row[name] for row in chunk] for name in COLUMNS}
            writer.write_table(pyarrow.table(columns, schema=writer.schema))
            count += len(chunk)
    return count


@contextmanager
def _progress(parts: Path, done: int, total: int) -> Iterator[None]:
    """A bar with lines per second and the remaining time, while the block runs."""
    tails = {part: Tail(part) for part in parts.glob("*.jsonl")}
    disabled = True if os.environ.get("TQDM_DISABLE") else None
    with tqdm(total=total, initial=done, unit=" lines", disable=disabled, mininterval=1) as bar:

        def show() -> None:
            for part in parts.glob("*.jsonl"):
                bar.update(len(tails.setdefault(part, Tail(part, from_start=True)).lines()))

        with every_second(show):
            yield


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
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {what} in {report.seconds:,.0f} s; {len(report.failed):,} could not be read")
    for _, reason in report.failed[:5]:
        print(f"    {reason}", file=sys.stderr)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
