"""hwrlib.pages: cutting, order, scoring, and pieces that are joined."""

import cv2
import numpy as np
import pytest

from hwrlib.pages import Line
from hwrlib.pages.curves import join, ridges, trace
from hwrlib.pages.cut import cut_line
from hwrlib.pages.order import in_reading_order
from hwrlib.pages.scoring import score_page
from tests.pages.examples import straight


@pytest.mark.parametrize("angle", [0, 8, -20, 90])
def test_a_cut_is_straight_whatever_the_baselines_direction(angle):
    page, t = np.full((600, 600), 255, np.uint8), np.radians(angle)
    along, across = np.array([np.cos(t), np.sin(t)]), np.array([np.sin(t), -np.cos(t)])
    start = np.array([300, 300]) - 150 * along
    cv2.line(page, *(tuple(np.round(start + s * along + 10 * across).astype(int).tolist()) for s in (20, 280)), 0, 3)
    baseline = np.array([start, start + 300 * along])
    polygon = np.array([start + s * along + up * across for s, up in ((0, 20), (300, 20), (300, -8), (0, -8))])
    image, place = cut_line(page, Line(baseline, polygon))
    rows, columns = np.nonzero(image < 128)
    assert np.ptp(rows) <= 6 and np.ptp(columns) == pytest.approx(262, abs=4)
    assert columns.min() - place == pytest.approx(20, abs=3)


def test_neighbours_outside_the_outline_become_paper():
    page = np.full((100, 200), 200, np.uint8)
    cv2.line(page, (0, 38), (199, 38), 0, 2)  # a line above
    image, _ = cut_line(page, straight(10, 60, 150))
    assert image.min() == 200


def columns_of(*places):
    return [straight(x, y, width, text=str(k)) for k, (x, y, width) in enumerate(places)]


def test_columns_are_read_one_after_the_other():
    lines = columns_of((10, 30, 300), (10, 70, 100), (180, 72, 100), (10, 100, 100), (180, 102, 100), (10, 140, 300))
    assert [line.text for line in in_reading_order(lines[::-1])] == ["0", "1", "3", "2", "4", "5"]


def test_a_wide_gap_begins_a_new_block():
    lines = in_reading_order(columns_of((10, 30, 300), (10, 60, 300), (10, 90, 300), (10, 200, 300)))
    assert [line.region for line in lines] == ["block_1"] * 3 + ["block_2"]
    assert in_reading_order([]) == []


def test_score_counts_lost_invented_and_merged_lines():
    true = [np.array([[0, y], [100, y]], float) for y in (20, 60, 100)]
    assert score_page(true, true) == (1, 1, 1)
    assert score_page(true[:2], true).recall == pytest.approx(2 / 3)
    assert score_page([*true, np.array([[300, 20], [400, 20]])], true).precision == pytest.approx(3 / 4)
    halves = [np.array([[0, 20], [45, 20]]), np.array([[55, 20], [100, 20]])]
    assert score_page([*halves, *true[1:]], true).precision == pytest.approx(3 / 4)
    assert score_page([], true).f == 0 and score_page([], []).f == 1 and score_page(true, []).f == 0


def test_score_tolerates_a_quarter_of_the_distance_between_lines():
    true = [np.array([[0, y], [100, y]], float) for y in (40, 80, 120)]
    assert score_page([curve + (0, 9) for curve in true], true).f == 1
    assert score_page([curve + (0, 20) for curve in true], true).f == pytest.approx(0.5)


def test_pieces_of_a_line_are_joined_unless_the_map_says_that_they_end():
    strength, ends = np.zeros((40, 200)), np.zeros((40, 200))
    strength[20, 10:90], strength[20, 100:190] = 0.9, 0.9
    curves = trace(ridges(strength, 0.3), strength)
    for curve in curves:
        curve.above, curve.below = 8.0, 4.0
    assert len(curves) == 2 and len(join(list(curves), ends)) == 1
    ends[18:23, 88:91] = ends[18:23, 99:102] = 0.9
    assert len(join(list(curves), ends)) == 2
