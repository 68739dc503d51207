"""Read whole pages in bulk: a document for every page; what is there already is not read again."""

from __future__ import annotations

import csv
import io
import os
import time
from pathlib import Path
from typing import NamedTuple

import joblib
from tqdm.auto import tqdm

from hwrlib.batch.images import Images
from hwrlib.batch.parallel import backend, processors
from hwrlib.common.files import atomic_write, locked
from hwrlib.decode import printable
from hwrlib.models.recognizer import Recognizer
from hwrlib.sets.labels import spreadsheet_safe

FORMATS = {"txt": ".txt", "alto": ".alto.xml", "page": ".page.xml", "hocr": ".hocr"}


class PagesReport(NamedTuple):
    """What came of reading many pages."""

    read: int  # now
    before: int  # by earlier calls
    lines: int
    failed: list[tuple[str, str]]  # file name and reason
    notes: list[tuple[str, str]]  # file name and what looks wrong
    seconds: float


def read_pages(
    source: str | Path, out: str | Path, *, form: str = "txt", model: str = "lines", jobs: int = 1, cluster: str = ""
) -> PagesReport:
    """Read all pages of a source, each into a document of its own.

    A document appears when it is complete, so a job that was killed continues when it is started again.

    Args:
        source: as `hwrlib.batch.read_many` takes it.
        out: folder to write to; documents are named as the images, with the suffix of the format.
        form: "txt", "alto", "page" or "hocr".
        model: "lines", "names", a checkpoint or a run.
        jobs: processes on this machine.
        cluster: address of a Dask scheduler instead.
    Returns:
        What was read, what could not be, and what looks wrong; both are also in `errors.csv` in the folder.
    Raises:
        Busy: another process is writing there.
        FileNotFoundError: there is no such source, or no image in it.
        ValueError: the format is unknown, two images would become one document, or the model is rejected.
        WriteError: the disk is full or protected; what was read is kept.
    """
    if form not in FORMATS:
        raise ValueError(f"pages are written as {', '.join(FORMATS)}, not {form!r}")
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, not {jobs}")
    out, images, started = Path(out), Images(source), time.monotonic()
    targets = _targets(images.names, out, FORMATS[form])
    Recognizer.load(model)  # rejected here and not in every process
    left = {name: target for name, target in targets.items() if not target.exists()}
    out.mkdir(parents=True, exist_ok=True)
    with locked(out, wait=False):
        results = _read(images, left, model, jobs, cluster)
        report = PagesReport(
            read=sum(not error for _, error, _, _ in results),
            before=len(targets) - len(left),
            lines=sum(lines for _, _, lines, _ in results),
            failed=[(name, error) for name, error, _, _ in results if error],
            notes=[(name, note) for name, _, _, notes in results for note in notes],
            seconds=time.monotonic() - started,
        )
        if report.failed or report.notes:
            text = io.StringIO()
            rows = [(*map(spreadsheet_safe, pair),) for pair in report.failed + report.notes]
            csv.writer(text).writerows([("filename", "note"), *rows])
            with atomic_write(out / "errors.csv") as file:
                file.write(text.getvalue().encode())
    return report


def _targets(names: list[str], out: Path, suffix: str) -> dict[str, Path]:
    """The document of each image."""
    targets, taken = {}, {}
    for name in names:
        relative = Path(name)
        relative = Path(relative.name) if relative.is_absolute() or ".." in relative.parts else relative
        target = out / relative.with_name(relative.stem + suffix)
        if str(target).casefold() in taken:
            raise ValueError(f"{name} and {taken[str(target).casefold()]} would both become {target}; read them one by one")
        taken[str(target).casefold()], targets[name] = name, target
    return targets


def _read(images: Images, left: dict[str, Path], model: str, jobs: int, cluster: str) -> list[tuple]:
    """(name, error, lines, notes) of each page."""
    threads = 0 if cluster else max(processors() // jobs, 1) if jobs > 1 else 0
    tasks = (joblib.delayed(_read_page)(images, name, target, model, threads) for name, target in left.items())
    disabled = True if os.environ.get("TQDM_DISABLE") else None
    with tqdm(total=len(left), unit=" pages", disable=disabled) as bar:
        results = []
        if jobs == 1 and not cluster:
            done = (function(*arguments) for function, arguments, _ in tasks)
        else:
            with backend(cluster, jobs):
                done = joblib.Parallel(return_as="list" if cluster else "generator_unordered")(tasks)
        for result in done:
            results.append(result)
            bar.update()
    return sorted(results)


_recognizers: dict[str, object] = {}  # of this process


def _read_page(images: Images, name: str, target: Path, model: str, threads: int) -> tuple[str, str, int, list[str]]:
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    if model not in _recognizers:
        _recognizers[model] = Recognizer.load(model)
    image = images.get(name)
    try:
        if isinstance(image, ValueError):
            raise image
        page = _recognizers[model].read_page(image)
    except ValueError as error:
        return name, printable(error), 0, []
    page.name = Path(name).name
    target.parent.mkdir(parents=True, exist_ok=True)
    page.save(target)
    return name, "", len(page.lines), page.notes
