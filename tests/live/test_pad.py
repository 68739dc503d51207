"""hwrlib.live.pad: what the kernel does with strokes."""

import numpy as np
import pytest
from traitlets import TraitError

from hwrlib.live import WritingPad
from hwrlib.live.pad import FALLBACK, frames_of


def test_a_word_is_read_at_each_stroke(names, ink):
    pad, readings = WritingPad(names), []
    pad.observe(lambda change: readings.append(change["new"].text), "reading")
    strokes = ink("EMMA")
    others = []
    for count in range(1, len(strokes) + 1):
        pad.strokes = strokes[:count]
        assert pad.shown["alternatives"] == [list(pair) for pair in pad.reading.alternatives[:4]]
        others += pad.shown["alternatives"]
    assert others  # half a word may be several words
    assert pad.reading.text == "EMMA" == readings[-1] == pad.shown["text"] and len(readings) > 4
    assert np.allclose(pad.ink["strokes"][-1], strokes[-1]) and pad.shown["confidence"] == pad.reading.confidence


def test_the_image_shows_the_ink_and_nothing_else(names):
    pad = WritingPad(names, width=300, height=100, pen=6)
    assert pad.image.shape == (100, 300) and (pad.image == 255).all()
    pad.strokes = [[(50, 50), (250, 50)]]
    rows, columns = np.nonzero(pad.image < 128)
    assert (
        46 <= rows.min() <= 48
        and 52 <= rows.max() <= 54
        and columns.min() in range(46, 51)
        and columns.max() in range(250, 255)
    )


def test_frames_stand_under_the_ink_that_they_say(names, ink):
    pad = WritingPad(names)
    pad.strokes = ink("EMMA")
    frames = pad.shown["frames"]
    assert "".join(text for _, _, text, _ in frames) in ("EMMA", "EMMMA", "EEMMA", "EMMAA")
    starts = [left for left, _, text, _ in frames if text]
    columns = [x for stroke in pad.strokes for x, _ in stroke]
    assert min(columns) - 12 <= min(starts) and max(starts) <= max(columns) and starts == sorted(starts)
    assert min(starts) < np.mean(columns) < max(starts)
    assert all(0 <= probability <= 1 and left < right <= 640 for left, right, _, probability in frames)
    assert frames_of(names, pad.image) == [tuple(frame) for frame in frames]


def test_undo_and_clear(names, ink):
    pad = WritingPad(names)
    pad.strokes = ink("LA")
    count = len(pad.strokes)
    pad.undo()
    assert len(pad.strokes) == count - 1 == len(pad.ink["strokes"])
    pad.clear()
    pad.undo()
    assert pad.strokes == [] and pad.reading is None and "text" not in pad.shown


def test_points_beyond_the_pad_are_put_on_its_edge(names):
    pad = WritingPad(names, width=100, height=50)
    pad.strokes = [[(-20, 20), (500, 70)], []]
    assert pad.strokes == [[(0.0, 20.0), (100.0, 50.0)]]


@pytest.mark.parametrize("strokes", [[[("a", 1)]], [[(1, float("nan"))]], [[(1,)]], [[None]], [[(0, 0)] * 100_001]])
def test_what_is_not_ink_is_rejected_and_the_ink_stays(names, strokes):
    pad = WritingPad(names)
    pad.strokes = [[(10, 10), (20, 60)]]
    with pytest.raises(TraitError):
        pad.strokes = strokes
    assert pad.strokes == [[(10.0, 10.0), (20.0, 60.0)]]


def test_the_page_is_answered_with_the_number_of_its_change(names, ink):
    pad = WritingPad(names)
    for change in (7, 9):  # the second one is of the same ink: it is answered, too
        pad._receive({"change": change, "strokes": ink("LA")})
        assert pad.shown["change"] == pad.ink["change"] == change and pad.shown["text"] == "LA"
    pad.clear()
    assert pad.ink == {"change": 10, "strokes": []} and pad.shown == {"change": 10}


def test_the_page_is_told_what_is_wrong_with_its_ink(names):
    pad = WritingPad(names)
    pad._receive({"change": 3, "strokes": [[("a", 1)]]})
    assert pad.shown["change"] == 3 and "list of points" in pad.shown["error"]


def test_a_page_that_cannot_show_a_pad_says_so(names):
    bundle = WritingPad(names)._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert data["text/plain"] == FALLBACK and "application/vnd.jupyter.widget-view+json" in data
