"""hwrlib.models.recognizer: checkpoints that read images, one and many."""

import shutil

import numpy as np
import pytest
from PIL import Image

from hwrlib.models.recognizer import Recognizer
from hwrlib.reader import Reading


@pytest.fixture(scope="module")
def paths(drawn_set):
    """Twelve images that were not trained on."""
    return sorted((drawn_set / "test").iterdir())


def texts(readings: list[Reading]) -> list[str]:
    return [reading.text for reading in readings]


def test_it_reads_words_it_was_trained_for(recognizer, paths, draw):
    assert texts(recognizer.read(paths)).count("") == 0
    assert recognizer.read(draw("ZOE")).text == "ZOE"


def test_one_image_gives_one_reading_and_many_give_a_list(recognizer, paths):
    one = recognizer.read(paths[0])
    assert isinstance(one, Reading) and recognizer.read([paths[0]]) == [one]
    assert recognizer.read([]) == []


def test_path_image_and_array_give_the_same(recognizer, paths):
    for path in paths[:3]:
        with Image.open(path) as image:
            array = np.asarray(image)
            forms = [path, str(path), image.copy(), image.convert("RGB"), array, array / 255]
        first, *others = recognizer.read(forms)
        assert texts(others) == [first.text] * 5
        assert [other.confidence for other in others] == pytest.approx([first.confidence] * 5, abs=1e-4)


def test_reading_does_not_change_the_image_given(recognizer, paths, tmp_path):
    Image.open(paths[0]).convert("RGB").save(tmp_path / "colour.jpg")
    with Image.open(tmp_path / "colour.jpg") as image:
        recognizer.read(image)
        assert image.mode == "RGB"


def test_images_that_cannot_be_read_are_named(recognizer, paths, tmp_path):
    (tmp_path / "scan_7.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match="scan_7.jpg: not a readable image"):
        recognizer.read([paths[0], tmp_path / "scan_7.jpg"])
    with pytest.raises(ValueError, match="scan_8.jpg: there is no such file"):
        recognizer.read(tmp_path / "scan_8.jpg")


@pytest.mark.parametrize("shape", [(1, 1), (4, 30_000), (30_000, 4), (40, 100, 4)])
def test_odd_images_are_read(recognizer, shape):
    assert 0 <= recognizer.read(np.full(shape, 255, np.uint8)).confidence <= 1


def test_latest_is_the_run_that_saved_last(run, recognizer, paths, tmp_path):
    shutil.copytree(run.folder, tmp_path / "runs/newest")
    latest = Recognizer.latest(tmp_path / "runs", device="cpu")
    assert latest.read(paths) == recognizer.read(paths) and latest.metrics == recognizer.metrics
    with pytest.raises(FileNotFoundError, match="no run with a best_model.pth"):
        Recognizer.latest(tmp_path)


def test_what_the_checkpoint_tells_about_itself(recognizer, run, tiny):
    assert recognizer.config == tiny().as_dict() and recognizer.metrics["validation_cer"] == run.best_cer
    assert recognizer.normalisation.height == 16 and not recognizer.model.training
