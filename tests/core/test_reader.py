"""hwrlib.reader: the order of readings, their places in the image, and single images of every kind."""

import numpy as np
import pytest
import torch
from PIL import Image

from hwrlib.charset import Charset
from hwrlib.images import Normalisation
from hwrlib.model import CRNN
from hwrlib.models.recognizer import Recognizer
from hwrlib.reader import Reading, read_lines


@pytest.fixture(scope="module")
def paths(drawn_set):
    """Twelve images that were not trained on."""
    return sorted((drawn_set / "test").iterdir())


def texts(readings: list[Reading]) -> list[str]:
    return [reading.text for reading in readings]


def test_order_is_kept_whatever_the_batches(recognizer, paths, draw, monkeypatch):
    images = [draw("LEO" * (1 + number % 3), seed=number) for number in range(9)] + paths
    alone = [recognizer.read(image) for image in images]
    for batch_size in (1, 4, 64):
        assert texts(recognizer.read(images, batch_size=batch_size)) == texts(alone)
    monkeypatch.setattr("hwrlib.reader.CHUNK", 5)
    assert texts(recognizer.read(images)) == texts(alone)


def test_read_each_takes_images_as_they_come(recognizer, paths, monkeypatch):
    monkeypatch.setattr("hwrlib.reader.CHUNK", 2)
    taken = []

    def stream():
        for path in paths:
            taken.append(path)
            yield path

    readings = recognizer.read_each(stream())
    assert taken == []
    next(readings)
    assert len(taken) == 2  # no more images in memory than a chunk


def test_confidences_are_probabilities(recognizer, paths):
    for reading in recognizer.read(paths):
        assert 0 < reading.confidence <= 1
        assert all(0 < character.confidence <= 1 for character in reading.characters)
        assert "".join(character.text for character in reading.characters) == reading.text


def test_spans_lie_in_the_image_from_left_to_right(recognizer, paths):
    for path, reading in zip(paths, recognizer.read(paths)):
        places = [place for character in reading.characters for place in (character.start, character.end)]
        assert places == sorted(places) and len(places) == 2 * len(reading.text)
        assert 0 <= places[0] and places[-1] <= Image.open(path).width
        assert all(character.start < character.end for character in reading.characters)


def test_spans_lie_in_the_image_for_narrow_images_and_wild_models():
    for seed in range(6):
        torch.manual_seed(seed)
        model = CRNN(5, width=8, hidden=8)
        model.classifier.weight.data *= 40  # an untrained model that is sure of something everywhere
        recognizer = Recognizer(model, Charset("ABCD"), Normalisation(height=16, max_width=64, min_width=64))
        for width in (3, 11, 50, 300):
            image = np.where(np.random.default_rng(seed).random((20, width)) < 0.2, 0, 255).astype(np.uint8)
            for character in recognizer.read(image).characters:
                assert 0 <= character.start <= character.end <= width


def test_spans_stand_where_the_letters_stand(recognizer, draw):
    word, wide = draw("LEO"), np.full((48, 400), 255, np.uint8)
    wide[:, 250 : 250 + word.shape[1]] = word
    near, far = recognizer.read(word), recognizer.read(wide)
    assert near.text == far.text == "LEO"
    for a, b in zip(near.characters, far.characters):
        assert b.start - a.start == pytest.approx(250, abs=4)


def test_log_probs_are_the_frames_of_each_image(recognizer, paths):
    frames = recognizer.log_probs(paths[:3])
    for log_probs in frames:
        assert log_probs.shape[1] == len(recognizer.charset)
        assert np.exp(log_probs).sum(1) == pytest.approx(np.ones(len(log_probs)), abs=1e-5)


@pytest.mark.parametrize("size", [0, -1, 1.5])
def test_a_batch_size_below_one_is_rejected(recognizer, paths, size):
    with pytest.raises(ValueError, match=f"batch_size must be an integer from 1, not {size}"):
        recognizer.read(paths, batch_size=size)


def test_bytes_files_and_tensors_are_single_images(recognizer, paths):
    expected = recognizer.read(paths[0])
    with open(paths[0], "rb") as file:
        assert recognizer.read(file) == expected
    assert recognizer.read(paths[0].read_bytes()) == expected
    assert recognizer.read(torch.from_numpy(np.array(Image.open(paths[0])))) == expected


def test_one_image_is_never_taken_for_a_sequence(recognizer, paths):
    """Letters of a path, or rows of an array, would each be an image."""
    expected = recognizer.read(paths[0])
    colours = np.array(Image.open(paths[0]).convert("RGB"))
    for image in (paths[0], str(paths[0]), paths[0].read_bytes(), colours, torch.from_numpy(colours)):
        assert list(recognizer.read_each(image)) == list(recognizer.try_read(image)) == [expected]
        assert len(recognizer.log_probs(image)) == 1
    (error,) = recognizer.try_read("nowhere.png")
    assert "nowhere.png: there is no such file" in str(error)


class SureOf:
    """A model of stride 4 that reads "A" in every image, with a confidence."""

    stride = 4

    def __init__(self, confidence: float):
        self.confidence = confidence

    def infer(self, images: np.ndarray, image_widths: np.ndarray) -> np.ndarray:
        frames = np.full((images.shape[3] // self.stride, len(images), 2), [1 - 1e-9, 1e-9])
        frames[2] = 1 - self.confidence, self.confidence
        return np.log(frames)


@pytest.mark.parametrize("confidence, warned", [(0.55, True), (0.65, False), (0.95, False)])
def test_an_image_of_two_rows_is_doubted_only_if_it_is_read_with_doubt(confidence, warned):
    """A form has printed words above a name, and the name is read well."""
    image = np.full((60, 240), 255, np.uint8)
    image[4:22, 10:230:6] = image[40:58, 10:230:6] = 0
    sizes = Normalisation(height=40, max_width=256, min_width=32)
    (reading,) = read_lines(SureOf(confidence), Charset("A"), sizes, [image])
    assert reading.confidence == pytest.approx(confidence, abs=0.01) and reading.holds_two_lines == warned
