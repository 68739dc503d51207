"""hwrlib.images: ink of one form, sizes and places, and photographs in uneven light."""

import cv2
import numpy as np
import pytest

from hwrlib.images import Normalisation, _evenly_lit, holds_two_lines, normalise
from tests.core.examples import SIZES, WORD, alike, ink_of

# Any image -----------------------------------------------------------------------------------------------------------


def test_result_is_ink_of_the_asked_size(word):
    result = normalise(word, SIZES)
    assert result.ink.dtype == np.uint8 and result.ink.shape[0] == 32 and 32 <= result.ink.shape[1] <= 128
    assert result.ink.max() == 255 and result.ink.min() == 0 and 0.1 < (result.ink > 128).mean() < 0.5


def test_white_on_black_is_inverted(word):
    assert alike(ink_of(255 - word), ink_of(word))


@pytest.mark.parametrize("paper, ink", [(200, 20), (255, 120), (140, 60), (60, 200)])
def test_grey_paper_and_pale_ink_are_stretched(word, paper, ink):
    grey = (ink + (paper - ink) * (word / 255)).astype(np.uint8)
    assert alike(ink_of(grey), ink_of(word), limit=6)


@pytest.mark.parametrize("shape", [(1, 1), (4, 30_000), (30_000, 4), (1, 500), (500, 1), (2, 2)])
@pytest.mark.parametrize("value", [0, 255, "noise"])
def test_odd_sizes(shape, value):
    image = (
        np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        if value == "noise"
        else np.full(shape, value, np.uint8)
    )
    ink = normalise(image, SIZES).ink
    assert ink.shape[0] == 32 and 32 <= ink.shape[1] <= 128


def test_an_empty_sheet_has_no_ink():
    sheet = np.random.default_rng(0).integers(245, 256, (40, 200), dtype=np.uint8)  # paper with a little noise
    assert ink_of(sheet).max() < 128 and ink_of(np.full((40, 200), 255, np.uint8)).max() == 0


# Sizes and places ----------------------------------------------------------------------------------------------------


def test_the_aspect_is_kept():
    image = np.full((80, 200), 255, np.uint8)
    image[20:60, 50:110] = 0  # 40 x 60 px of ink
    ink = ink_of(image, Normalisation(height=32, max_width=128, min_width=32)) > 128
    height, width = np.flatnonzero(ink.any(1)).size, np.flatnonzero(ink.any(0)).size
    assert width / height == pytest.approx(60 / 40, rel=0.05)


def test_a_squeezed_line_keeps_some_of_its_height():
    image = np.full((40, 1000), 255, np.uint8)
    image[:, np.arange(1000) % 20 < 6] = 0  # strokes 40 px high
    heights = {
        stretch: int((ink_of(image, Normalisation(32, 128, 32, stretch)) > 40).any(1).sum()) for stretch in (1.0, 1.7)
    }
    assert heights == {1.0: round(40 * 128 / 1000), 1.7: round(1.7 * 40 * 128 / 1000)}


def form_field() -> np.ndarray:
    """Letters 20 px high in the middle of 60 rows of paper."""
    image = np.full((60, 200), 255, np.uint8)
    for left in range(20, 180, 20):
        image[20:40, left : left + 8] = 0
    return image


@pytest.mark.parametrize("edge", [slice(0, 8), slice(52, 60)])
def test_a_neighbouring_line_cut_by_the_edge_is_erased(edge):
    image = form_field()
    for left in range(30, 170, 14):
        image[edge, left : left + 6] = 0
    assert np.array_equal(ink_of(image), ink_of(form_field()))


@pytest.mark.parametrize(
    "what, place",
    [
        ("two pieces", (slice(0, 8), [40, 60])),
        ("ascenders", (slice(0, 20), [20, 40, 60, 80])),
        ("pieces too deep", (slice(0, 18), [30, 70, 110, 150])),
    ],
)
def test_ink_at_the_edge_that_is_no_other_line_stays(what, place):
    image, (rows, lefts) = form_field(), place
    for left in lefts:
        image[rows, left : left + 6] = 0
    assert normalise(image, SIZES).scale == pytest.approx(32 / (40 + 3), rel=0.01), what  # the ink box begins at row 0


def test_full_stops_at_the_edge_stay():
    image = form_field()[:42]  # two rows of paper under the letters
    image[36:42, 32:36] = image[36:42, 72:76] = image[36:42, 112:116] = 0
    bare = ink_of(form_field()[:42])
    assert (ink_of(image) > 128).sum() > (bare > 128).sum()


def test_a_narrow_line_is_padded_with_paper_at_the_right():
    image = np.full((16, 9), 255, np.uint8)
    image[:, 3:5] = 0  # scaled by 2, 8 px wide with its margin
    result = normalise(image, SIZES)
    assert result.ink.shape == (32, 32) and result.ink[:, 16:].max() == 0 and result.ink[:, :16].max() == 255


@pytest.mark.parametrize("height, width", [(20, 90), (60, 300), (40, 900)])
def test_columns_lead_back_to_the_pixels_of_the_original(height, width):
    for stroke in (25, width // 2, width - 30):
        image = np.full((height, width), 255, np.uint8)
        image[2:-2, 8:12] = image[2:-2, -12:-8] = 0  # the ends of the writing
        image[2:-2, stroke : stroke + 4] = 0
        result = normalise(image, SIZES)
        column = (stroke + 2 - result.left) * result.scale  # where the stroke's middle should be
        nearby = result.ink[:, max(int(column) - 1, 0) : int(column) + 2]
        assert nearby.max() > 60, (stroke, column)
        profile = result.ink.max(0).astype(float)
        window = np.arange(max(int(column - 4 * result.scale) - 1, 0), min(int(column + 4 * result.scale) + 2, len(profile)))
        centre = (profile[window] * (window + 0.5)).sum() / profile[window].sum()
        assert result.left + centre / result.scale == pytest.approx(stroke + 2, abs=0.5 / result.scale + 0.5)


# Images that decoders stumble over ------------------------------------------------------------------------------------

# Photos ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def long_word() -> np.ndarray:
    """Three words on white, as large as in a photo: (180, 1200) uint8."""
    return cv2.resize(np.hstack([WORD] * 3), (1200, 180), interpolation=cv2.INTER_AREA)


def photographed(page: np.ndarray, light: np.ndarray) -> np.ndarray:
    return (page * light).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("darkest", [0.3, 0.6, 0.8])
def test_a_slope_of_light_and_a_shadow_leave_the_ink_as_it_is(long_word, darkest):
    sizes = Normalisation(height=48, max_width=400, min_width=32)
    expected = normalise(long_word, sizes).ink.astype(int)
    slope = np.linspace(darkest, 0.95, long_word.shape[1])[None]
    shadow = np.where(np.arange(long_word.shape[1]) < 500, darkest, 0.95)[None]
    for light in (slope, cv2.GaussianBlur(shadow, (0, 0), 12)):
        ink = normalise(photographed(long_word, light), sizes).ink.astype(int)
        assert ink.shape == expected.shape and np.abs(ink - expected).mean() < 8
        assert np.corrcoef(ink.ravel(), expected.ravel())[0, 1] > 0.97


def test_dark_ink_in_a_dark_photo_is_not_taken_for_white_on_black(long_word):
    dark = photographed(long_word, np.linspace(0.15, 0.5, long_word.shape[1])[None])
    assert np.median(dark) < 128
    assert np.corrcoef(normalise(dark, SIZES).ink.ravel(), normalise(long_word, SIZES).ink.ravel())[0, 1] > 0.97


def test_an_evenly_lit_scan_stays_as_it_is(long_word):
    for grey in (long_word, photographed(long_word, np.linspace(0.9, 1, long_word.shape[1])[None])):
        assert _evenly_lit(grey) is None


# Two lines in one crop -----------------------------------------------------------------------------------------------


def rows_of(upper: int, valley: int, lower: int) -> np.ndarray:
    """(48, 192) ink: two rows of writing with a valley between them; mean ink of a row, 0-255."""
    return np.repeat(np.repeat(np.uint8([upper, valley, lower]), 16)[:, None], 192, axis=1)


@pytest.mark.parametrize("valley, is_double", [(0, True), (44, True), (56, False), (100, False)])
def test_a_valley_half_as_deep_as_the_rows_are_dark_separates_two_lines(valley, is_double):
    for upper, lower in ((100, 100), (100, 110), (110, 100)):
        assert holds_two_lines(rows_of(upper, valley, lower)) == is_double


def test_an_empty_image_holds_no_two_lines():
    assert not holds_two_lines(np.zeros((48, 192), np.uint8))
