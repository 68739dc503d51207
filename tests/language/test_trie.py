"""hwrlib.language.trie: texts with their probabilities, and arrays that are no trie."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwrlib.language.trie import EDGE, ROOT, Trie

WORD = st.text(st.characters(categories=("Lu", "Ll", "Lo", "Nd")), min_size=1, max_size=7)


def test_a_trie_holds_texts_with_their_probabilities():
    trie = Trie.of({"AB": 1, "ABC": 2, "BA": 5})
    assert trie.texts() == pytest.approx({"AB": 1 / 8, "ABC": 2 / 8, "BA": 5 / 8})
    assert len(trie) == 1 + 5 + 3  # the root, A AB ABC B BA, and an end behind each text
    assert trie.characters() == "ABC"


def test_a_trie_is_walked_from_character_to_character():
    trie = Trie.of({"AB": 1, "ABC": 3, "BA": 4})
    node, total = ROOT, 0.0
    for character in "ABC" + EDGE:
        node = trie.child(node, character)
        total += trie.log_probs[node]
    assert math.exp(total) == pytest.approx(3 / 8)
    assert trie.child(ROOT, "C") is None and trie.child(ROOT, EDGE) is None and trie.child(node, "A") is None


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.dictionaries(WORD, st.floats(0.01, 1000), min_size=1, max_size=12))
def test_any_words_come_back_from_a_trie_and_from_its_arrays(frequencies):
    trie, total = Trie.of(frequencies), sum(frequencies.values())
    expected = {word: weight / total for word, weight in frequencies.items()}
    assert trie.texts() == pytest.approx(expected, rel=1e-4)
    prefixes = {word[:length] for word in frequencies for length in range(len(word) + 1)}
    assert len(trie) == len(prefixes) + len(frequencies)
    again = Trie.unpack(trie.pack())
    assert list(again.texts()) == list(trie.texts())
    assert again.texts() == pytest.approx(expected, rel=0.05)  # logarithms are stored in 16 bits


def test_a_word_that_is_far_too_long_is_a_clear_error():
    with pytest.raises(ValueError, match="'AAA.*is longer than 200 characters"):
        Trie.of({"A" * 201: 1})


@pytest.mark.parametrize(
    ("labels", "children", "log_probs"),
    [
        ([], [], []),
        ([0, 65], [1, 0, 0], [0, 0]),
        ([0, 65], [0, 1], [0, 0]),  # its own parent
        ([0, 65, 66], [3, -1, 0], [0, 0, 0]),
        ([0, 65], [1, 0], [0, math.nan]),
        ([0, 65], [1, 0], [0, 1]),  # a probability above 1
        ([0, 0x110000], [1, 0], [0, 0]),  # no character
    ],
)
def test_arrays_that_are_no_trie_are_rejected(labels, children, log_probs):
    with pytest.raises(ValueError):
        Trie(*(np.array(values) for values in (labels, children, log_probs)))
