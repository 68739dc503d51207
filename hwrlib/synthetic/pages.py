"""Whole pages of rendered handwriting: a register of names in columns on ruled paper, photographed a little askew."""

from __future__ import annotations

import math

import cv2
import numpy as np

from hwrlib.pages.page import Line, Page
from hwrlib.synthetic.dataset import name_pools
from hwrlib.synthetic.forms import Writing, print_text
from hwrlib.synthetic.hands import SUPERSAMPLING, Hand, load_alphabets, make_hand, pen_strokes, to_label

CAPITAL = 25.0  # px, height of a capital
DISTANCE = 62  # px between two lines
MARGIN = 110  # px around the writing
COLUMN = 420  # px
UP, DOWN = 1.5, 0.55  # how far a line's outline reaches from its baseline, in heights of a capital


def render_page(seed: int = 0, *, columns: int = 2, rows: int = 14, skew: float = 1.5, hands: int = 4) -> Page:
    """A page of a school's register, with the place and the text of every line.

    Args:
        seed: decides names, hands, paper and light.
        columns: of names.
        rows: names in a column.
        skew: degrees by which the page is turned clockwise.
        hands: pupils write by turns; so many of them.
    Returns:
        The page with its image; texts are labels: capitals without accents.
    """
    rng = np.random.default_rng([seed, columns, rows])
    width, height = 2 * MARGIN + columns * COLUMN, 2 * MARGIN + (rows + 2) * DISTANCE
    alphabets, pool = load_alphabets(), name_pools(0)["test"]
    writers = [_legible(rng, alphabets) for _ in range(hands)]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -skew, 1.0)
    strokes, lines = [], []
    texts = iter(rng.choice(pool.texts, size=columns * rows, p=pool.probabilities).tolist())
    for column, row in [(0, -2), *np.ndindex(columns, rows)]:
        heading = row < 0
        text = "ELEVES" if heading else next(texts)
        x = MARGIN + column * COLUMN + rng.normal(0, 4)
        baseline = MARGIN + (row + 2) * DISTANCE + rng.normal(0, 1.5)
        hand = writers[0] if heading else writers[(row + 3 * column) % hands]
        place = Writing(text, x, baseline, CAPITAL * (1.3 if heading else 1), 1.3 * CAPITAL)
        written = pen_strokes(place, hand, rng, width=x + COLUMN - 90)
        strokes += [(stroke @ turn[:, :2].T + turn[:, 2], hand.pen) for stroke in written]
        lines.append(
            _line(to_label(text), np.concatenate(written), baseline, place.height, turn, f"block_{column + 2 - heading}")
        )
    image = _photographed(_drawn(strokes, _paper(width, height, turn, rng)), rng)
    return Page(width, height, lines, name=f"register_{seed}.png", image=image)


def _legible(rng: np.random.Generator, alphabets: dict) -> Hand:
    """A hand in capitals, not the faintest."""
    while True:
        hand = make_hand(rng, alphabets)
        if not hand.title and hand.fading < 0.5:
            return hand


def _line(text: str, points: np.ndarray, baseline: float, capital: float, turn: np.ndarray, region: str) -> Line:
    left, right = points[:, 0].min() - 3, points[:, 0].max() + 3
    top, bottom = baseline - UP * capital, baseline + DOWN * capital
    curve = np.array([[left, baseline], [right, baseline]])
    outline = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return Line(*(part @ turn[:, :2].T + turn[:, 2] for part in (curve, outline)), text=text, region=region)


def _paper(width: int, height: int, turn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ruled paper with a line at the left and a stamp: (H, W) of 0 ... 1, how much light it throws back."""
    paper = np.ones((height, width), np.float32)
    for y in range(MARGIN, height - MARGIN // 2, DISTANCE):
        cv2.line(paper, (0, y + 4), (width, y + 4), 0.82, 1, cv2.LINE_AA)
    cv2.line(paper, (MARGIN - 40, 0), (MARGIN - 40, height), 0.75, 2, cv2.LINE_AA)
    stamp = np.zeros((150, 150), np.float32)
    for radius in (72, 52):
        cv2.circle(stamp, (75, 75), radius, 1, 2, cv2.LINE_AA)
    for text, y in (("ACADEMIE", 50), ("DE PARIS", 78)):
        ink = cv2.resize(print_text(text, True), None, fx=1.2, fy=1.2)[: 150 - y, :130]
        part = stamp[y : y + len(ink), 75 - ink.shape[1] // 2 :][:, : ink.shape[1]]
        np.maximum(part, ink[: len(part)] / 255, out=part)
    x, y = width - MARGIN - 200, 20
    paper[y : y + 150, x : x + 150] -= 0.45 * stamp
    return cv2.warpAffine(paper, turn, (width, height), flags=cv2.INTER_LINEAR, borderValue=0.25)


def _drawn(strokes: list[tuple[np.ndarray, float]], paper: np.ndarray) -> np.ndarray:
    """The paper with ink on it."""
    height, width = paper.shape
    ink = np.zeros((height * SUPERSAMPLING, width * SUPERSAMPLING), np.uint8)
    for stroke, pen in strokes:
        thickness = max(round(1.7 * pen * SUPERSAMPLING), 1)
        cv2.polylines(ink, [(stroke * SUPERSAMPLING * 8).astype(np.int32)], False, 255, thickness, cv2.LINE_AA, 3)
    ink = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return paper * (1 - 0.8 * ink)


def _photographed(page: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light from one side, a shadow, a little blur and noise: (H, W) uint8."""
    y, x = np.mgrid[-1 : 1 : page.shape[0] * 1j, -1 : 1 : page.shape[1] * 1j].astype(np.float32)
    angle = rng.uniform(0, 2 * math.pi)
    light = 205 + 22 * (math.cos(angle) * x + math.sin(angle) * y)
    light *= 1 - 0.22 / (1 + np.exp(-(x + 0.6 * y - rng.uniform(0.3, 0.8)) / 0.06))
    photo = cv2.GaussianBlur(page * light, (0, 0), 0.7) + rng.normal(0, 1.5, page.shape)
    return photo.clip(0, 255).astype(np.uint8)
