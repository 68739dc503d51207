"""hwrlib.language.beam: the likeliest texts, with and without a language."""

import itertools
import math

import numpy as np
import pytest

from hwrlib.charset import Charset
from hwrlib.ctc import greedy_decode, text_log_probabilities
from hwrlib.language import CharacterModel, Language, Lexicon, beam, beam_decode
from hwrlib.language.beam import SURELY_BLANK
from tests.language.examples import sure_frames, unsure_frames

NAMES = ["ANNE", "ANNA", "ANNE", "HANNA", "LEA", "LEO", "LENA", "ELENA", "JEAN-LOUIS", "LE GALL", "NOE", "ZOE"]


AB = Charset("AB")


@pytest.fixture(scope="module")
def names() -> CharacterModel:
    return CharacterModel.fit(NAMES, order=4)


def decode_one(log_probs: np.ndarray, language: Language | None, charset: Charset, **options):
    return beam_decode(log_probs, np.array([len(log_probs)]), language, charset=charset, **options)[0]


ALL_TEXTS = ["".join(text) for n in range(6) for text in itertools.product("AB", repeat=n)]  # that five frames can spell


def exact_logs(log_probs: np.ndarray) -> np.ndarray:
    """(texts,) ln P(text | image) of all texts, by the forward algorithm."""
    texts = [AB.encode(text) for text in ALL_TEXTS]
    return text_log_probabilities(np.repeat(log_probs, len(texts), 1), np.full(len(texts), 5), texts)


@pytest.fixture
def unpruned(monkeypatch):
    """A search that drops nothing but what the beam is too narrow for."""
    monkeypatch.setattr(beam, "CANDIDATE", -math.inf)
    monkeypatch.setattr(beam, "HOPELESS", math.inf)


@pytest.mark.parametrize("seed", range(20))
def test_a_wide_beam_finds_the_likeliest_texts(seed, unpruned):
    log_probs = unsure_frames(5, 1, 3, seed=seed)
    exact = exact_logs(log_probs)
    for language, weight in ((None, 0.4), (CharacterModel.fit(["A"], charset=AB), 0)):
        found = decode_one(log_probs, language, AB, beam=100, weight=weight, bonus=0)
        assert [one.text for one in found[:8]] == [ALL_TEXTS[i] for i in np.argsort(-exact)[:8]]
        assert [one.log_prob for one in found] == pytest.approx(np.sort(exact[exact > -math.inf])[::-1].tolist(), abs=1e-6)
        assert sum(one.probability for one in found) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(20))
def test_pruning_costs_little(seed):
    log_probs = unsure_frames(5, 1, 3, seed=seed)
    exact = dict(zip(ALL_TEXTS, exact_logs(log_probs)))
    found = decode_one(log_probs, None, AB, beam=100)
    assert found[0].text == max(exact, key=exact.__getitem__)
    assert all(one.log_prob <= exact[one.text] + 1e-9 for one in found)
    assert found[0].log_prob == pytest.approx(exact[found[0].text], abs=0.02)
    assert 0.98 < sum(one.probability for one in found) <= 1 + 1e-9


@pytest.mark.parametrize("seed", range(10))
def test_with_a_language_too(seed, unpruned):
    log_probs, language = unsure_frames(5, 1, 3, seed=seed), CharacterModel.fit(["AB", "ABAB", "BB"], order=3, charset=AB)
    priors = 0.7 * np.array([language.log_prob(text) for text in ALL_TEXTS]) + 0.5 * np.array(list(map(len, ALL_TEXTS)))
    scores = exact_logs(log_probs) + priors
    found = decode_one(log_probs, language, AB, beam=100, weight=0.7, bonus=0.5)
    assert [one.text for one in found[:8]] == [ALL_TEXTS[i] for i in np.argsort(-scores)[:8]]
    assert found[0].score == pytest.approx(scores.max(), abs=1e-5)


@pytest.mark.parametrize("beam", [1, 2, 5])
def test_a_narrow_beam_returns_as_many_texts(beam, names):
    log_probs = unsure_frames(12, 1, len(names.charset), seed=3)
    assert len(decode_one(log_probs, names, names.charset, beam=beam)) == beam


def test_the_likeliest_text_is_not_the_likeliest_path():
    # Blank is the likeliest class of both frames (0.36), but the paths A-, -A and AA together spell A with 0.48.
    log_probs = np.log(np.array([[[0.6, 0.4, 1e-9]], [[0.6, 0.4, 1e-9]]]))
    assert greedy_decode(log_probs, np.array([2])) == [[]]
    best = decode_one(log_probs, None, AB)[0]
    assert best.text == "A" and math.exp(best.log_prob) == pytest.approx(0.64, abs=1e-6)


def test_double_letters_need_a_blank_between():
    assert decode_one(sure_frames([1, 1, 0, 1, 2, 2], 3), None, AB)[0].text == "AAB"
    assert decode_one(sure_frames([1, 0, 0, 1], 3, 0.9999), None, AB)[0].text == "AA"  # frames that are passed over
    assert 0.9999 > SURELY_BLANK


def test_the_language_decides_what_the_image_leaves_open():
    charset = Charset("ADEHILMNO")
    language = CharacterModel.fit(["ADELE", "ADELINE", "HELENE", "MELANIE"] * 3, charset=charset)
    log_probs = sure_frames([*charset.encode("A"), 0, *charset.encode("OELE")], len(charset))
    log_probs[2, 0, charset.encode("OD")] = np.log([0.55, 0.4])
    assert decode_one(log_probs, None, charset)[0].text == "AOELE"
    assert decode_one(log_probs, language, charset)[0].text == "ADELE"


def test_lines_of_a_batch_do_not_touch_each_other(names):
    log_probs = unsure_frames(12, 3, len(names.charset), seed=5)
    lengths = np.array([12, 0, 7])
    batch = beam_decode(log_probs, lengths, names, charset=names.charset)
    for n, length in enumerate(lengths):
        assert batch[n] == decode_one(log_probs[:length, n : n + 1], names, names.charset)
    assert [beam.text for beam in batch[1]] == [""]
    assert beam_decode(log_probs[:, :0], lengths[:0], names, charset=names.charset) == []


def test_a_network_that_is_certain_does_no_harm(names):
    with np.errstate(divide="ignore"):
        log_probs = np.log(np.eye(len(names.charset))[[1, 0, 2, 2, 3]])[:, None]
    for weight in (0.4, 1000.0):
        assert all(math.isfinite(beam.score) for beam in decode_one(log_probs, names, names.charset, weight=weight))
    assert decode_one(log_probs, None, names.charset)[0].text == names.charset.decode([1, 2, 3])


def test_a_closed_list_is_scored_exactly():
    log_probs = unsure_frames(9, 1, 3, seed=1)
    lexicon = Lexicon({"ABBA": 1, "BAB": 2, "AAA": 1})
    found = decode_one(log_probs, lexicon, AB, weight=1, bonus=0)
    assert sum(beam.probability for beam in found) == pytest.approx(1) and len(found) == 3
    exact = text_log_probabilities(log_probs, np.array([9]), [AB.encode(found[0].text)])[0]
    assert found[0].log_prob == pytest.approx(exact)
    assert found[0].score == pytest.approx(exact + lexicon.log_prob(found[0].text))
    assert decode_one(log_probs[:2], lexicon, AB) == []  # no text fits into two frames


def test_a_closed_list_wins_over_the_image_and_an_escape_lets_it_out():
    charset = Charset("ADEILNORSV")
    log_probs = sure_frames([c for index in charset.encode("LONDRES") for c in (index, 0)], len(charset), 0.95)
    assert decode_one(log_probs, Lexicon(["DIVERS", "LOIRE", "LONDRES"]), charset)[0].text == "LONDRES"
    assert decode_one(log_probs, Lexicon(["DIVERS", "LOIRE"]), charset)[0].text in ("DIVERS", "LOIRE")
    assert decode_one(log_probs, Lexicon(["DIVERS", "LOIRE"], escape=0.01), charset)[0].text == "LONDRES"


def test_what_does_not_fit_together_is_a_clear_error(names):
    log_probs, lengths = unsure_frames(6, 1, 3), np.array([6])
    for options, message in (
        ({"language": names}, "another charset: it lacks \\['B'\\]"),
        ({"beam": 0}, "beam must be a whole number of 1 "),
        ({"weight": -0.1}, "weight must be a number of at least 0"),
        ({"weight": math.nan}, "weight must be a number of at least 0"),
        ({"bonus": math.inf}, "bonus must be a number, not inf"),
        ({"charset": Charset("ABC")}, "do not belong to 1 lines of 4 classes"),
        ({"input_lengths": np.array([7])}, "input_lengths reach 7"),
    ):
        with pytest.raises(ValueError, match=message):
            beam_decode(**{"log_probs": log_probs, "input_lengths": lengths, "language": None, "charset": AB, **options})
