"""hwrlib.weights: what is shipped is small and documented, and reads what it was not trained on."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.photo import photographed
from hwrlib import synthetic
from hwrlib.decode import to_grey
from hwrlib.metrics import cer
from hwrlib.models.checkpoint import load_model
from hwrlib.models.recognizer import Recognizer
from hwrlib.reader import Reading
from hwrlib.sets.labels import read_labels
from hwrlib.weights import SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_are_small_and_documented(name):
    assert SHIPPED[name].stat().st_size <= 12_000_000
    assert SHIPPED[name].with_suffix(".md").is_file()
    assert not Path(load_model(SHIPPED[name])[3]["config"]["data"]).is_absolute()


def texts(readings: list[Reading]) -> list[str]:
    return [reading.text for reading in readings]


def test_shipped_names_read_handwriting_they_were_not_trained_on(tmp_path):
    synthetic.generate(tmp_path / "set", train=0, validation=0, test=40)
    labels = read_labels(tmp_path / "set" / "test.csv")
    recognizer = Recognizer.pretrained("names")
    readings = recognizer.read([tmp_path / "set" / "test" / name for name in labels["FILENAME"]])
    assert cer(labels["IDENTITY"].tolist(), texts(readings)) < 0.2


@pytest.mark.parametrize("kind", ["slope of light", "squares", "all"])
def test_shipped_names_read_photos(kind, tmp_path):
    """Weights that had seen white paper only misread half of the letters on grey paper, three quarters on squares."""
    synthetic.generate(tmp_path / "set", train=0, validation=0, test=40)
    labels, chance = read_labels(tmp_path / "set" / "test.csv"), np.random.default_rng(0)
    photos = [photographed(to_grey(tmp_path / "set" / "test" / name), kind, chance) for name in labels["FILENAME"]]
    assert cer(labels["IDENTITY"].tolist(), texts(Recognizer.pretrained("names").read(photos))) < 0.25


def test_shipped_lines_know_mixed_case_and_accents():
    assert set("aàçéêAÉ0123456789 .,;'-?!") <= set(Recognizer.pretrained("lines").charset.characters)


def test_unknown_shipped_weights_are_refused():
    with pytest.raises(ValueError, match="no shipped weights are called 'digits'; there are: lines, names"):
        Recognizer.pretrained("digits")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """Rendered names of many widths."""
    folder = tmp_path_factory.mktemp("rendered") / "names"
    synthetic.generate(folder, train=1, validation=1, test=30)
    return sorted((folder / "test").iterdir())


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_read_the_same_in_both_forms(name, rendered, monkeypatch):
    monkeypatch.setattr(
        "hwrlib.models.precision.has_fast_bf16", lambda device: False
    )  # rounding would change uncertain letters
    slow, fast = Recognizer.pretrained(name, device="cpu"), Recognizer.pretrained(name)
    assert fast.charset == slow.charset and fast.metrics == slow.metrics
    texts = [[reading.text for reading in recognizer.read(rendered)] for recognizer in (slow, fast)]
    assert sum(map(len, texts[0])) > 60 and cer(*texts) < 0.01


def test_shipped_names_read_rendered_names(rendered):
    truths = read_labels(rendered[0].parent.with_suffix(".csv"))["IDENTITY"].tolist()
    assert cer(truths, [reading.text for reading in Recognizer.pretrained("names").read(rendered)]) < 0.2


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_have_a_small_language_model(name):
    file = SHIPPED[name].with_suffix(".lm")
    assert file.stat().st_size <= 4_000_000
    recognizer = Recognizer.pretrained(name)
    language = recognizer.decoder.language
    assert language.adapted_to(recognizer.charset) is language  # nothing is left to do at the first reading
