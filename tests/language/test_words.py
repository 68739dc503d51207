"""hwrlib.language.words: a list of words mixed into a language of characters."""

import itertools
import math
import os
import subprocess
import sys

import numpy as np
import pytest

from hwrlib.charset import Charset
from hwrlib.language import CharacterModel, Lexicon, Mixture, Words
from hwrlib.language.trie import EDGE
from hwrlib.language.words import CAPITALISED, split_words
from tests.language.examples import AB, ACCENTS, PAIRS, SMALL, state_after

CONTEXTS = ("", "a", "ab", "aba", "é", "éa", "ab,", "ab, ", "ab, b", "b?", "?ab", "ab ab ", "  ")


LANGUAGES = {
    "n-gram": ACCENTS,
    "mixture": Mixture([(1, ACCENTS), (2, CharacterModel.uniform(SMALL))]),
    "words": Words(["bb", "é"], ACCENTS, share=0.6),
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("words", [["ab", "é"], ["ab", "aba", "bé"], ["Ab", "BÉ", "x1", "b"]])
@pytest.mark.parametrize("share", [0.01, 0.4, 0.99])
def test_probabilities_of_words_sum_to_one_after_any_context(language, words, share):
    listed = Words(words, LANGUAGES[language], share=share).adapted_to(SMALL)
    for context in CONTEXTS:
        state = state_after(listed, context)
        log_probs = [listed.advance(state, character)[0] for character in SMALL.characters]
        assert np.logaddexp.reduce([*log_probs, listed.end(state)]) == pytest.approx(0, abs=1e-5), context


def word_probability(word: str, before: str, after: str, language: CharacterModel, words: dict[str, float], share: float):
    """P(word and what follows | what stands before), as the docstring of `words` defines it, without any cleverness."""

    def follows(context: str, characters: str) -> float:
        state = state_after(language, context)
        ends = math.exp(language.end(state)) if EDGE in characters else 0.0
        return ends + sum(math.exp(language.advance(state, c)[0]) for c in characters if c != EDGE)

    spelled = math.prod(follows(before + word[:place], word[place]) for place in range(len(word)))
    between = follows(before + word, after)
    listed = follows(before, "AB") * words.get(word, 0.0) * between / follows(before + word, " " + EDGE)
    return (1 - share) * spelled * between + share * listed


@pytest.mark.parametrize("share", [0.1, 0.7])
def test_words_are_the_mixture_of_list_and_language(share):
    listed = Words({"AB": 3, "ABB": 1}, PAIRS, share=share)
    shares = {"AB": 0.75, "ABB": 0.25}
    for first, second in itertools.product(["A", "AB", "ABB", "ABBA", "BA"], ["", "AB", "B"]):
        text = f"{first} {second}" if second else first
        expected = word_probability(first, "", " " if second else EDGE, PAIRS, shares, share)
        if second:
            expected *= word_probability(second, first + " ", EDGE, PAIRS, shares, share)
        assert math.exp(listed.log_prob(text)) == pytest.approx(expected, rel=1e-4), text


def test_probabilities_of_all_texts_with_words_sum_to_one():
    listed = Words(["AB", "B"], PAIRS, share=0.5)
    texts = ("".join(text) for length in range(10) for text in itertools.product(" AB", repeat=length))
    assert 0.9 < sum(math.exp(listed.log_prob(text)) for text in texts) < 1 + 1e-5


def test_a_listed_word_gains_and_any_other_pays_the_share():
    listed = Words(["BAB"], PAIRS, share=0.2)
    assert listed.log_prob("BAB") > PAIRS.log_prob("BAB")
    assert listed.log_prob("AB A") == pytest.approx(PAIRS.log_prob("AB A") + 2 * math.log(0.8), abs=1e-6)
    assert listed.log_prob(" ") == pytest.approx(PAIRS.log_prob(" "), abs=1e-6)  # no word, nothing to pay


def test_a_list_does_not_tempt_to_leave_out_the_space_after_a_comma():
    texts = ["ab, éa, ab", "b, ab"]
    language = CharacterModel.fit(texts * 5, order=3, charset=SMALL)
    listed = Words(["ab"], language, share=0.5)
    for one in (language, listed):
        assert one.log_prob("éa, ab") - one.log_prob("éa,ab") > 1


def test_any_gap_and_the_end_may_follow_a_word_of_the_list():
    listed = Words(["ab"], ACCENTS, share=0.9)
    state, inner = state_after(listed, "ab"), state_after(ACCENTS, "ab")
    gains = [listed.advance(state, gap)[0] - ACCENTS.advance(inner, gap)[0] for gap in " ,?"]
    assert [*gains, listed.end(state) - ACCENTS.end(inner)] == pytest.approx([gains[0]] * 4) and gains[0] > 0
    assert listed.advance(state, "é")[0] < ACCENTS.advance(inner, "é")[0]


def test_small_words_may_begin_with_a_capital():
    assert Words(["villeneuve"], PAIRS).trie.texts() == pytest.approx(
        {"villeneuve": 1 - CAPITALISED, "Villeneuve": CAPITALISED}, rel=1e-5
    )
    assert set(Words(["McAdam", "LE", "Ville", "ßa", "2b"], PAIRS).trie.texts()) == {"McAdam", "LE", "Ville", "ßa", "2b"}


def test_entries_of_several_words_stand_for_each_of_them():
    words = Words({"Le Gall": 2, "Jean-Louis": 1, "Le": 1}, PAIRS).trie.texts()
    assert words == pytest.approx({"Le": 3 / 7, "Gall": 2 / 7, "Jean": 1 / 7, "Louis": 1 / 7}, rel=1e-5)
    assert split_words("l'e\u0301te\u0301\t2026\u00a0🙂, (n°5)\n!") == ["l", "été", "2026", "🙂", "n°5"]


def test_words_are_spelled_as_the_recogniser_writes():
    capitals = Charset(" -ADECHRTOÉ")
    language = CharacterModel.uniform(capitals)
    adapted = Words({"Ardèche": 3, "ARDECHE": 1, "côte": 4, "漢字": 9}, language).adapted_to(capitals)
    assert adapted.trie.texts() == pytest.approx({"ARDECHE": 0.5, "COTE": 0.5}, rel=1e-5)
    assert adapted.log_prob("ARDECHE") > language.log_prob("ARDECHE") and adapted.share == 0.1
    with pytest.raises(ValueError, match="no word of the list can be written"):
        Words(["漢字"], language).adapted_to(capitals)


def test_words_that_can_be_written_stay_as_they_are():
    listed = Words(["AB"], PAIRS)
    assert listed.adapted_to(AB) is listed
    with pytest.raises(ValueError, match="another charset"):
        listed.adapted_to(Charset("ABC"))
    exact = Words(["AB"], Lexicon({"Ab": 1}))
    assert exact.adapted_to(AB).original("AB") == "Ab"


def test_hot_words_may_stand_on_other_words_whose_charset_lacks_marks():
    letters = CharacterModel.fit(["AB", "BA"], order=2)
    for language in (Words(["AB"], letters), Mixture([(1, letters), (1, Lexicon(["AB"]))])):
        hot = Words(["BA"], language, share=0.5)
        assert language.log_prob("BA") < hot.log_prob("BA") < 0


def test_probabilities_are_the_same_in_every_process():
    script = (
        "import random; from hwrlib.language import CharacterModel, Words; draw = random.Random(0); "
        "texts = [''.join(draw.choices('abc -,.;:!?()', k=20)) for _ in range(50)]; "
        "words = Words(['a', 'b'], CharacterModel.fit(texts, order=3)); print([words.log_prob(text) for text in texts])"
    )
    said = [
        subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True).stdout
        for seed in ("0", "1", "2")
    ]
    assert said[0] == said[1] == said[2] != b""


def test_another_share_keeps_the_list():
    listed = Words(["AB"], PAIRS, share=0.1)
    more = listed.with_share(0.5)
    assert more.trie is listed.trie and more.log_prob("AB") > listed.log_prob("AB") and listed.share == 0.1


@pytest.mark.parametrize(
    ("words", "share", "message"),
    [
        ([], 0.1, "without any word"),
        (["", " - ", "?!"], 0.1, "without any word"),
        ({"AB": 0}, 0.1, "the frequency of 'AB' must be above 0, not 0"),
        ({"AB": -1.5}, 0.1, "must be above 0"),
        ({"AB": math.nan}, 0.1, "must be above 0"),
        ({"AB": math.inf}, 0.1, "must be above 0"),
        (["AB"], 0, "share must be between 0 and 1, not 0"),
        (["AB"], 1, "share must be between 0 and 1"),
        (["AB"], -0.2, "share must be between 0 and 1"),
        (["AB"], math.nan, "share must be between 0 and 1"),
        (["AB"], "0.1", "share must be between 0 and 1"),
        (["A" * 201], 0.1, "longer than 200 characters"),
    ],
)
def test_impossible_words_are_clear_errors(words, share, message):
    with pytest.raises(ValueError, match=message):
        Words(words, PAIRS, share=share)
