"""hwrlib.language: n-grams, lists, mixtures, beam search and alignment; files of them, also damaged ones."""

import itertools
import json
import math
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwrlib.charset import Charset
from hwrlib.ctc import greedy_decode, merge_repeats, text_log_probabilities
from hwrlib.language import CharacterModel, Language, Lexicon, Mixture, beam, beam_decode, forced_alignment, storage
from hwrlib.language.beam import SURELY_BLANK

NAMES = ["ANNE", "ANNA", "ANNE", "HANNA", "LEA", "LEO", "LENA", "ELENA", "JEAN-LOUIS", "LE GALL", "NOE", "ZOE"]
TEXTS = ["la maison est là", "le chat est sur la table", "le chien, lui, est sous la table", "l'été est là"]
AB = Charset("AB")


@pytest.fixture(scope="module")
def names() -> CharacterModel:
    return CharacterModel.fit(NAMES, order=4)


def random_frames(*shape: int, seed: int = 0, sharpness: float = 1.5) -> np.ndarray:
    """Log-probabilities of a network that is not sure of anything."""
    logits = np.random.default_rng(seed).normal(0, sharpness, shape)
    return logits - np.logaddexp.reduce(logits, -1, keepdims=True)


def sure_frames(classes: list[int], num_classes: int, probability: float = 0.98) -> np.ndarray:
    """(T, 1, C) frames of a network that is sure of these classes."""
    probs = np.full((len(classes), 1, num_classes), (1 - probability) / (num_classes - 1))
    probs[np.arange(len(classes)), 0, classes] = probability
    return np.log(probs)


def decode_one(log_probs: np.ndarray, language: Language | None, charset: Charset, **options):
    return beam_decode(log_probs, np.array([len(log_probs)]), language, charset=charset, **options)[0]


# The n-gram ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 3, 6])
@pytest.mark.parametrize("prune", [0, 2])
def test_probabilities_sum_to_one_after_any_context(order, prune):
    model = CharacterModel.fit(NAMES + TEXTS, order=order, prune=prune)
    for context in ("", "A", "AN", "la mai", "ZZZ", "E", "l'", "- -"):
        state = model.start
        for character in context:
            _, state = model.advance(state, character)
        log_probs = [model.advance(state, character)[0] for character in model.charset.characters]
        assert np.logaddexp.reduce([*log_probs, model.end(state)]) == pytest.approx(0, abs=1e-5), context


def test_probabilities_of_all_texts_sum_to_one():
    model = CharacterModel.fit(["A", "AB", "BA", "A"], order=3)
    total = sum(math.exp(model.log_prob("".join(text))) for n in range(9) for text in itertools.product("AB", repeat=n))
    assert 0.97 < total < 1 + 1e-5


def test_bigrams_by_hand():
    # Four texts "AB": each bigram occurs in one context only, and the texts are too few to estimate the discounts from:
    # 1.5 of 4 is taken from each. Unigrams count contexts (end, A, B: 1 each, discount 0.5 of 3): P = 0.5/3 + 0.5 * 1/3.
    model = CharacterModel.fit(["AB"] * 4, order=2)
    seen = (4 - 1.5) / 4 + 1.5 / 4 * (1 / 3)
    assert model.log_prob("AB") == pytest.approx(3 * math.log(seen), abs=1e-5)
    assert model.log_prob("A") == pytest.approx(math.log(seen) + math.log(1.5 / 4 / 3), abs=1e-5)


def test_seen_texts_are_likelier_than_unseen_ones(names):
    assert names.log_prob("ANNE") > names.log_prob("ANNO") > names.log_prob("NENA--LL")
    assert names.log_prob("LE GALL") > names.log_prob("LEGALL")


def test_a_higher_order_predicts_better():
    texts, held_out = TEXTS * 5, ["le chat est là", "la table est là"]
    bits = [CharacterModel.fit(texts, order=order).perplexity(held_out).bits for order in (1, 2, 3, 4)]
    assert bits == sorted(bits, reverse=True)


def test_perplexity_is_the_mean_of_the_logarithms(names):
    bits, characters, unknown = names.perplexity(["LEA", "NOE"])
    assert characters == 8 and not unknown
    assert bits == pytest.approx(-(names.log_prob("LEA") + names.log_prob("NOE")) / 8 / math.log(2))
    with pytest.raises(ValueError, match="no texts"):
        names.perplexity([])


def test_weights_are_counts():
    twice = CharacterModel.fit(["ANNE", "LEA", "ANNE"], order=3)
    weighted = CharacterModel.fit(["ANNE", "LEA"], weights=[2, 1], order=3)
    assert weighted.log_prob("ANNE") == pytest.approx(twice.log_prob("ANNE"))
    assert weighted.log_prob("ANNE") > CharacterModel.fit(["ANNE", "LEA"], order=3).log_prob("ANNE")


def test_pruning_drops_rare_ngrams_only():
    whole, pruned = (CharacterModel.fit(TEXTS, order=6, prune=prune) for prune in (0, 2))
    assert len(pruned) < len(whole) / 2
    assert pruned.log_prob("le chat") == pytest.approx(whole.log_prob("le chat"), abs=6)


def test_unknown_characters_are_counted_and_split_the_text():
    charset = Charset("ELNO")
    model = CharacterModel.fit(["LEON🙂", "NO7EL", "NO7EL", "LEON"], charset=charset, order=2)
    assert model.unknown == {"7": 2, "🙂": 1}
    whole = CharacterModel.fit(["LEON", "NO", "EL", "LEON"], charset=charset, order=1)
    assert len(model) < 1 + 4 + 5 * 5 and whole.charset == model.charset
    assert model.perplexity(["NO🙂7EL"]).unknown == {"7": 1, "🙂": 1}
    with pytest.raises(ValueError, match="'7' is outside the language model's charset"):
        model.log_prob("NO7")


def test_decomposed_accents_are_the_same_text():
    model = CharacterModel.fit(["été", "e\u0301te\u0301"], order=3)
    assert set(model.charset.characters) == {"é", "t"}
    assert model.log_prob("e\u0301te\u0301") == model.log_prob("été")


def test_emoji_digits_and_other_scripts_are_characters_like_others(tmp_path):
    model = CharacterModel.fit(["🙂 12", "漢字 🙂"], order=3)
    model.save(tmp_path / "emoji.lm")
    assert CharacterModel.load(tmp_path / "emoji.lm").log_prob("🙂 12") == pytest.approx(model.log_prob("🙂 12"), abs=0.02)


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ([], {}, "at least one character"),
        (["", "\n"], {}, "at least one character"),
        (["123"], {"charset": AB}, "nothing to learn"),
        (["A"], {"order": 0}, "order must be 1"),
        (["A"], {"prune": -1}, "prune must be at least 0"),
        (["A"], {"weights": [-1]}, "weights must be 1 numbers above 0"),
        (["A"], {"weights": [1, 2]}, "weights must be 1 numbers"),
        (["A"], {"weights": [math.nan]}, "weights must be 1 numbers"),
    ],
)
def test_what_cannot_be_fitted_is_a_clear_error(texts, options, message):
    with pytest.raises(ValueError, match=message):
        CharacterModel.fit(texts, **options)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=12), max_size=8), st.integers(1, 6))
def test_any_text_can_be_fitted_and_scored(texts, order):
    try:
        model = CharacterModel.fit(texts, order=order)
    except ValueError as error:
        assert "at least one character" in str(error)
        return
    assert all(model.log_prob(text) <= 0 for text in texts if "\n" not in text)


# Files ---------------------------------------------------------------------------------------------------------------


def test_a_saved_model_is_the_same_but_for_rounding(names, tmp_path):
    names.save(tmp_path / "names.lm")
    loaded = CharacterModel.load(tmp_path / "names.lm")
    assert len(loaded) == len(names) and loaded.charset == names.charset
    for text in (*NAMES, "", "ZZZ", "LE-LE"):
        assert loaded.log_prob(text) == pytest.approx(names.log_prob(text), abs=0.01 * (1 + len(text)))


def test_lists_and_mixtures_are_saved_too(names, tmp_path):
    mixture = Mixture([(0.2, names), (0.8, Lexicon({"Ardèche": 3, "Ain": 1}))])
    mixture.save(tmp_path / "mixture.lm")
    loaded = Language.load(tmp_path / "mixture.lm")
    assert isinstance(loaded, Mixture) and [weight for weight, _ in loaded.parts] == [0.2, 0.8]
    assert loaded.parts[1][1].log_prob("Ardèche") == pytest.approx(math.log(0.75))
    with pytest.raises(ValueError, match="holds a Mixture, not a CharacterModel"):
        CharacterModel.load(tmp_path / "mixture.lm")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        CharacterModel.load(tmp_path / "nowhere")


def test_damaged_files_are_rejected(names, tmp_path):
    path = tmp_path / "names.lm"
    names.save(path)
    whole, random = path.read_bytes(), np.random.default_rng(0)
    for length in (0, 5, len(storage.MAGIC), 60, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="names.lm"):
            CharacterModel.load(path)
    for _ in range(300):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), random.integers(1, 4)):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            CharacterModel.load(path).log_prob("LEA")
        except ValueError:
            pass


def write_raw(path, header: object, payload: bytes = b"") -> None:
    path.write_bytes(storage.MAGIC + json.dumps(header).encode() + b"\n" + zlib.compress(payload))


@pytest.mark.parametrize(
    "header",
    [
        [],
        {},
        {"kind": "CharacterModel"},
        {"kind": "CharacterModel", "arrays": []},
        {"kind": "os", "arrays": []},
        {"kind": "CharacterModel", "characters": "AA", "arrays": []},
        {"kind": "CharacterModel", "characters": "AB", "arrays": [["classes", "|O", 1]]},
        {"kind": "CharacterModel", "characters": "AB", "arrays": [["classes", "<u2", 10**18]]},
        {"kind": "CharacterModel", "characters": "AB", "arrays": [["classes", "<u2", -1]]},
        {"kind": "CharacterModel", "characters": "AB", "arrays": [["classes", "<u2", 1e3]]},
        {"kind": "Mixture", "parts": [{"kind": "Mixture", "weight": 1, "parts": []}], "arrays": []},
        {"kind": "Lexicon", "escape": 0, "arrays": []},
    ],
)
def test_hostile_headers_are_rejected(header, tmp_path):
    write_raw(tmp_path / "hostile.lm", header)
    with pytest.raises(ValueError, match="hostile.lm"):
        Language.load(tmp_path / "hostile.lm")


def test_a_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.lm"
    write_raw(path, {"kind": "Lexicon", "escape": 0, "arrays": [["texts", "<u1", 10]]}, bytes(10**8))
    with pytest.raises(ValueError, match="do not have 10 bytes"):
        Language.load(path)
    write_raw(path, {"kind": "Lexicon", "escape": 0, "arrays": [["texts", "<u1", 10**9]]}, bytes(10**6))
    with pytest.raises(ValueError, match="are said to be in"):
        Language.load(path)


@pytest.mark.parametrize(
    ("classes", "children", "log_probs"),
    [
        ([0, 0, 1, 2, 9], [3, 0, 1, 0, 0], [0, -1, -1, -1, -1]),  # a class that the charset lacks
        ([0, 0, 1, 2, 2, 1], [3, 0, 2, 0, 0, 0], [0, -1, -1, -1, -1, -1]),  # not sorted
        ([0, 0, 1], [2, 0, 0], [0, -1, -1]),  # a character is missing
        ([0, 0, 1, 2], [3, 0, 0, 0], [0, -1, math.nan, -1]),
        ([0, 0, 1, 2], [3, 0, 0, 0], [0, -1, 5, -1]),
        ([0, 0, 1, 2, 1], [3, 0, 0, 0, 1], [0, -1, -1, -1, -1]),  # its own parent
        ([0, 0, 1, 2], [3, 0, 0], [0, -1, -1, -1]),
        ([], [], []),
    ],
)
def test_arrays_that_are_not_a_trie_are_rejected(classes, children, log_probs):
    with pytest.raises(ValueError, match="n-grams|probabilities"):
        CharacterModel(AB, *(np.array(a) for a in (classes, children, log_probs, np.zeros(len(classes)))))


# Lists and mixtures --------------------------------------------------------------------------------------------------


def test_a_lexicon_knows_its_texts_and_nothing_else():
    lexicon = Lexicon({"AIN": 1, "AISNE": 2, "AIN ": 1, "VAR": 4})
    assert len(lexicon) == 3
    assert {text: math.exp(lexicon.log_prob(text)) for text in ("AIN", "AISNE", "VAR")} == pytest.approx(
        {"AIN": 0.25, "AISNE": 0.25, "VAR": 0.5}
    )
    assert all(lexicon.log_prob(text) == -math.inf for text in ("AI", "AINS", "ZUT", "", "aisne"))


def test_a_lexicon_is_spelled_as_the_recogniser_writes():
    capitals = Charset(" '-ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    adapted = Lexicon(["Ardèche", "Côte-d’Or", "Œuilly", "Ain"]).adapted_to(capitals)
    assert adapted.texts() == ["AIN", "ARDECHE", "COTE-D'OR", "OEUILLY"]
    assert [adapted.original(text) for text in adapted.texts()] == ["Ain", "Ardèche", "Côte-d’Or", "Œuilly"]
    with pytest.raises(ValueError, match="'Paris 13' is in the list, but the recogniser cannot write"):
        Lexicon(["Ain", "Paris 13"]).adapted_to(capitals)


def test_a_lexicon_that_can_be_written_stays_as_it_is():
    lexicon = Lexicon(["AB", "BA"])
    assert lexicon.adapted_to(AB) is lexicon


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ([], {}, "without any text"),
        ([" ", ""], {}, "without any text"),
        (["A"], {"escape": 1}, "escape must be"),
        (["A"], {"escape": -0.1}, "escape must be"),
        (["AB", "A\nB"], {}, "'A.nB' has a line break"),
        ({"A": 0}, {}, "must be above 0"),
        ({"A": math.inf}, {}, "must be above 0"),
    ],
)
def test_impossible_lexicons_are_clear_errors(texts, options, message):
    with pytest.raises(ValueError, match=message):
        Lexicon(texts, **options)


def test_a_mixture_is_the_weighted_mean(names):
    lexicon = Lexicon({"ANNE": 3, "LEA": 1})
    mixture = Mixture([(1, names), (4, lexicon)])
    for text in ("ANNE", "LEA", "LEO"):
        expected = 0.2 * math.exp(names.log_prob(text)) + 0.8 * math.exp(lexicon.log_prob(text))
        assert math.exp(mixture.log_prob(text)) == pytest.approx(expected)
    assert Mixture([(1, lexicon)]).log_prob("ZUT") == -math.inf
    with pytest.raises(ValueError, match="weights above 0"):
        Mixture([])


# Beam search ---------------------------------------------------------------------------------------------------------


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
    log_probs = random_frames(5, 1, 3, seed=seed)
    exact = exact_logs(log_probs)
    for language, weight in ((None, 0.4), (CharacterModel.fit(["A"], charset=AB), 0)):
        found = decode_one(log_probs, language, AB, beam=100, weight=weight, bonus=0)
        assert [one.text for one in found[:8]] == [ALL_TEXTS[i] for i in np.argsort(-exact)[:8]]
        assert [one.log_prob for one in found] == pytest.approx(np.sort(exact[exact > -math.inf])[::-1].tolist(), abs=1e-6)
        assert sum(one.probability for one in found) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(20))
def test_pruning_costs_little(seed):
    log_probs = random_frames(5, 1, 3, seed=seed)
    exact = dict(zip(ALL_TEXTS, exact_logs(log_probs)))
    found = decode_one(log_probs, None, AB, beam=100)
    assert found[0].text == max(exact, key=exact.__getitem__)
    assert all(one.log_prob <= exact[one.text] + 1e-9 for one in found)
    assert found[0].log_prob == pytest.approx(exact[found[0].text], abs=0.02)
    assert 0.98 < sum(one.probability for one in found) <= 1 + 1e-9


@pytest.mark.parametrize("seed", range(10))
def test_with_a_language_too(seed, unpruned):
    log_probs, language = random_frames(5, 1, 3, seed=seed), CharacterModel.fit(["AB", "ABAB", "BB"], order=3, charset=AB)
    priors = 0.7 * np.array([language.log_prob(text) for text in ALL_TEXTS]) + 0.5 * np.array(list(map(len, ALL_TEXTS)))
    scores = exact_logs(log_probs) + priors
    found = decode_one(log_probs, language, AB, beam=100, weight=0.7, bonus=0.5)
    assert [one.text for one in found[:8]] == [ALL_TEXTS[i] for i in np.argsort(-scores)[:8]]
    assert found[0].score == pytest.approx(scores.max(), abs=1e-5)


@pytest.mark.parametrize("beam", [1, 2, 5])
def test_a_narrow_beam_returns_as_many_texts(beam, names):
    log_probs = random_frames(12, 1, len(names.charset), seed=3)
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
    log_probs = random_frames(12, 3, len(names.charset), seed=5)
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
    log_probs = random_frames(9, 1, 3, seed=1)
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
    log_probs, lengths = random_frames(6, 1, 3), np.array([6])
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


# Alignment -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_the_alignment_is_the_best_path_of_the_text(seed):
    log_probs, text = random_frames(6, 1, 3, seed=seed), [1, 2, 2]
    paths = [
        p for p in itertools.product(range(3), repeat=6) if [s.index for s in merge_repeats(list(p), [0.0] * 6)] == text
    ]
    best = max(paths, key=lambda path: sum(log_probs[range(6), 0, list(path)]))
    probabilities = np.exp(log_probs[range(6), 0, list(best)]).tolist()
    assert forced_alignment(log_probs, np.array([6]), [text]) == [merge_repeats(list(best), probabilities)]


def test_lines_of_several_lengths_are_aligned_together():
    log_probs, lengths, texts = random_frames(9, 3, 4, seed=2), np.array([9, 5, 0]), [[1, 2, 3, 3], [2], []]
    together = forced_alignment(log_probs, lengths, texts)
    assert [[symbol.index for symbol in line] for line in together] == texts
    for n, length in enumerate(lengths):
        assert forced_alignment(log_probs[:length, n : n + 1], lengths[n : n + 1], [texts[n]]) == [together[n]]


def test_a_greedy_text_has_greedy_frames():
    log_probs = sure_frames([0, 1, 1, 0, 1, 2, 0], 3)
    symbols = forced_alignment(log_probs, np.array([7]), [[1, 1, 2]])[0]
    assert [(s.index, s.first_frame, s.last_frame) for s in symbols] == [(1, 1, 2), (1, 4, 4), (2, 5, 5)]


def test_a_text_too_long_for_its_frames_is_a_clear_error():
    with pytest.raises(ValueError, match="line 0: 3 of 3 frames, but its text needs 4"):
        forced_alignment(random_frames(3, 1, 3), np.array([3]), [[1, 1, 2]])


def test_no_torch_is_imported():
    subprocess.run([sys.executable, "-c", "import sys, hwrlib.language; assert 'torch' not in sys.modules"], check=True)
