"""hwrlib.charset: classes and characters, there and back."""

import random
import unicodedata

import pytest

from hwrlib.charset import BLANK, Charset

COMPOSED, DECOMPOSED = "é", "e\u0301"


def test_class_0_is_the_blank_and_the_rest_follow_in_order():
    charset = Charset("XAB")
    assert BLANK == 0 and len(charset) == 4
    assert charset.encode("ABX") == [2, 3, 1]
    assert charset.decode([1, 2, 3]) == "XAB"


def test_from_texts_sorts_the_characters():
    assert Charset.from_texts(["NOÉ", "LÉA", ""]).characters == "ALNOÉ"
    assert Charset.from_texts(["ba", "ab"]) == Charset("ab") != Charset("ba")


def test_random_texts_survive_the_round_trip():
    charset, draw = Charset("ABCéß -'œ漢🙂"), random.Random(0)
    for _ in range(200):
        text = "".join(draw.choices(charset.characters, k=draw.randrange(20)))
        assert charset.decode(charset.encode(text)) == text


def test_decomposed_accents_are_the_same_class():
    charset = Charset.from_texts(["cl" + DECOMPOSED])
    assert charset.characters == "cl" + COMPOSED
    assert charset.encode("cl" + DECOMPOSED) == charset.encode("cl" + COMPOSED) == [1, 2, 3]
    assert charset.missing(DECOMPOSED) == [] and Charset("ab").missing(DECOMPOSED) == [COMPOSED]
    assert unicodedata.is_normalized("NFC", charset.decode([3]))


def test_decode_drops_blanks_and_keeps_repeats():
    assert Charset("AB").decode([0, 1, 1, 0, 2, 0]) == "AAB"
    assert Charset("AB").decode([]) == ""


@pytest.mark.parametrize("index", [-1, 3])
def test_decode_refuses_classes_that_are_not_there(index):
    with pytest.raises(ValueError, match="must lie in 0 … 2"):
        Charset("AB").decode([1, index])


def test_characters_outside_are_named_or_skipped():
    with pytest.raises(ValueError, match=r"'NOÉ' has characters outside the charset: \[.É.\]"):
        Charset("NO").encode("NOÉ")
    assert Charset("NO").encode("NOÉ", skip_missing=True) == [1, 2]
    assert Charset("NO").missing("ZNÉZ") == ["Z", "É"]


def test_doubles_and_nothing_are_refused():
    with pytest.raises(ValueError, match=r"twice.*\['A', 'B'\]"):
        Charset("ABCAB")
    for empty in (lambda: Charset(""), lambda: Charset.from_texts([]), lambda: Charset.from_texts([""])):
        with pytest.raises(ValueError, match="at least one character"):
            empty()


def test_decomposed_characters_are_rejected():
    with pytest.raises(ValueError, match="decomposed characters"):
        Charset("ae\u0301")
