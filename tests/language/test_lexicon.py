"""hwrlib.language.lexicon and mixture: closed lists and weighted means."""

import math

import pytest

from hwrlib.charset import Charset
from hwrlib.language import CharacterModel, Lexicon, Mixture

NAMES = ["ANNE", "ANNA", "ANNE", "HANNA", "LEA", "LEO", "LENA", "ELENA", "JEAN-LOUIS", "LE GALL", "NOE", "ZOE"]


AB = Charset("AB")


@pytest.fixture(scope="module")
def names() -> CharacterModel:
    return CharacterModel.fit(NAMES, order=4)


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
