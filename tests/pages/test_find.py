"""hwrlib.pages: lines are found and read."""

import re
import warnings
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import torch

from hwrlib.metrics import cer
from hwrlib.pages import find_lines
from hwrlib.pages.classical import find_lines_classically, skew
from hwrlib.pages.cut import cut_line
from hwrlib.pages.examples import Example, crop
from hwrlib.pages.export import to_onnx
from hwrlib.pages.find import Network
from hwrlib.pages.maps import DEPTH
from hwrlib.pages.network import LineNetwork, finished
from hwrlib.pages.scoring import score_page
from hwrlib.synthetic.pages import render_page


def test_onnx_computes_the_same_maps(tmp_path):
    torch.manual_seed(0)
    network = LineNetwork().eval()
    ink = np.random.default_rng(0).integers(0, 255, (90, 130), np.uint8)
    maps = Network(to_onnx(network, tmp_path / "n.onnx"))(ink)
    height, width = (-(-side // DEPTH) * DEPTH for side in ink.shape)
    padded = torch.zeros(1, 1, height, width)
    padded[0, 0, :90, :130] = torch.from_numpy(ink) / 255
    with torch.no_grad():
        expected = finished(network(padded))[0].numpy()[:, :23, :33]
    assert maps.shape == (4, 23, 33) and np.abs(maps - expected).max() < 0.5 and np.abs(maps - expected).mean() < 0.05


def test_pieces_and_their_maps_belong_together(register):
    """Where the target says that a baseline is, ink stands above it and little below."""
    example, random = Example.of(register), np.random.default_rng(0)
    found = []
    for _ in range(20):
        ink, target, known = crop([example, example], random)
        assert ink.shape == (512, 512) and target.shape == (4, 128, 128) and known.all()
        rows, columns = np.nonzero(target[0] > 0.9)
        small = cv2.resize(ink, (128, 128), interpolation=cv2.INTER_AREA).astype(float)
        above = [small[max(row - 6, 0) : row, column].mean() for row, column in zip(rows, columns) if row > 6]
        below = [small[row + 3 : row + 9, column].mean() for row, column in zip(rows, columns) if row < 119]
        found += [np.mean(above) > 2 * np.mean(below)] if len(above) > 50 and len(below) > 50 else []
    assert len(found) > 10 and np.mean(found) > 0.8


def baselines(lines):
    return [line.baseline for line in lines]


@pytest.mark.parametrize("options", [{}, dict(skew=-6), dict(columns=1), dict(columns=3, rows=5)])
def test_lines_of_a_register_are_found_in_order(options):
    page = render_page(3, **options)
    found = find_lines(page.image)
    assert score_page(baselines(found), baselines(page.lines)).f > 0.95
    assert len(found) == len(page.lines)
    for line, true in zip(found, page.lines):
        assert np.abs(line.baseline[[0, -1]].mean(axis=0) - true.baseline[[0, -1]].mean(axis=0)).max() < 25


def test_the_classical_method_finds_one_column(register):
    page = render_page(1, columns=1, skew=3.0)
    found = find_lines_classically(page.image)
    assert score_page(baselines(found), baselines(page.lines)).recall > 0.8
    small = np.zeros((200, 200), np.float32)
    for y in range(20, 180, 20):
        cv2.line(small, (0, y), (199, y + 14), 1, 3)
    assert skew(small) == pytest.approx(4, abs=0.5)


def test_a_page_is_read(register, names):
    page = names.read_page(register.image)
    assert cer([register.text], [page.text]) < 0.1 and not page.notes
    line = page.lines[1]
    assert line.text == line.reading.text and 0 <= line.reading.confidence <= 1
    length = np.hypot(*(line.baseline[-1] - line.baseline[0]))
    assert -20 <= line.reading.words[0].start < line.reading.words[-1].end <= length + 20


def cat():
    """A picture without writing: soft blobs and whiskers."""
    random, image = np.random.default_rng(0), np.full((700, 900), 120, np.uint8)
    for _ in range(40):
        cv2.circle(
            image, tuple(random.integers(0, 900, 2).tolist()), int(random.integers(20, 150)), int(random.integers(255)), -1
        )
    return cv2.GaussianBlur(image, (0, 0), 5)


def printed():
    image = np.full((800, 1000), 250, np.uint8)
    for row in range(16):
        cv2.putText(
            image, "Printed text 1234, quickly set in type.", (40, 60 + 44 * row), cv2.FONT_HERSHEY_TRIPLEX, 1, 20, 1
        )
    return image


@pytest.mark.parametrize(
    "picture, sentence",
    [
        (lambda register: np.full((900, 700), 220, np.uint8), "No line of writing"),
        (lambda register: np.full((1, 1), 0, np.uint8), "No line of writing"),
        (lambda register: cat(), "No line of writing|confidence"),
        (lambda register: printed(), "No line of writing|confidence"),
        (lambda register: np.ascontiguousarray(register.image[::-1, ::-1]), "upside down"),
    ],
)
def test_a_page_that_is_none_gets_a_sentence(register, names, picture, sentence):
    page = names.read_page(picture(register))
    assert len(page.notes) == 1 and re.search(sentence, page.notes[0])
    ElementTree.fromstring(page.to_alto())


@pytest.mark.parametrize("size", [(3, 2000), (2000, 3), (17, 17), (40, 600)])
def test_odd_sizes_do_no_harm(size):
    image = np.full(size, 255, np.uint8)
    image[len(image) // 2] = 0
    assert isinstance(find_lines(image), list)


def test_a_crop_of_two_lines_is_reported(register, names):
    """Not always: names often stand beside print, and `names` may read the lower line and be sure of it."""
    crops = []
    for page in [render_page(number, columns=1, rows=12) for number in range(4)]:
        for first, second in zip(page.lines[1:-1], page.lines[2:]):
            (left, top, right, _), (_, _, other, bottom) = first.box, second.box
            crops.append(page.image[int(top) : int(bottom), int(left) : int(max(right, other))])
    with pytest.warns(UserWarning, match="images seem to hold two lines of writing .number"):
        reported = [reading.holds_two_lines for reading in names.read(crops)]
    assert sum(reported) >= 0.25 * len(crops)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        singly = names.read([cut_line(register.image, line).image for line in register.lines])
    assert not any(reading.holds_two_lines for reading in singly)
