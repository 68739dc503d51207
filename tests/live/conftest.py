"""The shipped recogniser, and the strokes of a word."""

import numpy as np
import pytest

from hwrlib.models.recognizer import Recognizer
from hwrlib.synthetic.forms import Writing
from hwrlib.synthetic.hands import load_alphabets, make_hand, pen_strokes

LINE = Writing("", x=40, baseline=110, height=70, pitch=75)


@pytest.fixture(scope="module")
def names() -> Recognizer:
    return Recognizer.pretrained("names")


@pytest.fixture(scope="module")
def ink():
    """The strokes of a word in a school hand, as the page sends them."""
    hand = make_hand(np.random.default_rng(3), load_alphabets(["school-0"]))

    def write(text: str) -> list:
        strokes = pen_strokes(LINE._replace(text=text), hand, np.random.default_rng(0), width=640)
        return [stroke.round(1).tolist() for stroke in strokes]

    return write
