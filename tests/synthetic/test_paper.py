"""hwrlib.synthetic.paper: photographed lines, as many as asked for, and legible."""

import numpy as np
import pytest
import torch

from hwrlib.images import Normalisation, normalise
from hwrlib.synthetic.paper import photograph

SIZES = Normalisation(height=32, max_width=128, min_width=32)


@pytest.fixture
def word(draw) -> np.ndarray:
    return draw("ELENA")


def test_the_share_of_lines_that_is_photographed_is_what_was_asked_for():
    torch.manual_seed(0)
    images = torch.zeros(400, 1, 32, 64)
    images[:, :, 8:24, 8:56] = torch.rand(400, 1, 16, 48)
    widths = torch.full((400,), 60)
    assert photograph(images, widths, 0) is images
    for share in (0.25, 1.0):
        photos = photograph(images, widths, share)
        changed = (photos != images).flatten(1).any(1).float().mean()
        # On other paper or among other lines, independently: 1 - (1 - share)^2; half of the neighbours show nothing.
        assert share <= changed <= 1 - (1 - share) ** 2 + 0.08
        assert photos.shape == images.shape and 0 <= photos.min() and photos.max() <= 1
        assert (photos[..., 60:] == 0).all(), "padding stays without ink"


def test_a_photographed_line_can_still_be_read(word):
    torch.manual_seed(1)
    ink = torch.from_numpy(normalise(word, SIZES).ink)[None, None].float().repeat(32, 1, 1, 1) / 255
    photos = photograph(ink, torch.full((32,), ink.shape[-1]), 1.0)
    letters = ink[0, 0] > 0.6
    contrast = photos[:, 0][:, letters].mean(1) - photos[:, 0][:, ink[0, 0] < 0.05].mean(1)
    assert (contrast > 0.15).all() and photos.flatten(1).std(0).mean() > 0.05
