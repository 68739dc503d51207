"""`Recognizer.read` with a language: texts, words, places and alternatives."""

import math
from dataclasses import replace

import numpy as np
import pytest

from hwrlib.ctc import greedy_decode, text_log_probabilities
from hwrlib.images import Normalisation
from hwrlib.language import CharacterModel, Decoder, Lexicon, Words
from hwrlib.language.decoder import WORTH_TELLING
from hwrlib.models.recognizer import Recognizer
from hwrlib.reader import Word
from tests.language.examples import DECODERS, NAMES, PAIRS


class Patches:
    """A model that sees nothing but the pixels of each frame: unsure, and never touched by the other lines of a batch."""

    stride = 4

    def __init__(self, height: int, num_classes: int):
        self.weights = np.random.default_rng(0).normal(0, 1, (height * self.stride, num_classes))

    def infer(self, images: np.ndarray, image_widths: np.ndarray) -> np.ndarray:
        count, _, height, width = images.shape
        frames = images.reshape(count, height, width // self.stride, self.stride).transpose(2, 0, 1, 3)
        logits = (frames.reshape(*frames.shape[:2], -1) / 255 - 0.3) @ self.weights
        return logits - np.logaddexp.reduce(logits, -1, keepdims=True)


@pytest.fixture(scope="module")
def unsure() -> Recognizer:
    """A recogniser that reads something in any image and is not sure of it."""
    normalisation = Normalisation(height=16, max_width=96, min_width=16)
    return Recognizer(Patches(16, len(NAMES)), NAMES, normalisation, decoder=DECODERS["n-gram"])


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """Twelve images of noise, of several widths."""
    random = np.random.default_rng(0)
    return [np.where(random.random((20, width)) < 0.3, 0, 255).astype(np.uint8) for width in range(20, 140, 10)]


def test_without_a_language_the_likeliest_class_of_every_frame_is_read(unsure, recognizer, images, drawn_set):
    for reader, given_images in ((unsure, images), (recognizer, sorted((drawn_set / "test").iterdir()))):
        readings = reader.read(given_images, language=None)
        for reading, frames in zip(readings, reader.log_probs(given_images)):
            classes = greedy_decode(frames[:, None], [len(frames)])
            assert reading.text == reader.charset.decode(classes[0]) and reading.alternatives == ()
            exact = math.exp(text_log_probabilities(frames[:, None], [len(frames)], classes)[0])
            assert reading.confidence == pytest.approx(exact, abs=1e-3)


def test_by_default_the_own_language_is_read_with(unsure, images):
    own, other = unsure.read(images), unsure.read(images, language=None)
    assert own == unsure.read(images, language="own") == unsure.read(images, language=unsure.decoder)
    assert own != other and any(reading.alternatives for reading in own)
    plain = Recognizer(unsure.model, unsure.charset, unsure.normalisation)
    assert plain.read(images) == other


def test_another_language_is_weighed_as_the_own_one_is(unsure, images):
    language = CharacterModel.fit(["BAD", "DAB"], charset=NAMES)
    brought = unsure.read(images, language=language)
    assert brought == unsure.read(images, language=unsure.decoder.with_language(language))
    plain = Recognizer(unsure.model, unsure.charset, unsure.normalisation)
    assert plain.read(images, language=language) == unsure.read(images, language=Decoder(language))
    heavier = replace(unsure.decoder, language=language, weight=1.5)
    assert unsure.read(images, language=heavier) != brought


@pytest.mark.parametrize("name", DECODERS)
def test_words_lie_in_the_image_and_are_those_of_the_text(unsure, images, name):
    for image, reading in zip(images, unsure.read(images, language=DECODERS[name])):
        written = "".join(character.text for character in reading.characters)
        assert [word.text for word in reading.words] == written.split()
        assert name == "list" or reading.text == written
        places = [place for word in reading.words for place in (word.start, word.end)]
        assert places == sorted(places) and all(0 <= place <= image.shape[1] for place in places)
        assert all(isinstance(word, Word) and 0 <= word.confidence <= 1 for word in reading.words)
        assert 0 <= reading.confidence <= 1


def test_there_are_lines_of_several_words(unsure, images):
    assert max(len(reading.words) for reading in unsure.read(images, language=None)) > 1


def approximately(parts) -> list:
    """Characters or words but for rounding."""
    return [replace(part, confidence=pytest.approx(part.confidence, abs=1e-6)) for part in parts]


@pytest.mark.parametrize("name", [*DECODERS, None])
def test_readings_are_the_same_one_by_one_and_together(unsure, images, name):
    decoder = DECODERS.get(name)
    alone = [unsure.read(image, language=decoder) for image in images]
    for batch_size in (1, 5, 64):
        for one, other in zip(alone, unsure.read(images, language=decoder, batch_size=batch_size)):
            assert one.text == other.text and list(one.words) == approximately(other.words)
            assert list(one.characters) == approximately(other.characters)
            assert one.confidence == pytest.approx(other.confidence, abs=1e-6)
            assert [text for text, _ in one.alternatives] == [text for text, _ in other.alternatives]


def test_as_many_alternatives_as_wanted(unsure, images):
    most = unsure.read(images, alternatives=15)
    for count in (0, 1, 3):
        for reading, whole in zip(unsure.read(images, alternatives=count), most):
            assert reading.alternatives == whole.alternatives[:count] and reading.text == whole.text
    with pytest.raises(ValueError, match="alternatives must be an integer from 0, not -1"):
        unsure.read(images, alternatives=-1)


def test_a_list_is_read_as_it_is_spelled(recognizer, drawn_set):
    paths = sorted((drawn_set / "test").iterdir())
    words = ["Léo", "Anne", "Zoé"]
    for reading in recognizer.read(paths, language=Lexicon(words)):
        others = [text for text, _ in reading.alternatives]
        assert reading.text in words and reading.text not in others and set(others) <= set(words)
        written = "".join(character.text for character in reading.characters)
        assert written == reading.text.upper().replace("É", "E")
        assert reading.confidence + sum(p for _, p in reading.alternatives) == pytest.approx(1, abs=3 * WORTH_TELLING)


def test_what_is_clear_stays_whatever_the_language(recognizer, draw):
    language = CharacterModel.fit(["LEO", "ANNE"], charset=recognizer.charset)
    reading = recognizer.read(draw("ZOE"), language=language)
    assert reading.text == "ZOE" and reading.confidence > 0.5
    spans = [(character.start, character.end) for character in reading.characters]
    assert spans == sorted(spans)


@pytest.mark.parametrize(
    ("language", "error", "message"),
    [
        (PAIRS, ValueError, "another charset: it lacks"),
        (Decoder(Words(["AB"], PAIRS)), ValueError, "another charset"),
        (Lexicon(["漢字"]), ValueError, "'漢字' is in the list, but the recogniser cannot write"),
        ("french", TypeError, "language must be one of hwrlib.language, 'own' or None, not 'french'"),
        (0.4, TypeError, "'own' or None, not 0.4"),
        (["ANNE"], TypeError, "'own' or None, not \\['ANNE'\\]"),
        ("", TypeError, "'own' or None, not ''"),
    ],
)
def test_what_is_no_language_of_the_recogniser_is_rejected_before_any_image_is_read(unsure, language, error, message):
    taken = []

    def stream():
        taken.append(1)
        yield "nowhere.png"

    with pytest.raises(error, match=message):
        list(unsure.read_each(stream(), language=language))
    assert taken == []
