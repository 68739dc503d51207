"""hwrlib.collate: the form of a batch."""

import numpy as np
import pytest
import torch

from hwrlib.charset import BLANK, Charset
from hwrlib.collate import Sample, ctc_collate
from hwrlib.images import WIDTH_STEP

CHARSET = Charset("ABC")


def sample(width: int, text: str = "A", height: int = 16) -> Sample:
    return Sample(np.full((height, width), 200, np.uint8), text, f"{text}_{width}.png")


def test_shapes_types_and_values():
    batch = ctc_collate([sample(40, "ABBA"), sample(70, "C"), sample(33, "")], charset=CHARSET)
    assert batch.images.shape == (3, 1, 16, 96) and batch.images.dtype == torch.uint8
    assert batch.image_widths.tolist() == [40, 70, 33]
    assert batch.targets.tolist() == [[1, 2, 2, 1], [3, BLANK, BLANK, BLANK], [BLANK] * 4]
    assert batch.target_lengths.tolist() == [4, 1, 0]
    assert {part.dtype for part in batch[1:4]} == {torch.int64}
    assert batch.texts == ("ABBA", "C", "") and batch.names == ("ABBA_40.png", "C_70.png", "_33.png")


def test_padding_is_paper_and_ink_stays():
    batch = ctc_collate([sample(40), sample(70)], charset=CHARSET)
    for image, width in zip(batch.images, batch.image_widths):
        assert (image[..., :width] == 200).all() and (image[..., width:] == 0).all()


@pytest.mark.parametrize("width", [1, 31, 32, 33, 255, 256])
def test_width_is_rounded_up(width):
    padded = ctc_collate([sample(width)], charset=CHARSET).images.shape[-1]
    assert padded % WIDTH_STEP == 0 and width <= padded < width + WIDTH_STEP


def test_characters_outside_the_charset_stay_in_the_text_alone():
    batch = ctc_collate([sample(32, "AÉB"), sample(32, "É")], charset=CHARSET)
    assert batch.targets.tolist() == [[1, 2], [BLANK, BLANK]] and batch.target_lengths.tolist() == [2, 0]
    assert batch.texts == ("AÉB", "É")


def test_heights_must_agree():
    with pytest.raises(ValueError, match=r"different heights \[16, 24\]"):
        ctc_collate([sample(32), sample(32, height=24)], charset=CHARSET)
