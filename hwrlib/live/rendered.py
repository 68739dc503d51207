"""A rendered hand that writes on a pad where no person does: in tests, and in notebooks that papermill runs."""

import numpy as np

from hwrlib.live.pad import WritingPad
from hwrlib.synthetic.forms import Writing
from hwrlib.synthetic.hands import Hand, load_alphabets, make_hand, pen_strokes

MARGIN = 0.1  # of the pad's width, on both sides
BASELINE, CAPITAL = 0.7, 0.42  # of the pad's height: where letters stand, and how tall capitals are


def joined_hand(seed: int = 0) -> Hand:
    """A hand that joins its letters, as adults write; recognisers of capitals read it badly."""
    rng, alphabets = np.random.default_rng(seed), load_alphabets()
    while True:
        hand = make_hand(rng, alphabets)
        if hand.spacing == 0 and not hand.boxes:  # one hand in fifty
            return hand


def write(pad: WritingPad, text: str, hand: Hand, rng: np.random.Generator) -> None:
    """Write a text on an empty pad.

    Args:
        pad: to write on; what is on it is replaced.
        text: letters with or without accents, spaces, hyphens and apostrophes.
        hand: the writer.
        rng: decides what varies when the same hand writes again.
    """
    margin, height = MARGIN * pad.width, CAPITAL * pad.height
    pitch = min(1.05 * height, (pad.width - 2 * margin) / len(text))
    line = Writing(text, x=margin, baseline=BASELINE * pad.height, height=height, pitch=pitch)
    pad.strokes = [stroke.tolist() for stroke in pen_strokes(line, hand, rng, width=pad.width)]
