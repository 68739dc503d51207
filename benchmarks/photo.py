"""What a phone's camera costs: the CER of lines as they are, and as photos of them."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hwrlib import Recognizer
from hwrlib.decode import to_grey
from hwrlib.metrics import cer
from hwrlib.sets.labels import read_labels

KINDS = ("slope of light", "shadow", "ruling", "squares", "blur", "JPEG", "all")  # all of them but ruling
SCALE, MARGIN = 3, 20  # px of the photo per px of the line; px of paper around it


def photo_cost(data: str | Path, weights: str, count: int = 100) -> dict[str, Any]:
    """Photograph lines of the validation split, and read them greedily.

    Returns:
        `CER as scans`, and for every kind of photo the CER divided by it.
    """
    recognizer = Recognizer.pretrained(weights)
    table = read_labels(Path(data) / "validation.csv")
    table = table.sample(min(count, len(table)), random_state=0)
    lines = [to_grey(Path(data) / "validation" / name) for name in table["FILENAME"]]
    truths = table["IDENTITY"].tolist()

    def error(images: list[np.ndarray]) -> float:
        return cer(truths, [reading.text for reading in recognizer.read(images, language=None)])

    scans, ratios = error(lines), {}
    for kind in KINDS:
        chance = np.random.default_rng(0)
        ratios[f"{kind}, times as much"] = error([photographed(line, kind, chance) for line in lines]) / scans
    return {"CER as scans": scans, **ratios}


def photographed(line: np.ndarray, kind: str, chance: np.random.Generator) -> np.ndarray:
    """A line as a photo of one kind: (H, W) uint8 -> about three times as large."""
    line = cv2.resize(line, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)
    line = cv2.copyMakeBorder(line, *[MARGIN] * 4, cv2.BORDER_CONSTANT, value=255)
    height, width = line.shape
    y, x = np.mgrid[0:height, 0:width]
    paper = np.full((height, width), chance.uniform(0.75, 0.95))
    step, start, darkness = int(chance.uniform(28, 44)), chance.integers(28, size=2), chance.uniform(0.12, 0.3)
    if kind in ("squares", "all"):
        paper[((x - start[0]) % step < 2) | ((y - start[1]) % step < 2)] *= 1 - darkness
    if kind == "ruling":
        paper[(y - start[1]) % (2 * step) < 2] *= 1 - darkness
    photo = paper * (1 - (1 - line / 255) * chance.uniform(0.6, 0.85))
    if kind in ("slope of light", "all"):
        angle = chance.uniform(0, 2 * np.pi)
        along = np.cos(angle) * x / width + np.sin(angle) * y / height
        photo *= 1 - 0.5 * (along - along.min()) / np.ptp(along)
    if kind in ("shadow", "all"):
        edge = x - chance.uniform(0.3, 0.7) * width + chance.uniform(-1, 1) * y
        photo *= 1 - 0.35 / (1 + np.exp(-edge / 12))
    if kind in ("blur", "all"):
        photo = cv2.GaussianBlur(photo, (0, 0), chance.uniform(1, 2))
    photo = (255 * (photo + chance.normal(0, 0.02, photo.shape)).clip(0, 1)).astype(np.uint8)
    quality = 40 if kind in ("JPEG", "all") else 90
    return cv2.imdecode(cv2.imencode(".jpg", photo, (cv2.IMWRITE_JPEG_QUALITY, quality))[1], cv2.IMREAD_GRAYSCALE)
