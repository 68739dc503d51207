"""hwrlib.augment: distortions stay within their bounds and keep every line legible."""

import pytest
import torch

from hwrlib.augment import _elastic_field, _vary_strokes, augment, erase


@pytest.fixture
def inks() -> torch.Tensor:
    images = torch.zeros(6, 1, 32, 96, dtype=torch.uint8)
    images[:, :, 12:20, 30:66] = torch.randint(
        100, 256, (6, 1, 8, 36), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return images


WIDTHS = torch.tensor([96, 66, 70, 80, 90, 96])


def test_strength_0_changes_nothing(inks):
    images, widths = augment(inks, WIDTHS, 0)
    assert torch.equal(images, inks.float() / 255) and torch.equal(widths, WIDTHS)


def test_the_seed_decides(inks):
    torch.manual_seed(3)
    (first, widths), (other, _) = augment(inks, WIDTHS), augment(inks, WIDTHS)
    torch.manual_seed(3)
    again, same_widths = augment(inks, WIDTHS)
    assert torch.equal(again, first) and torch.equal(widths, same_widths)
    assert first.shape != other.shape or not torch.equal(first, other)


@pytest.mark.parametrize("strength", [0.3, 1.0, 2.0])
def test_shape_range_and_paper_corners(inks, strength):
    torch.manual_seed(0)
    for _ in range(10):
        images, widths = augment(inks, WIDTHS, strength)
        assert images.shape[:3] == inks.shape[:3] and images.dtype == torch.float32
        assert (widths >= WIDTHS).all() and widths.max() <= images.shape[3] and images.shape[3] % 32 == 0
        assert 0 <= images.min() and images.max() <= 1
        for corner in (images[..., 0, 0], images[..., 0, -1], images[..., -1, 0], images[..., -1, -1]):
            assert (corner == 0).all()


@pytest.mark.parametrize("width", [20, 96, 640])
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_the_first_and_the_last_letter_of_a_line_are_never_cut_off(width, strength):
    torch.manual_seed(0)
    lines = torch.zeros(64, 1, 40, 640, dtype=torch.uint8)
    lines[..., 3:7] = lines[..., width - 7 : width - 3] = (
        255  # the first letter and the last, with the margin of `normalise`
    )
    images, widths = augment(lines, torch.full((64,), width), strength)
    for image, end in zip(images[:, 0, 19:21], widths.tolist()):  # rows that the bars cross wherever they are moved
        assert (image[:, end:] < 0.02).all()  # no ink beyond the line's width
        bars = ((image > 0.05).float().diff(dim=1, prepend=torch.zeros(2, 1)) > 0).sum(1)
        assert (bars == 2).all() and image.sum() > 0.5


def test_what_moves_in_from_outside_is_paper():
    torch.manual_seed(0)
    images, _ = augment(torch.full((32, 1, 32, 96), 255, dtype=torch.uint8), torch.full((32,), 96))
    edges = torch.cat([images[..., 0, :].flatten(1), images[..., -1, :].flatten(1)], 1)
    assert (edges.amin(1) == 0).any() and images.amax((1, 2, 3)).min() > 0.5


def test_every_image_is_changed_in_its_own_way_and_stays_legible(inks):
    torch.manual_seed(0)
    images, _ = augment(inks[:1].expand(16, -1, -1, -1), WIDTHS[:1].expand(16))
    assert len({image.sum().item() for image in images}) == 16
    assert (images.sum((1, 2, 3)) > 0.12 * (inks[0].float() / 255).sum()).all()


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_the_share_of_columns_that_is_erased_is_what_was_asked_for(share):
    torch.manual_seed(0)
    images = torch.rand(200, 1, 40, 800) * 0.5 + 0.5
    erased = erase(images, share)
    covered = erased == 0
    assert torch.equal(erased[~covered], images[~covered]), "what no patch covers stays as it is"
    touched = covered.any(2)[..., 40:-40].float().mean()
    assert 0.85 * share < touched < 1.02 * share, "less only where two patches meet"
    heights = covered.sum(2)[covered.any(2)]
    assert heights.min() >= 15 and heights.max() == 40
    assert erase(images, 0) is images


# Every distortion ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def places() -> dict[str, torch.Tensor]:
    """Of 400 lines with a bar at each end, after `augment`: where the bars are, in px of the image, (400,) each."""
    torch.manual_seed(0)
    lines = torch.zeros(400, 1, 40, 320, dtype=torch.uint8)
    lines[:, :, 10:30, 20:28] = lines[:, :, 10:30, 292:300] = 255
    ink = augment(lines, torch.full((400,), 320))[0][:, 0]  # (400, H, W')
    x, y = torch.arange(ink.shape[2]) + 0.5, torch.arange(40)[:, None] + 0.5
    columns = ink.amax(1) > 0.2
    middle = ((x * columns).sum(1) / columns.sum(1))[:, None, None]  # between the bars

    def centre(part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return tuple((part * axis).sum((1, 2)) / part.sum((1, 2)) for axis in (x, y))

    first, second = ink * (x < middle), ink * (x > middle)
    (x1, y1), (x2, y2) = centre(first), centre(second)
    heights = sum((bar.amax(2) > 0.3).sum(1) for bar in (first, second)) / 2
    below, above = (centre(first * half)[0] for half in (y > y1[:, None, None] + 2, y < y1[:, None, None] - 2))
    return {
        "length": x2 - x1,
        "rise": y2 - y1,
        "height": heights,
        "aspect": 20 * (x2 - x1) / heights,
        "shift": (y1 + y2) / 2 - 20,
        "lean": below - above,
    }


@pytest.mark.parametrize(
    ("what", "spread"),
    [("length", 42.9), ("rise", 4.16), ("height", 3.61), ("aspect", 34.7), ("shift", 2.51), ("lean", 2.32)],
)
def test_lines_vary_as_much_as_they_should(places, what, spread):
    """In scale, rotation, proportion, place and slant; the spreads were measured once, and are stated to 10 %."""
    assert float(places[what].std()) == pytest.approx(spread, rel=0.1)


def test_lines_are_bent_in_both_directions():
    torch.manual_seed(0)
    across, down = _elastic_field(500, 40, 320, 1.0, torch.device("cpu"))
    assert 2.2 < across.abs().max() <= 2.5 and 2.7 < down.abs().max() <= 3
    assert across[:, :, 1:].sub(across[:, :, :-1]).abs().max() < 0.5  # slowly: strokes stay strokes


def test_strokes_become_thicker_and_thinner_and_fade():
    torch.manual_seed(0)
    bars = torch.zeros(400, 1, 16, 16)
    bars[..., 6:10] = 1
    changed = _vary_strokes(bars, 1.0)[:, 0, 8]
    full = changed[:, 7]  # inside a stroke there is no edge: what is missing has faded
    beside, edge = changed[:, 5] / full, changed[:, 6] / full
    assert 0.7 <= full.min() < 0.72 and 0.98 < full.max() <= 1
    assert 0.4 < (beside > 0.05).float().mean() < 0.55 and 0.4 < (edge < 0.95).float().mean() < 0.55
    assert beside.max() == pytest.approx(0.5, abs=0.01) and edge.min() == pytest.approx(0.5, abs=0.01)
