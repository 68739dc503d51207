"""hwrlib.language.tuning: a language counts as much as the lines need."""

import numpy as np
import pytest

from hwrlib.language import CharacterModel, Decoder
from hwrlib.language.beam import BONUS, WEIGHT
from hwrlib.language.tuning import right_words_of, tune
from tests.language.examples import FRENCH, decode_one, frames_of

MISREAD = str.maketrans("aeiou", "uoiea")


TRUTHS = ["la maison", "le chien", "la table", "le chat dort", "dans la maison", "est la", "la tasse", "le soleil"] * 3


@pytest.fixture(scope="module")
def noisy() -> list[np.ndarray]:
    """Frames of the truths, in which half of the vowels look like two, a part of them more like the wrong one."""
    random, frames = np.random.default_rng(0), []
    for text in TRUTHS:
        chance = {place: random.random() for place, c in enumerate(text) if c != c.translate(MISREAD)}
        seen = "".join(c.translate(MISREAD) if chance.get(place, 1) < 0.3 else c for place, c in enumerate(text))
        doubts = {
            place: text[place] if p < 0.3 else text[place].translate(MISREAD) for place, p in chance.items() if p < 0.5
        }
        frames.append(frames_of(seen, FRENCH, doubts))
    return frames


def test_a_language_that_helps_is_used(noisy):
    tuned = tune(CharacterModel.fit(TRUTHS, charset=FRENCH), noisy, TRUTHS, FRENCH)
    assert tuned.greedy.cer > 0.08 and tuned.tuned.cer < tuned.greedy.cer / 4
    assert tuned.decoder.language is not None and tuned.decoder.weight > 0
    read = [decode_one(tuned.decoder, line, FRENCH).text for line in noisy]
    assert sum(a == b for a, b in zip(read, TRUTHS)) / len(TRUTHS) == pytest.approx(tuned.tuned.exact)


def test_the_weight_is_as_high_as_the_lines_need():
    frames = []
    for text in TRUTHS:  # the first vowel looks like another one, and very little like itself
        place = next(place for place, c in enumerate(text) if c != c.translate(MISREAD))
        seen = text[:place] + text[place].translate(MISREAD) + text[place + 1 :]
        frames.append(frames_of(seen, FRENCH, {place: text[place]}, doubt=0.01))
    language = CharacterModel.fit(TRUTHS, charset=FRENCH)
    tuned = tune(language, frames, TRUTHS, FRENCH)
    usual = [decode_one(Decoder(language), line, FRENCH).text for line in frames]
    assert tuned.decoder.weight > WEIGHT and tuned.tuned.exact > np.mean([a == b for a, b in zip(usual, TRUTHS)])


@pytest.mark.parametrize("misled", ["to the same mistakes", "by garbage"])
def test_a_language_that_misleads_is_not_used(noisy, misled):
    random = np.random.default_rng(1)
    garbage = ["".join(random.choice(list("bcdfgz "), 9)) for _ in range(50)]
    texts = [text.translate(MISREAD) for text in TRUTHS] if misled == "to the same mistakes" else garbage
    tuned = tune(CharacterModel.fit(texts, charset=FRENCH), noisy, TRUTHS, FRENCH)
    assert tuned.decoder.language is None and tuned.tuned.cer == pytest.approx(tuned.greedy.cer)
    assert (tuned.decoder.weight, tuned.decoder.bonus) == (WEIGHT, BONUS)  # a language that the user brings still counts


def test_a_decoder_without_language_weighs_one_that_is_brought():
    sure = [frames_of(text, FRENCH) for text in TRUTHS[:4]]
    decoder = tune(CharacterModel.fit(TRUTHS, charset=FRENCH), sure, TRUTHS[:4], FRENCH).decoder
    assert decoder.language is None
    brought = decoder.with_language(CharacterModel.fit(["le chat"] * 9, charset=FRENCH))
    assert decode_one(brought, frames_of("le chut", FRENCH, {5: "a"}), FRENCH).text == "le chat"


def test_tuning_calibrates_what_it_has_chosen(noisy):
    for texts in (TRUTHS, [text.translate(MISREAD) for text in TRUTHS]):
        decoder = tune(CharacterModel.fit(texts, charset=FRENCH), noisy, TRUTHS, FRENCH).decoder
        lines = [decode_one(decoder, line, FRENCH) for line in noisy]
        claimed, right = np.mean([line.confidence for line in lines]), np.mean([a.text == b for a, b in zip(lines, TRUTHS)])
        assert claimed == pytest.approx(right, abs=0.2)


def test_special_labels_are_not_tuned_on(noisy):
    language, texts = CharacterModel.fit(TRUTHS, charset=FRENCH), [*TRUTHS, "UNREADABLE", ""]
    assert tune(language, noisy + noisy[:2], texts, FRENCH) == tune(language, noisy, TRUTHS, FRENCH)
    with pytest.raises(ValueError):
        tune(language, noisy[:2], ["UNREADABLE", ""], FRENCH)


def test_words_are_right_at_their_place():
    right = right_words_of
    assert right("le chat dort", "le chien dort") == [True, False, True]
    assert right("chat dort", "le chat dort") == [True, True]
    assert right("dort le", "le dort") in ([True, False], [False, True])
    assert right("", "le chat") == [] and right("le", "") == [False]
