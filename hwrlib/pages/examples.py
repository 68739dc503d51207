"""What the network that finds lines learns from: pieces of pages, turned, curved and photographed, and their target maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hwrlib.pages.geometry import reach, smoothed
from hwrlib.pages.ink import page_ink, page_scale, resized
from hwrlib.pages.maps import ABOVE, BASELINE, BELOW, ENDS, STRIDE
from hwrlib.pages.page import Page

CROP = 512  # px, the side of what the network sees at a step
SIDE_BY_SIDE = 0.15  # fraction of the pieces that are two beside each other
PRINTED = 0.2  # of the pieces get print
WORDS = (
    "le la les de du des et un une dans pour par sur Nom Prénom Adresse Date Ville Paris République Française Tribunal "
    "Archives Nationales conditions participation Signature Monsieur Madame Registre Département Mairie numéro page acte "
    "1914 1918 2024 12 75 I. II. N° (a) : , . - art. timbre payé francs enregistré LISTE ÉTAT CIVIL TESTAMENT"
).split()
EXTENT = 75  # percentile of how far an outline reaches from its baseline: single loops of neighbours do not count
SHARP = 1.0  # px of the maps; standard deviation of a baseline's cross-section
FLAT = math.radians(45)  # steeper lines are neither learnt nor unlearnt


@dataclass
class Example:
    """A page to learn from, at the network's resolution."""

    grey: np.ndarray
    lines: list[tuple[np.ndarray, float, float]] = field(default_factory=list)  # baseline, above, below; px
    unknown: list[np.ndarray] = field(default_factory=list)  # outlines where nothing is learnt

    @classmethod
    def of(cls, page: Page) -> Example:
        scale = page_scale(page.image.shape)
        example = cls(resized(page.image, scale))
        for line in page.lines:
            baseline, polygon = line.baseline * scale, line.polygon * scale
            across, up = baseline[-1] - baseline[0]
            if abs(math.atan2(up, across)) > FLAT:
                example.unknown.append(polygon)
                continue
            above, below = (float(np.percentile(side, EXTENT)) for side in reach(baseline, polygon))
            example.lines.append((smoothed(baseline, 15), max(above, 4.0), max(below, 2.0)))
        return example


def crop(examples: Sequence[Example], random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A random piece of a page as ink (H, W), its target maps (4, h, w), and where they are known (1, h, w).

    Now and then it is two pieces side by side, with free paper between them, as the columns of a page are.
    """
    first = piece(examples[0], random)
    if random.random() < SIDE_BY_SIDE:
        first = beside(first, piece(examples[1], random), random)
    if random.random() < PRINTED:
        first = Example(with_print(first, random), first.lines, first.unknown)
    ink = page_ink(photographed(first.grey, random))
    if random.random() < 0.1:
        ink = (ink * random.uniform(0.4, 1)).astype(np.uint8)
    return ink, *maps(first.lines, first.unknown, CROP // STRIDE)


def piece(example: Example, random: np.random.Generator) -> Example:
    """A random piece of a page, warped."""
    warp = Warp(example, random)
    return Example(
        warp.image(example.grey),
        [(warp.points(baseline), above * warp.scale, below * warp.scale) for baseline, above, below in example.lines],
        [warp.points(outline) for outline in example.unknown],
    )


def beside(left: Example, right: Example, random: np.random.Generator) -> Example:
    """The left part of one piece and the right part of another."""
    middle, half = random.uniform(0.25, 0.75) * CROP, random.uniform(15, 50)
    x = np.arange(CROP)
    paper = float(np.median(left.grey))
    light = paper - float(np.median(right.grey))
    grey = np.where(x < middle, left.grey, (right.grey + light).clip(0, 255))
    grey[:, np.abs(x - middle) < half] = paper
    lines = []
    for part, is_inside in ((left, lambda x: x < middle - half), (right, lambda x: x > middle + half)):
        for baseline, above, below in part.lines:
            kept = baseline[is_inside(baseline[:, 0])]
            if len(kept) > above:
                lines.append((kept, above, below))
    return Example(grey.astype(np.uint8), lines, left.unknown + right.unknown)


def with_print(example: Example, random: np.random.Generator) -> np.ndarray:
    """The piece with some lines of print where it is free: forms have print, which is not to be found."""
    grey = example.grey.copy()
    font = ImageFont.truetype(random.choice(_fonts()), int(random.integers(9, 30)))
    ink = float(random.uniform(0.05, 0.5))
    x, y = random.uniform(-100, CROP / 2), random.uniform(0, CROP)
    for _ in range(int(random.integers(1, 5))):
        words = " ".join(random.choice(WORDS, int(random.integers(2, 16))))
        left, top, right, bottom = font.getbbox(words)
        height, width = bottom - top + 4, right - left + 4
        picture = Image.new("L", (width, height))
        ImageDraw.Draw(picture).text((2 - left, 2 - top), words, 255, font)
        _lay(grey, np.asarray(picture), int(x), int(y), ink, example.lines)
        y += 1.25 * height
    return grey


def _lay(grey: np.ndarray, picture: np.ndarray, x: int, y: int, ink: float, lines: list) -> None:
    """Print a picture, unless a line of writing is there."""
    y0, y1, x0, x1 = max(y, 0), min(y + len(picture), CROP), max(x, 0), min(x + picture.shape[1], CROP)
    if y1 <= y0 or x1 <= x0:
        return
    for baseline, above, below in lines:
        among = baseline[(baseline[:, 0] > x0) & (baseline[:, 0] < x1)]
        if len(among) and among[:, 1].min() - above < y1 and among[:, 1].max() + below > y0:
            return
    part = picture[y0 - y : y1 - y, x0 - x : x1 - x] / 255
    grey[y0:y1, x0:x1] = grey[y0:y1, x0:x1] * (1 - (1 - ink) * part)


@cache
def _fonts() -> list[str]:
    """Files of printed fonts, which come with matplotlib."""
    names = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "STIXGeneralItalic", "cmr10")
    files = (Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf" for name in names)
    return [str(path) for path in files if path.is_file()]


class Warp:
    """A random turn, size, slant and wave of a page, and the same for points on it."""

    def __init__(self, example: Example, random: np.random.Generator):
        angle = math.radians(random.normal(0, 2.5) if random.random() < 0.7 else random.uniform(-11, 11))
        self.scale = math.exp(random.uniform(math.log(0.55), math.log(1.6)))
        stretch, slant = math.exp(random.normal(0, 0.08)), random.normal(0, 0.1)
        mirror = -1 if random.random() < 0.25 else 1
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        self.matrix = turn @ np.array([[mirror * self.scale * stretch, slant], [0, self.scale]])
        centre = self._centre(example, random)
        self.offset = CROP / 2 - self.matrix @ centre
        self.waves = [(random.normal(0, 3), random.uniform(150, 900), random.uniform(0, 7)) for _ in range(2)]

    @staticmethod
    def _centre(example: Example, random: np.random.Generator) -> np.ndarray:
        """Near a line as a rule: most of a page is empty."""
        if example.lines and random.random() < 0.8:
            baseline = example.lines[random.integers(len(example.lines))][0]
            return baseline[random.integers(len(baseline))] + random.normal(0, 60, 2)
        return random.random(2) * example.grey.shape[::-1]

    def _wave(self, x: np.ndarray) -> np.ndarray:
        return sum(height * np.sin(x * 2 * math.pi / length + phase) for height, length, phase in self.waves)

    def points(self, curve: np.ndarray) -> np.ndarray:
        moved = curve @ self.matrix.T + self.offset
        return np.column_stack([moved[:, 0], moved[:, 1] + self._wave(moved[:, 0])])

    def image(self, grey: np.ndarray) -> np.ndarray:
        y, x = np.mgrid[:CROP, :CROP].astype(np.float32)
        back = np.linalg.inv(self.matrix)
        places = np.stack([x - self.offset[0], y - self._wave(x) - self.offset[1]], axis=-1) @ back.T
        border = int(np.median(grey[::50, ::50]))
        places = places.astype(np.float32)
        return cv2.remap(
            grey, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=border
        )


def photographed(grey: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """What paper, light and cameras do to a page: ruling, shadow, contrast, blur, noise, JPEG."""
    page = grey.astype(np.float32)
    if random.random() < 0.3:
        page = ruled(page, random)
    if random.random() < 0.4:
        slope = np.add.outer(np.linspace(-1, 1, CROP) * random.normal(), np.linspace(-1, 1, CROP) * random.normal())
        page *= np.exp(0.3 * slope).clip(0.3, 1.6)
    if random.random() < 0.3:
        place, width = random.uniform(0, CROP), random.uniform(5, 120)
        edge = 1 / (1 + np.exp(-(np.arange(CROP) - place) / width))
        page *= 1 - random.uniform(0.2, 0.6) * (edge if random.random() < 0.5 else edge[:, None])
    white = np.percentile(page, 90)
    page = white + (page - white) * random.uniform(0.4, 1.3) + random.normal(0, 10)
    if random.random() < 0.3:
        page = cv2.GaussianBlur(page, (0, 0), random.uniform(0.4, 1.8))
    if random.random() < 0.2:
        factor = random.uniform(0.4, 0.8)
        small = cv2.resize(page, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        page = cv2.resize(small, (CROP, CROP), interpolation=cv2.INTER_LINEAR)
    if random.random() < 0.5:
        page += random.normal(0, random.uniform(1, 12), page.shape)
    page = page.clip(0, 255).astype(np.uint8)
    if random.random() < 0.3:
        _, data = cv2.imencode(".jpg", page, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(15, 70))])
        page = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    return page


def ruled(page: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Printed lines or squares, a little turned, as of school paper, and long strokes such as a table has."""
    drawn = np.zeros((CROP, CROP), np.uint8)
    angle, distance = random.normal(0, 0.03), random.uniform(14, 60)
    directions = [angle] if random.random() < 0.6 else [angle, angle + math.pi / 2]
    thickness = int(random.integers(1, 3))
    for direction in directions:
        along, across = (
            np.array([math.cos(direction), math.sin(direction)]),
            np.array([-math.sin(direction), math.cos(direction)]),
        )
        for k in range(-int(CROP / distance) - 1, int(CROP / distance) + 2):
            middle = np.array([CROP / 2, CROP / 2]) + across * (k * distance + random.normal(0, 0.5))
            ends = [(middle + sign * CROP * along) for sign in (-1, 1)]
            cv2.line(drawn, *(tuple(int(v) for v in end) for end in ends), 255, thickness, cv2.LINE_AA)
    return page * (1 - random.uniform(0.08, 0.6) * drawn.astype(np.float32) / 255)


def maps(
    lines: Sequence[tuple[np.ndarray, float, float]], unknown: Sequence[np.ndarray], side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Target maps (4, side, side) of lines given in px of the page, and where they are known (1, side, side)."""
    target = np.zeros((4, side, side), np.float32)
    for baseline, above, below in lines:
        curve = np.round(baseline / STRIDE * 16).astype(np.int32)  # in sixteenths of a px
        for channel, value in ((ABOVE, above), (BELOW, below)):
            cv2.polylines(target[channel], [curve], False, value / STRIDE, 5, shift=4)
    thin, ends = np.full((side, side), 255, np.uint8), np.full((side, side), 255, np.uint8)
    for baseline, above, _ in lines:
        curve = np.round(baseline / STRIDE).astype(np.int32)
        cv2.polylines(thin, [curve], False, 0, 1)
        for end, inner in (
            (baseline[0], baseline[min(5, len(baseline) - 1)]),
            (baseline[-1], baseline[-min(6, len(baseline))]),
        ):
            along = (end - inner) / max(np.hypot(*(end - inner)), 1e-6)
            up = np.array([along[1], -along[0]])
            up = up if up[1] < 0 else -up
            top, bottom = (end + up * above * 0.6) / STRIDE, (end - up * 4) / STRIDE
            cv2.line(ends, tuple(np.round(top).astype(int).tolist()), tuple(np.round(bottom).astype(int).tolist()), 0, 1)
    for channel, drawn in ((BASELINE, thin), (ENDS, ends)):
        distance = cv2.distanceTransform(drawn, cv2.DIST_L2, 3)
        target[channel] = np.exp(-0.5 * np.minimum(distance / SHARP, 9) ** 2)
    known = np.ones((1, side, side), np.float32)
    for outline in unknown:
        cv2.fillPoly(known[0], [np.round(outline / STRIDE).astype(np.int32)], 0)
    return target, known
