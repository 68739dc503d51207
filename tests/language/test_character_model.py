"""hwrlib.language.character_model: probabilities of n-grams, by hand and on any text."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwrlib.charset import Charset
from hwrlib.language import CharacterModel

NAMES = ["ANNE", "ANNA", "ANNE", "HANNA", "LEA", "LEO", "LENA", "ELENA", "JEAN-LOUIS", "LE GALL", "NOE", "ZOE"]


TEXTS = ["la maison est là", "le chat est sur la table", "le chien, lui, est sous la table", "l'été est là"]


AB = Charset("AB")


@pytest.fixture(scope="module")
def names() -> CharacterModel:
    return CharacterModel.fit(NAMES, order=4)


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
