"""Finding and reading the lines of pages: against transcriptions, against the classical method, and on degraded copies."""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.measure import in_fresh_python
from hwrlib import Recognizer
from hwrlib.metrics import cer
from hwrlib.pages import Line, Page, find_documents, find_lines, load_page
from hwrlib.pages.classical import find_lines_classically
from hwrlib.pages.geometry import reach, resample
from hwrlib.pages.scoring import Score, mean_score, score_page
from hwrlib.synthetic.pages import render_page

TURN = 5  # degrees
READ = """
import os, sys, time
os.environ["OMP_NUM_THREADS"] = "2"
from hwrlib import Recognizer
from hwrlib.pages import find_lines
recognizer = Recognizer.pretrained(sys.argv[2])
began = time.perf_counter()
recognizer.read_page(sys.argv[1])"""


def page_figures(folder: str | Path | None, weights: str) -> dict[str, Any]:
    """Precision, recall and F of baselines, and the CER of whole pages, by kind of page.

    Args:
        folder: ALTO or PAGE documents with their images, kinds told by the part of the file name before the first "_"; by
            default eight rendered registers.
        weights: that read the lines. Ratios of CERs are left out if lines cut by hand are read without a fault.
    """
    pages = [load_page(path)[0] for path in find_documents(folder)] if folder else [render_page(seed) for seed in range(8)]
    kinds = defaultdict(list)
    for page in pages:
        kinds[page.name.split("_")[0]].append(page)
    finders = {"network": find_lines, "classical": find_lines_classically}
    results = {f"{kind}, {len(of_kind)} pages": _figures(of_kind, finders, weights) for kind, of_kind in kinds.items()}
    return {**results, **_cost(pages, weights)}


def _figures(pages: list[Page], finders: dict[str, Callable], weights: str) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, finder in finders.items():
        score = mean_score([_score(page, finder(page.image)) for page in pages])
        figures |= {f"{name}: {part}": value for part, value in score._asdict().items()}
    for name, degrade in DEGRADED.items():
        figures[f"network, F on copies: {name}"] = mean_score([_degraded(page, degrade) for page in pages]).f
    recognizer = Recognizer.pretrained(weights)
    truths = [_text(page.lines) for page in pages]
    read = [recognizer.read_page(page.image).lines for page in pages]
    found = cer(truths, [_text(lines) for lines in read])
    transcribed = [_transcribed(lines, page) for lines, page in zip(read, pages)]
    matched = cer(truths, [_text(lines) for lines in transcribed])
    by_hand = cer(truths, [_text(recognizer.read_page(page.image, lines=page.lines).lines) for page in pages])
    ratios = {"ratio": found / by_hand, "ratio, without those": matched / by_hand} if by_hand else {}
    return {
        **figures,
        "lines found where nothing is transcribed": sum(map(len, read)) - sum(map(len, transcribed)),
        "CER, lines found": found,
        "CER, lines found, without those": matched,
        "CER, lines cut by hand": by_hand,
        **ratios,
    }


def _transcribed(lines: list[Line], page: Page) -> list[Line]:
    """The lines that a transcribed one runs along: pages hold writing that nobody transcribed, such as a clerk's notes."""
    if not page.lines:
        return []
    true = np.concatenate([resample(line.baseline, 5) for line in page.lines])
    return [line for line in lines if _is_beside(line, true)]


def _is_beside(line: Line, points: np.ndarray) -> bool:
    """Whether most of a baseline has one of the points within half the line's height."""
    curve = resample(line.baseline, 5)
    above, below = reach(line.baseline, line.polygon)
    distances = np.sqrt(((curve[:, None] - points[None]) ** 2).sum(axis=2).min(axis=1))
    return float((distances < np.median(above + below) / 2).mean()) > 0.5


def _text(lines: list[Line]) -> str:
    return "\n".join(line.text.replace("’", "'") for line in lines)


def _score(page: Page, lines: list[Line], matrix: np.ndarray | None = None) -> Score:
    true = [line.baseline for line in page.lines]
    if matrix is not None:
        true = [curve @ matrix[:, :2].T + matrix[:, 2] for curve in true]
    return score_page([line.baseline for line in lines], true)


def _degraded(page: Page, degrade: Callable) -> Score:
    image, matrix = degrade(page.image)
    return _score(page, find_lines(image), matrix)


def _turned(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width = grey.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), TURN, 1.0)
    sine, cosine = abs(matrix[0, 1]), abs(matrix[0, 0])
    size = round(width * cosine + height * sine), round(height * cosine + width * sine)
    matrix[:, 2] += (np.array(size) - (width, height)) / 2
    return cv2.warpAffine(grey, matrix, size, borderValue=int(np.median(grey))), matrix


def _shadowed(grey: np.ndarray) -> tuple[np.ndarray, None]:
    height, width = grey.shape
    edge = np.add.outer(np.arange(height) * 0.4, np.arange(width)) - 0.6 * width
    return (grey * (1 - 0.5 / (1 + np.exp(-edge / 40)))).astype(np.uint8), None


def _halved(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.array([[0.5, 0, 0], [0, 0.5, 0]])


def _compressed(grey: np.ndarray) -> tuple[np.ndarray, None]:
    data = cv2.imencode(".jpg", grey, (cv2.IMWRITE_JPEG_QUALITY, 30))[1]
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), None


DEGRADED = {
    f"turned by {TURN}°": _turned,
    "half in shadow": _shadowed,
    "blurred": lambda grey: (cv2.GaussianBlur(grey, (0, 0), 1.5), None),
    "half the resolution": _halved,
    "JPEG quality 30": _compressed,
}


def _cost(pages: list[Page], weights: str) -> dict[str, float]:
    """Seconds for finding and for reading, and the memory of a process that reads the page with most lines."""
    find, read, recognizer = [], [], Recognizer.pretrained(weights)
    for page in pages:
        began = time.perf_counter()
        lines = find_lines(page.image)
        find.append(time.perf_counter() - began)
        recognizer.read_page(page.image, lines=lines)
        read.append(time.perf_counter() - began)
    longest = pages[int(np.argmax([len(page.lines) for page in pages]))]
    with tempfile.TemporaryDirectory() as folder:
        cv2.imwrite(f"{folder}/page.png", longest.image)
        _, memory = in_fresh_python(READ, f"{folder}/page.png", weights)
    return {
        "seconds per page, finding: median": float(np.median(find)),
        "seconds per page, finding and reading: median": float(np.median(read)),
        "seconds per page, finding and reading: longest": max(read),
        "MiB of a process that reads the fullest page": memory,
    }
