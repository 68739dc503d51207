"""Whole pages with their transcriptions → lines: ALTO and PAGE documents, and images with a `.gt.txt` file beside them."""

from __future__ import annotations

import io
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import cv2
import pandas as pd

from hwrlib.common.archives import Source
from hwrlib.common.files import IMAGE_SUFFIXES
from hwrlib.pages.cut import cut_line
from hwrlib.pages.documents import find_documents, load_page
from hwrlib.pages.xml import DocumentError
from hwrlib.sets.labels import decode, parse_labels, read_header
from hwrlib.sources.folder import write_split_at_random
from hwrlib.sources.layout import check_destination
from hwrlib.sources.report import ImportReport
from hwrlib.sources.rows import select_rows

HEIGHT = 128  # px; lines of a finer scan are made smaller
SKIP = "(skip)"  # in a table of conventions: lines with this sign are skipped
TRUTH = ".gt.txt"
MOST_FAULTS = 1_000  # sentences in a report
GROUPS = ("page", "folder")
LINE_COLUMNS = ["FILENAME", "IDENTITY", "PAGE", "FOLDER", "WRITER"]


def prepare_pages(
    folder: str | Path,
    out: str | Path,
    *,
    conventions: str | Path | None = None,
    writers: str | Path | None = None,
    group: str = "page",
    validation: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    overwrite: bool = False,
) -> ImportReport:
    """Import transcribed pages: cut their lines out, and split them at random.

    Args:
        folder: ALTO or PAGE documents, at any depth, each with its image beside it; also images of single lines with a
            text file of the same name that ends in `.gt.txt`.
        out: folder to create.
        conventions: CSV or TSV with the columns `sign` and `becomes`, for editorial signs: a sign is replaced by what it
            becomes, perhaps nothing; lines with a sign that becomes "(skip)" are skipped.
        writers: CSV or TSV with the columns `page` and `writer`; a page is named by its file name without suffix. All lines
            of a writer stay in one split.
        group: without `writers`, what stays in one split: "page", or "folder" for documents with a folder each.
        validation, test: fractions of the lines, between 0 and 1; the rest is for training.
        seed: of the shuffle.
        overwrite: replace a set prepared at `out` before.
    Returns:
        What was read, kept and skipped, and why: pages that cannot be used, lines without text, signs.
    Raises:
        AlreadyPrepared, FileExistsError: as in `prepare_kaggle`.
        ValueError: no page can be used, fewer than 3 groups, or a table lacks a column.
    """
    if group not in GROUPS:
        raise ValueError(f"group must be one of {', '.join(GROUPS)}, not {group!r}")
    options = {"validation": validation, "test": test, "seed": seed}
    tables = [table for table in (conventions, writers) if table]
    out, made_from = check_destination(out, [folder, *tables], overwrite=overwrite, group=group, **options)
    signs = _read_table(conventions, "sign", "becomes") if conventions else {}
    writer_of = _read_table(writers, "page", "writer") if writers else {}
    source = PageSource(Path(folder))
    report = ImportReport(made_from, refused=source.refused, faults=source.faults[:MOST_FAULTS])
    if not source.files:
        faults = "".join(f"\n- {fault}" for fault in source.faults[:10])
        raise ValueError(f"{folder}: no line with a text in any ALTO or PAGE document or {TRUTH} file{faults}")
    labels, skipped = _labels(source, signs, writer_of)
    rows, counts = select_rows(labels, list(labels["FILENAME"]), source)
    counts.read += sum(skipped.values())
    counts.left_out.update(skipped)
    report.splits["table"] = counts
    report.check()
    groups = rows["WRITER" if writers else group.upper()]
    return write_split_at_random(source, rows, list(groups), out, report, overwrite=overwrite, **options)


@dataclass(frozen=True)
class Entry:
    """A line of a source: its text, and where it is."""

    text: str
    document: Path  # of the page, or the image of a single line
    line: int | None = None  # position on the page


@dataclass
class PageSource(Source):
    """The lines of transcribed pages, as image files that are cut when they are read.

    Attributes:
        faults: a sentence for every page and line that cannot be used.
    """

    path: Path
    files: dict[str, Entry] = field(default_factory=dict)
    refused: Counter = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self):
        self._last: tuple[Path | None, object] = (None, None)
        for document in find_documents(self.path):
            self._add_page(document)
        for truth in sorted(self.path.rglob("*" + TRUTH)):
            self._add_pair(truth)

    def _add_page(self, document: Path) -> None:
        try:
            page, faults = load_page(document)
        except DocumentError as error:
            self._refuse("pages that cannot be used", str(error))
            return
        for fault in faults:
            self._refuse("lines without a usable place", f"{document}: {fault}")
        name = document.relative_to(self.path).with_suffix("").as_posix()
        for number, line in enumerate(page.lines):
            self._add(f"{name}/line_{number + 1:03d}.png", Entry(line.text, document, number))

    def _add_pair(self, truth: Path) -> None:
        stem = truth.name.removesuffix(TRUTH)
        images = (truth.with_name(stem + suffix) for suffix in sorted(IMAGE_SUFFIXES))
        image = next((path for path in images if path.is_file()), None)
        if image is None:
            self._refuse("texts without an image", f"{truth}: no image {stem}.png, .jpg, ... beside it")
            return
        self._add(image.relative_to(self.path).as_posix(), Entry(decode(truth.read_bytes(), name=str(truth)), image))

    def _refuse(self, reason: str, fault: str) -> None:
        self.refused[reason] += 1
        self.faults.append(fault)

    def _open(self, name: str) -> BinaryIO:
        entry = self.files[name]
        if entry.line is None:
            return open(entry.document, "rb")
        if self._last[0] != entry.document:
            self._last = (entry.document, load_page(entry.document)[0])
        page = self._last[1]
        image = cut_line(page.image, page.lines[entry.line]).image
        if len(image) > HEIGHT:
            size = (max(round(image.shape[1] * HEIGHT / len(image)), 1), HEIGHT)
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return io.BytesIO(cv2.imencode(".png", image)[1].tobytes())


def _labels(source: PageSource, signs: dict[str, str], writer_of: dict[str, str]) -> tuple[pd.DataFrame, Counter]:
    """A row for each line whose text can be used, and how many cannot, by reason."""
    rows, skipped = [], Counter()
    for name, entry in source.files.items():
        text, fault = _transcribed(entry.text, signs)
        writer = writer_of.get(entry.document.stem, "") if writer_of else ""
        if writer_of and not writer:
            fault = "page that the table of writers does not name"
        if fault:
            skipped[fault] += 1
            continue
        page = entry.document.relative_to(source.path).with_suffix("").as_posix()
        folder = entry.document.parent.relative_to(source.path).as_posix()
        rows.append([name, text, page if entry.line is not None else name, folder, writer])
    labels = pd.DataFrame(rows, columns=LINE_COLUMNS)
    return (labels if writer_of else labels.drop(columns="WRITER")), skipped


def _transcribed(text: str, signs: dict[str, str]) -> tuple[str, str | None]:
    """The text with its signs replaced, and why the line is skipped, if it is."""
    text = unicodedata.normalize("NFC", text)
    for sign, becomes in signs.items():
        if sign in text:
            if becomes == SKIP:
                return text, f"sign {sign!r}"
            text = text.replace(sign, becomes)
    return " ".join(text.split()), None


def _read_table(path: str | Path, key: str, value: str) -> dict[str, str]:
    """Two columns of a table as a dictionary."""
    data = Path(path).read_bytes()
    read_header(data, name=str(path), columns=[key, value])
    table = parse_labels(data, name=str(path), columns={"FILENAME": key, "IDENTITY": value})
    return {row[0]: row[1] for row in table.itertuples(index=False) if row[0]}
