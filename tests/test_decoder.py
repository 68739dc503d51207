"""hwrlib.language in use: lists of words, decoders and their files, `Recognizer.read`, fitting, what a training leaves."""

import itertools
import json
import lzma
import math
import os
import shutil
import subprocess
import sys
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwrlib.charset import Charset
from hwrlib.common.progress import logger
from hwrlib.ctc import greedy_decode, greedy_lines, text_log_probabilities
from hwrlib.images import Normalisation
from hwrlib.language import Calibration, CharacterModel, Decoder, Language, Lexicon, Mixture, Words, beam_decode, storage
from hwrlib.language.beam import BEAM, BONUS, CANDIDATE, WEIGHT, search
from hwrlib.language.decoder import SURE, WORTH_TELLING, word_probabilities
from hwrlib.language.trie import EDGE, ROOT, Trie
from hwrlib.language.tuning import fit_calibration, right_words_of, tune
from hwrlib.language.words import CAPITALISED, split_words
from hwrlib.models.recognizer import Recognizer
from hwrlib.reader import Word
from hwrlib.runs.fit import fit
from hwrlib.runs.language import bits_per_character, fit_language, leave_language, main, read_texts
from hwrlib.sets.dataset import LineDataset

AB = Charset(" AB")
SMALL = Charset(" ,?abé")
PAIRS = CharacterModel.fit(["AB BA", "BA AB", "AB", "B A"], order=2, charset=AB)
ACCENTS = CharacterModel.fit(["ab é, ab", "b, éa?", "ab ba"], order=3, charset=SMALL)
WORD = st.text(st.characters(categories=("Lu", "Ll", "Lo", "Nd")), min_size=1, max_size=7)


def unsure_frames(*shape: int, seed: int = 0, sharpness: float = 1.0) -> np.ndarray:
    """Log-probabilities of a network that is not sure of anything."""
    logits = np.random.default_rng(seed).normal(0, sharpness, shape)
    return logits - np.logaddexp.reduce(logits, -1, keepdims=True)


def frames_of(text: str, charset: Charset, doubts: dict[int, str] | None = None, *, doubt: float = 0.4) -> np.ndarray:
    """(T, C) frames that spell a text, a blank after every character; a doubtful place shows another character, too."""
    probs = np.full((2 * len(text), len(charset)), 1e-5)
    probs[1::2, 0] = 1.0
    probs[np.arange(0, len(probs), 2), charset.encode(text)] = 1.0
    for place, other in (doubts or {}).items():
        probs[2 * place, charset.encode(text[place])] = 1 - doubt
        probs[2 * place, charset.encode(other)] = doubt
    return np.log(probs / probs.sum(1, keepdims=True))


def decode_one(decoder: Decoder, frames: np.ndarray, charset: Charset, **options):
    return decoder.decode(frames[:, None], np.array([len(frames)]), charset, **options)[0]


def state_after(language: Language, text: str):
    state = language.start
    for character in text:
        _, state = language.advance(state, character)
    return state


# Tries ---------------------------------------------------------------------------------------------------------------


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


# Words ---------------------------------------------------------------------------------------------------------------

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


# Decoding ------------------------------------------------------------------------------------------------------------

NAMES = Charset(" ÉABCDLNOEZ")
DECODERS = {
    "no language": Decoder(None),
    "n-gram": Decoder(CharacterModel.fit(["ANNE", "LEO", "ZOÉ", "LÉO BA"], order=3, charset=NAMES)),
    "words": Decoder(Words(["Anne", "Zoé"], CharacterModel.fit(["LEO", "ZOÉ"], charset=NAMES)), weight=0.7),
    "list": Decoder(Lexicon(["Anne", "Léo", "Zoé"]), weight=1.0, bonus=0.0),
    "mixture": Decoder(Mixture([(1, Lexicon(["ANNE", "LEO BA"])), (1, CharacterModel.uniform(NAMES))]), beam=4),
    "calibrated": Decoder(None, of_texts=Calibration(2.0, -0.5), of_words=Calibration(0.5, 1.0)),
}


@pytest.mark.parametrize("seed", range(8))
def test_probabilities_of_a_wide_beam_are_those_of_the_network(seed):
    log_probs = unsure_frames(5, 1, 3, seed=seed, sharpness=0.7)
    charset = Charset("AB")
    assert (log_probs > CANDIDATE).all()
    found = search(log_probs, np.array([5]), None, charset=charset, beam=200, weight=0, bonus=0)[0]
    texts = [charset.encode(beam.text) for beam in found.beams]
    exact = np.exp(text_log_probabilities(np.repeat(log_probs, len(texts), 1), np.full(len(texts), 5), texts))
    assert [beam.probability for beam in found.beams] == pytest.approx(exact.tolist(), abs=2e-3)
    assert 0.99 < math.prod(found.kept) <= 1 + 1e-9
    assert sum(beam.probability for beam in found.beams) == pytest.approx(math.prod(found.kept))


@pytest.mark.parametrize("seed", range(8))
def test_a_narrow_beam_knows_that_it_dropped_something(seed):
    log_probs, charset = unsure_frames(6, 1, 3, seed=seed), Charset("AB")
    narrow, wide = (
        search(log_probs, np.array([6]), None, charset=charset, beam=beam, weight=0, bonus=0)[0] for beam in (1, 200)
    )
    assert len(narrow.beams) == 1 and narrow.beams[0].probability == pytest.approx(math.prod(narrow.kept))
    assert math.prod(narrow.kept) < 0.7 < 0.99 < math.prod(wide.kept) and len(narrow.kept) == 6


def test_a_sure_line_is_read_greedily():
    frames = frames_of("ANNE", NAMES)
    for decoder in (DECODERS["no language"], DECODERS["n-gram"], DECODERS["list"]):
        line, greedy = decode_one(decoder, frames, NAMES), greedy_lines(frames[:, None], np.array([len(frames)]), NAMES)[0]
        assert line.symbols == greedy.symbols and not line.alternatives
        assert line.confidence == pytest.approx(greedy.confidence, abs=1e-6) and line.confidence > SURE
    assert decode_one(DECODERS["list"], frames, NAMES).text == "Anne"  # as the list spells it


def test_a_list_wins_over_a_sure_line_that_is_not_on_it():
    line = decode_one(DECODERS["list"], frames_of("ANNO", NAMES), NAMES)
    assert line.text == "Anne" and NAMES.decode([symbol.index for symbol in line.symbols]) == "ANNE"


def test_the_language_decides_what_the_image_leaves_open():
    frames = frames_of("LEC", NAMES, {2: "O"})
    assert decode_one(Decoder(None), frames, NAMES).text == "LEC"
    read = decode_one(DECODERS["n-gram"], frames, NAMES)
    assert read.text == "LEO" and read.alternatives[0][0] == "LEC"
    assert decode_one(replace(DECODERS["n-gram"], weight=0.0, bonus=0.0), frames, NAMES).text == "LEC"


@pytest.mark.parametrize("name", DECODERS)
def test_what_is_read_is_the_first_beam_and_the_others_follow(name):
    decoder = DECODERS[name]
    log_probs, lengths = unsure_frames(9, 4, len(NAMES), seed=1, sharpness=4), np.array([9, 6, 9, 3])
    options = dict(charset=NAMES, beam=decoder.beam, weight=decoder.weight, bonus=decoder.bonus)
    beams = beam_decode(log_probs, lengths, decoder.language, **options)
    spelled = str if decoder.language is None else decoder.language.adapted_to(NAMES).original
    for line, found in zip(decoder.decode(log_probs, lengths, NAMES, alternatives=15), beams):
        assert line.text == (spelled(found[0].text) if found else "")
        others = [text for text, _ in line.alternatives]
        assert others == [spelled(beam.text) for beam in found[1 : 1 + len(others)]]
        probabilities = [probability for _, probability in line.alternatives]
        assert probabilities == sorted(probabilities, reverse=True) and all(p >= WORTH_TELLING for p in probabilities)
        if decoder.of_texts == Calibration():
            assert line.confidence == pytest.approx(found[0].probability if found else 0)
            assert len(others) == sum(beam.probability >= WORTH_TELLING for beam in found[1:])


def test_hardly_possible_texts_are_no_alternatives():
    frames = frames_of("LEC", NAMES, {0: "A", 1: "A"}, doubt=0.02)
    frames[4] = frames_of("LEC", NAMES, {2: "O"})[4]
    found = Decoder(None).search(frames[:, None], np.array([6]), NAMES)[0][0].beams
    assert "AAC" in {beam.text for beam in found if beam.probability < WORTH_TELLING}
    told = decode_one(Decoder(None), frames, NAMES, alternatives=100).alternatives
    assert sorted(text for text, _ in told) == ["AEC", "AEO", "LAC", "LAO", "LEO"]


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("sharpness", [0.5, 3.0, 9.0])
def test_confidences_are_probabilities(name, sharpness):
    log_probs = unsure_frames(12, 6, len(NAMES), seed=2, sharpness=sharpness)
    for line in DECODERS[name].decode(log_probs, np.array([12, 12, 7, 5, 1, 0]), NAMES):
        assert 0 <= line.confidence <= 1 and all(0 <= confidence <= 1 for confidence in line.word_confidences)
        assert line.confidence + sum(probability for _, probability in line.alternatives) <= 1 + 1e-9
        assert all(symbol.confidence <= 1 for symbol in line.symbols)
        written = NAMES.decode([symbol.index for symbol in line.symbols])
        assert len(line.word_confidences) == len(written.split())


@pytest.mark.parametrize("name", DECODERS)
def test_lines_of_a_batch_do_not_touch_each_other(name):
    log_probs, lengths = unsure_frames(10, 4, len(NAMES), seed=3, sharpness=3), np.array([10, 4, 0, 7])
    log_probs[:4, 1] = frames_of("BA", NAMES)  # a sure line between unsure ones
    decoder = DECODERS[name]
    batch = decoder.decode(log_probs, lengths, NAMES)
    for n, length in enumerate(lengths):
        alone = decoder.decode(log_probs[:length, n : n + 1], lengths[n : n + 1], NAMES)[0]
        assert alone.text == batch[n].text and alone.symbols == batch[n].symbols
        assert alone.confidence == pytest.approx(batch[n].confidence)
    assert decoder.decode(log_probs[:, :0], lengths[:0], NAMES) == []


def test_no_alternatives_are_told_if_none_are_wanted():
    frames = frames_of("LEC", NAMES, {2: "O"})
    assert decode_one(Decoder(None), frames, NAMES, alternatives=0).alternatives == ()
    assert len(decode_one(Decoder(None), frames, NAMES, alternatives=1).alternatives) == 1


def test_a_line_too_short_for_a_list_is_read_as_empty():
    line = decode_one(DECODERS["list"], unsure_frames(2, len(NAMES)), NAMES)
    assert (line.text, line.symbols, line.confidence, line.word_confidences, line.alternatives) == ("", [], 0.0, (), ())


def test_a_word_is_as_sure_as_the_beams_that_agree_on_it():
    frames = frames_of("ANNE LEC", NAMES, {7: "O"}, doubt=0.3)
    line = decode_one(Decoder(None), frames, NAMES)
    assert line.text == "ANNE LEC" and [text for text, _ in line.alternatives][0] == "ANNE LEO"
    assert line.word_confidences == pytest.approx((1.0, 0.7), abs=0.01)
    assert line.confidence == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize("after", ["E", " "])
def test_a_word_is_the_same_only_as_a_whole(after):
    frames = frames_of("AB" + after, NAMES)
    frames[4] = np.log(np.full(len(NAMES), 1e-5))
    frames[4, [0, *NAMES.encode(after)]] = np.log([0.6, 0.4])  # nothing follows, or perhaps something
    found, symbols = Decoder(None).search(frames[:, None], np.array([6]), NAMES)[0]
    assert [beam.text for beam in found.beams[:2]] == ["AB", "AB" + after]
    assert word_probabilities(found, symbols).tolist() == pytest.approx([0.6 if after == "E" else 1.0], abs=0.01)


@pytest.mark.parametrize("beam", [1, 2, 16])
def test_what_was_dropped_lowers_the_words_at_that_place_only(beam):
    frames = np.concatenate([frames_of("AN ", NAMES), unsure_frames(9, len(NAMES), seed=4)])
    found, symbols = Decoder(None, beam=beam).search(frames[:, None], np.array([len(frames)]), NAMES)[0]
    first, *others = word_probabilities(found, symbols).tolist()
    assert found.beams[0].text.startswith("AN ") and first > 0.95 and others and max(others) < 0.1


@pytest.mark.parametrize("beam", [1, 3, 16])
def test_the_only_word_of_a_list_is_as_sure_as_the_text(beam):
    decoder = Decoder(Lexicon(["ANNE", "ANNA", "LENA", "BEA", "ADA"]), beam=beam, weight=1.0, bonus=0.0)
    line = decode_one(decoder, unsure_frames(9, len(NAMES), seed=3), NAMES)
    assert line.confidence < 0.9 and line.word_confidences == pytest.approx((line.confidence,))


def test_a_decoder_takes_another_language():
    own = Decoder(PAIRS, beam=7, weight=0.2, bonus=0.1, of_texts=Calibration(1.3, -0.2))
    other = CharacterModel.uniform(AB)
    assert own.with_language(other) == replace(own, language=other)
    lexicon = Lexicon(["AB"])
    assert own.with_language(lexicon) == Decoder(lexicon, beam=7, weight=1.0, bonus=0.0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"beam": 0}, "beam must be a whole number of 1 ... 10000, not 0"),
        ({"beam": 10_001}, "beam must be a whole number"),
        ({"beam": 2.5}, "beam must be a whole number"),
        ({"weight": -0.1}, "weight must be a number of at least 0, not -0.1"),
        ({"weight": math.nan}, "weight must be a number"),
        ({"weight": "0.4"}, "weight must be a number"),
        ({"bonus": math.inf}, "bonus must be a number, not inf"),
        ({"bonus": None}, "bonus must be a number"),
    ],
)
def test_settings_out_of_range_are_rejected(setting, message):
    with pytest.raises(ValueError, match=message):
        Decoder(None, **setting)


def test_a_language_of_another_charset_is_rejected():
    with pytest.raises(ValueError, match="another charset"):
        DECODERS["n-gram"].decode(unsure_frames(4, 1, len(AB)), np.array([4]), AB)


# Calibration ---------------------------------------------------------------------------------------------------------


def test_a_calibration_divides_and_shifts_log_odds():
    probabilities = np.array([0.0, 0.1, 0.5, 0.9, 1.0])
    assert Calibration()(probabilities) == pytest.approx(probabilities, abs=1e-8)
    assert Calibration(2.0)(np.array([0.9])) == pytest.approx([0.75])  # odds of 9 become odds of 3
    assert Calibration(1.0, math.log(2))(np.array([0.5])) == pytest.approx([2 / 3])
    calibrated = Calibration(3.0, -1.0)(probabilities)
    assert (np.diff(calibrated) > 0).all() and 0 < calibrated[0] and calibrated[-1] < 1


def test_the_calibration_is_that_of_the_text_and_leaves_the_rest_to_the_others():
    frames = frames_of("LEC", NAMES, {2: "O"}, doubt=0.2)
    plain = decode_one(Decoder(None), frames, NAMES)
    doubting = decode_one(Decoder(None, of_texts=Calibration(2.0)), frames, NAMES)
    assert doubting.text == plain.text and doubting.word_confidences == plain.word_confidences
    assert plain.confidence == pytest.approx(0.8, abs=0.01) and doubting.confidence == pytest.approx(2 / 3, abs=0.01)
    assert doubting.alternatives[0] == ("LEO", pytest.approx(1 / 3, abs=0.01))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0,), "temperature of a calibration must be a number of at least 0.001, not 0"),
        ((-1.0,), "temperature"),
        ((math.nan,), "temperature"),
        (("1",), "temperature"),
        ((1.0, math.inf), "shift of a calibration must be a number"),
        ((1.0, None), "shift"),
    ],
)
def test_impossible_calibrations_are_clear_errors(values, message):
    with pytest.raises(ValueError, match=message):
        Calibration(*values)


@pytest.mark.parametrize(("temperature", "shift"), [(2.0, -0.5), (0.6, 0.4), (1.0, 0.0)])
def test_the_calibration_is_found_again(temperature, shift):
    random = np.random.default_rng(0)
    log_odds = random.normal(1, 3, 4000)
    right = random.random(4000) < 1 / (1 + np.exp(-(log_odds / temperature + shift)))
    found = fit_calibration(1 / (1 + np.exp(-log_odds)), right)
    assert found.temperature == pytest.approx(temperature, rel=0.12) and found.shift == pytest.approx(shift, abs=0.15)


def test_a_few_lines_change_the_calibration_little():
    assert fit_calibration([], []) == Calibration(1.0, 0.0)
    claimed = [0.9, 0.99, 0.6, 0.95, 0.8]
    as_claimed = fit_calibration(claimed, [True, True, False, True, True])
    assert as_claimed.temperature == pytest.approx(1, abs=0.25) and as_claimed.shift == pytest.approx(0, abs=0.25)
    for right in ([True] * 5, [False] * 5, [True, False, True, False, False]):
        found = fit_calibration(claimed, right)
        assert 0.4 < found.temperature < 2.5 and abs(found.shift) < 0.8


# Files ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DECODERS)
def test_a_saved_decoder_reads_the_same(name, tmp_path):
    decoder, path = DECODERS[name], tmp_path / "own.lm"
    decoder.save(path)
    loaded = Decoder.load(path)
    assert replace(loaded, language=None) == replace(decoder, language=None)
    assert type(loaded.language) is type(decoder.language)
    log_probs, lengths = unsure_frames(9, 5, len(NAMES), seed=5, sharpness=3), np.full(5, 9)
    for old, new in zip(decoder.decode(log_probs, lengths, NAMES), loaded.decode(log_probs, lengths, NAMES)):
        assert old.text == new.text and new.confidence == pytest.approx(old.confidence, abs=0.01)
    loaded.save(tmp_path / "again.lm")
    assert (tmp_path / "again.lm").read_bytes() == path.read_bytes()


def test_words_within_a_mixture_within_words_are_saved(tmp_path):
    inner = Mixture([(1, Words({"AB": 2, "BAB": 1}, PAIRS, share=0.3)), (3, PAIRS)])
    Words(["AA"], inner, share=0.25).save(tmp_path / "nested.lm")
    loaded = Language.load(tmp_path / "nested.lm")
    assert loaded.share == 0.25 and loaded.language.parts[0][1].share == 0.3
    for text in ("AB", "AA BAB", "B B", ""):
        assert loaded.log_prob(text) == pytest.approx(Words(["AA"], inner, share=0.25).log_prob(text), abs=0.05)


def test_a_language_alone_is_a_decoder_with_the_usual_settings(tmp_path):
    PAIRS.save(tmp_path / "pairs.lm")
    loaded = Decoder.load(tmp_path / "pairs.lm")
    assert (loaded.beam, loaded.weight, loaded.bonus) == (BEAM, WEIGHT, BONUS)
    assert loaded.of_texts == Calibration() and isinstance(loaded.language, CharacterModel)
    with pytest.raises(FileNotFoundError, match="nowhere.lm: no such language model"):
        Decoder.load(tmp_path / "nowhere.lm")


def unpacked(path) -> tuple[dict, bytes]:
    """The header and the arrays of a file, as `storage` describes it."""
    line, _, packed = path.read_bytes()[len(storage.MAGIC) :].partition(b"\n")
    return json.loads(line), lzma.decompress(packed)


def write_packed(path, header: object, payload: bytes) -> None:
    path.write_bytes(storage.MAGIC + json.dumps(header).encode() + b"\n" + lzma.compress(payload))


WITHOUT = object()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("beam", 0),
        ("beam", 16.5),
        ("beam", "16"),
        ("beam", 10**400),
        ("beam", WITHOUT),
        ("weight", -1),
        ("weight", None),
        ("weight", math.nan),
        ("weight", 10**400),
        ("weight", WITHOUT),
        ("bonus", math.inf),
        ("bonus", [1]),
        ("of_texts", None),
        ("of_texts", {"temperature": 0, "shift": 0}),
        ("of_texts", {"temperature": 1, "shift": 0, "more": 1}),
        ("of_words", WITHOUT),
        ("language", None),
        ("language", "Words"),
        ("language", {}),
        ("language", {"kind": "Decoder"}),
        ("language", {"kind": "Nobody"}),
        ("language", {"kind": ["Words"]}),
        ("language.share", 0),
        ("language.share", "0.1"),
        ("language.share", WITHOUT),
        ("language.kind", "Lexicon"),
        ("language.kind", "CharacterModel"),
        ("language.kind", "Mixture"),
        ("language.language", {"kind": "os.system"}),
        ("language.language", WITHOUT),
        ("language.language.characters", " BA C"),
        ("language.language.characters", "AAB"),
        ("language.language.characters", 3),
        ("arrays", []),
        ("arrays", [["language.trie.labels", "<u2", 10**18]]),
        ("arrays", "arrays"),
    ],
)
def test_hostile_decoders_are_rejected(place, value, tmp_path):
    path = tmp_path / "hostile.lm"
    Decoder(Words(["AB", "BAB"], PAIRS, share=0.2)).save(path)
    header, payload = unpacked(path)
    *outer, last = place.split(".")
    part = header
    for name in outer:
        part = part[name]
    if value is WITHOUT:
        del part[last]
    else:
        part[last] = value
    if place == "language.kind" and value == "Mixture":
        part["weights"] = [1, 10**400]
    write_packed(path, header, payload)
    with pytest.raises(ValueError, match="hostile.lm"):
        Decoder.load(path)


@pytest.fixture(scope="module")
def decoder_files(tmp_path_factory) -> list:
    """A file of each kind of decoder, small."""
    folder = tmp_path_factory.mktemp("decoders")
    pairs = Lexicon({"AB": 2, "B A": 1})
    languages = [
        None,
        PAIRS,
        Words(["AB", "BA"], PAIRS),
        pairs,
        Mixture([(1, PAIRS), (2, pairs)]),
        Lexicon(["AB"], escape=0.1),
    ]
    for number, language in enumerate(languages):
        Decoder(language).save(folder / f"{number}.lm")
    return sorted(folder.iterdir())


def load_and_read(path) -> None:
    """A damaged file is rejected, or reads something."""
    try:
        lines = Decoder.load(path).decode(unsure_frames(4, 1, len(AB)), np.array([4]), AB)
    except ValueError:
        return
    assert 0 <= lines[0].confidence <= 1


CHANGES = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True, allow_subnormal=False), st.integers(0, 255)), min_size=1, max_size=4
)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # damaged logarithms overflow
@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, 5), CHANGES, st.sampled_from(["bytes", "header", "arrays", "cut"]))
def test_damaged_decoders_are_rejected_or_read(decoder_files, tmp_path_factory, number, changes, part):
    def damaged(content: bytes) -> bytes:
        content = bytearray(content)
        for place, value in changes:
            content[int(place * len(content))] = value
        return bytes(content)

    path = tmp_path_factory.getbasetemp() / "damaged.lm"
    whole = decoder_files[number].read_bytes()
    header, payload = unpacked(decoder_files[number])
    if part == "bytes":
        path.write_bytes(damaged(whole))
    elif part == "cut":
        path.write_bytes(whole[: int(changes[0][0] * len(whole))])
    elif part == "arrays":
        write_packed(path, header, damaged(payload) if payload else b"")
    else:
        packed = b"\n" + zlib.compress(payload)
        path.write_bytes(storage.MAGIC + damaged(json.dumps(header).encode()) + packed)
    load_and_read(path)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_subnormal=False)
    | st.sampled_from(["", "AB", "Lexicon", "Decoder", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["kind", "0", "a"]), inner, max_size=3),
    max_leaves=4,
)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 5), st.integers(0, 60), JSON)
def test_any_value_anywhere_in_the_header_is_rejected_or_read(decoder_files, tmp_path_factory, number, place, value):
    header, payload = unpacked(decoder_files[number])
    places = []

    def visit(part):
        for key in part if isinstance(part, dict) else range(len(part)):
            places.append((part, key))
            if isinstance(part[key], (dict, list)):
                visit(part[key])

    visit(header)
    part, key = places[place % len(places)]
    part[key] = value
    path = tmp_path_factory.getbasetemp() / "header.lm"
    write_packed(path, header, payload)
    load_and_read(path)


# Reading images ------------------------------------------------------------------------------------------------------


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


# Fitting -------------------------------------------------------------------------------------------------------------

FRENCH = Charset(" ',-abcdefghilmnopqrstuvzéèêL")
LABELS = ["le chat dort", "la maison est là".replace("à", "a"), "le chien est la", "la table est dans la maison", "Le chat"]


def test_the_likeliest_language_is_chosen():
    held_out = ["la maison est dans la table", "le chien dort dans la maison"]
    language = fit_language(LABELS, FRENCH, held_out=held_out)
    assert isinstance(language, Words) and "maison" in language.trie.texts()
    assert bits_per_character(language, held_out) < bits_per_character(language.language, held_out)
    unknown = fit_language(LABELS, FRENCH, held_out=["pommes vertes", "deux trois quatre"])
    assert isinstance(unknown, CharacterModel)  # no word of the list occurs: the share would only cost


def test_bits_are_the_mean_of_the_logarithms():
    assert bits_per_character(CharacterModel.uniform(Charset("ABC")), ["AB", "CCCC"]) == pytest.approx(2)
    assert bits_per_character(PAIRS, []) == 0


@pytest.mark.parametrize(
    "more", [["un cheval", "des pommes vertes"], {"cheval": 30.0, "pommes": 2, "vertes": 0.5, "un": 100}]
)
def test_further_texts_that_help_are_used(more):
    held_out = ["un cheval est la", "la pommes vertes"]
    plain = fit_language(LABELS, FRENCH, held_out=held_out)
    language = fit_language(LABELS, FRENCH, held_out=held_out, more=more)
    assert bits_per_character(language, held_out) < bits_per_character(plain, held_out) - 0.2
    assert language.log_prob("cheval") > plain.log_prob("cheval")


def test_further_texts_that_mislead_are_not_used():
    held_out = ["la maison est dans la table", "le chien dort"]
    plain = fit_language(LABELS, FRENCH, held_out=held_out)
    language = fit_language(LABELS, FRENCH, held_out=held_out, more=["qqqq zzzz" * 5] * 200)
    assert bits_per_character(language, held_out) == pytest.approx(bits_per_character(plain, held_out))


@pytest.mark.parametrize(
    "more",
    [
        ["🙂🙂", "12 34", "e\u0301te\u0301", "漢字", "x" * 300],
        {"🙂": 1.0, "1234": 2.5, "Été e\u0301te\u0301": 3, "y" * 300: 1e-9},
        ["🙂"],
        {"…": 1e300, "!": 1e-300},
    ],
)
def test_further_texts_of_any_characters_do_no_harm(more):
    for held_out in (["le chat"], ["🙂"], []):
        language = fit_language(LABELS, FRENCH, held_out=held_out, more=more).adapted_to(FRENCH)
        assert math.isfinite(language.log_prob("le chat est la"))


def test_the_fitted_language_holds_what_the_recogniser_can_write():
    more = {"Dort": 5, "漢字": 9, "CHEVAL": 3, "pommes": 9}
    held_out = ["la maison est dans la table", "pommes, cheval"]
    language = fit_language(LABELS, FRENCH, held_out=held_out, order=2, more=more)
    assert isinstance(language, Words) and language.adapted_to(FRENCH) is language
    assert not FRENCH.missing(language.trie.characters()) and "pommes" in language.trie.texts()


def test_labels_without_letters_make_a_language_too():
    language = fit_language(["- -", "'"], FRENCH, held_out=["-"])
    assert isinstance(language, CharacterModel)
    with pytest.raises(ValueError, match="nothing to learn"):
        fit_language(["123"], FRENCH, held_out=["-"])


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


# Further texts -------------------------------------------------------------------------------------------------------


def test_lines_of_text_are_texts(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("  la maison \r\n\n\tl'été, 12 🙂\nla maison\n", encoding="utf-8")
    assert read_texts(path) == ["la maison", "l'été, 12 🙂", "la maison"]
    path.write_bytes("été\nnoël\n".encode("latin-1"))
    assert read_texts(path) == ["été", "noël"]
    path.write_bytes("\ufeffété\n".encode())
    assert read_texts(path) == ["été"]


@pytest.mark.parametrize(("name", "separator"), [("words.csv", ","), ("words.CSV", ";"), ("words.tsv", "\t")])
def test_tables_are_texts_with_frequencies(tmp_path, name, separator):
    rows = [
        ("rank", "text", "frequency"),
        ("1", "e\u0301te\u0301", "0.5"),
        ("2", "Le Gall", "1e3"),
        ("3", "été", "2"),
        ("4", "", "7"),
    ]
    path = tmp_path / name
    path.write_text("\n".join(map(separator.join, rows)), encoding="utf-8")
    assert read_texts(path) == {"été": 2.5, "Le Gall": 1000.0}
    path.write_bytes("\n".join(map(separator.join, rows)).replace("e\u0301", "é").encode("latin-1"))
    assert read_texts(str(path)) == {"été": 2.5, "Le Gall": 1000.0}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.txt", "", "empty.txt: no text in this file"),
        ("blank.txt", " \n\t\n\n", "blank.txt: no text"),
        ("empty.csv", "", "empty.csv: the table is empty"),
        ("header.csv", "text,frequency\n", "header.csv: no text in this file"),
        ("blank.csv", "text,frequency\n,3\n", "blank.csv: no text in this file"),
        ("names.csv", "text,count\nANNE,3\n", "names.csv: no column 'frequency'; the columns there are 'text', 'count'"),
        ("names.tsv", "name\tfrequency\nANNE\t3\n", "names.tsv: no column 'text'"),
        (
            "bad.csv",
            "text,frequency\nANNE,3\nLEO,often\n",
            "bad.csv, row 3: the frequency must be a number above 0, not 'often'",
        ),
        ("bad.csv", "text,frequency\nANNE,0\n", "row 2: the frequency must be a number above 0, not '0'"),
        ("bad.csv", "text,frequency\nANNE,-1\n", "row 2"),
        ("bad.csv", "text,frequency\nANNE,nan\n", "row 2"),
        ("bad.csv", "text,frequency\nANNE,inf\n", "row 2"),
        ("bad.csv", "text,frequency\nANNE,\n", "row 2.*not ''"),
    ],
)
def test_bad_texts_are_clear_errors(name, content, message, tmp_path):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_texts(tmp_path / name)


def test_texts_that_are_not_there_are_named(tmp_path):
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(FileNotFoundError, match="no such file of texts"):
            read_texts(path)


# What a training leaves ----------------------------------------------------------------------------------------------


@pytest.fixture
def finished(run, tmp_path):
    """A copy of the finished training's folder."""
    return shutil.copytree(run.folder, tmp_path / "finished")


def test_a_training_leaves_a_language_that_is_read_with(run, recognizer):
    decoder = Decoder.load(run.folder / "best_model.lm")
    assert (
        recognizer.decoder is not None and decoder.language is recognizer.decoder.language is None
    )  # all was right already
    assert (decoder.weight, decoder.bonus) == (WEIGHT, BONUS) and decoder == recognizer.decoder
    assert "language model: validation CER" in (run.folder / "train.log").read_text(encoding="utf-8")


def test_a_checkpoint_is_read_with_the_language_beside_it(finished, draw):
    best = finished / "best_model.pth"
    own = Decoder(Lexicon(["Zoé", "Anne"]), weight=1.0, bonus=0.0)
    own.save(finished / "best_model.lm")
    assert Recognizer.from_checkpoint(best, device="cpu").read(draw("ZOE")).text == "Zoé"
    assert Recognizer.from_checkpoint(best, device="cpu", decoder=None).read(draw("ZOE")).text == "ZOE"
    given_one = Recognizer.from_checkpoint(best, device="cpu", decoder=Decoder(Lexicon(["Anne"])))
    assert given_one.read(draw("ZOE")).text == "Anne"
    (finished / "best_model.lm").write_bytes(b"no language")
    with pytest.raises(ValueError, match="best_model.lm: not a language model of this version"):
        Recognizer.from_checkpoint(best, device="cpu")
    (finished / "best_model.lm").unlink()
    assert Recognizer.from_checkpoint(best, device="cpu").decoder is None


def test_a_resumed_finished_run_leaves_the_same_language(tiny, finished, run):
    before = (finished / "best_model.lm").read_bytes()
    (finished / "best_model.lm").unlink()
    again = fit(tiny(), finished, resume=True)
    assert (finished / "best_model.lm").read_bytes() == before and len(again.history) == len(run.history)


def test_the_order_may_be_zero_and_may_change(tiny, tmp_path):
    config = tiny(epochs=1, train_limit=12, language_order=0)
    fit(config, tmp_path)
    assert (tmp_path / "best_model.pth").is_file() and not list(tmp_path.glob("*.lm"))
    fit(replace(config, language_order=3), tmp_path, resume=True)
    assert Decoder.load(tmp_path / "best_model.lm")


def test_further_texts_are_read_before_the_training_starts(tiny, tmp_path):
    (tmp_path / "empty.txt").write_text(" \n")
    for text, error in (("nowhere.txt", FileNotFoundError), ("empty.txt", ValueError)):
        with pytest.raises(error, match=text):
            fit(tiny(language_text=str(tmp_path / text)), tmp_path / "run")
        assert not list((tmp_path / "run").glob("*.pth"))


def test_further_texts_reach_the_language(tiny, tmp_path, monkeypatch):
    (tmp_path / "names.csv").write_text("text,frequency\nNOÉMIE,3\nZOE,1\n", encoding="utf-8")
    given_texts = []
    monkeypatch.setattr("hwrlib.runs.fit.leave_language", lambda *labels, **options: given_texts.append((labels, options)))
    fit(tiny(epochs=1, train_limit=12, language_order=4, language_text=str(tmp_path / "names.csv")), tmp_path / "run")
    [(given_labels, options)] = given_texts
    assert options == {"order": 4, "more": {"NOÉMIE": 3.0, "ZOE": 1.0}} and len(given_labels[1]) == 12


def test_a_language_is_left_beside_the_model(finished, tiny, caplog):
    validation = LineDataset(tiny().data, "validation", tiny().normalisation)
    validation.texts = ["ANNE" if text == "LEO" else text for text in validation.texts]  # so that a language helps
    caplog.set_level("INFO", "hwrlib")
    tuned = leave_language(finished / "best_model.pth", ["ANNE", "ZOE"] * 20, validation, order=3, more=["LEO 🙂 12"])
    loaded = Decoder.load(finished / "best_model.lm")
    assert replace(loaded, language=None) == replace(tuned.decoder, language=None)
    assert type(loaded.language) is type(tuned.decoder.language)
    assert f"validation CER {tuned.greedy.cer:.2%}".replace("%", " %") in caplog.text


# The command ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch):
    """The command line in this process; the level of the logger is put back."""
    monkeypatch.setattr(logger, "level", logger.level)
    yield lambda *arguments: main([str(argument) for argument in arguments])
    logger.setLevel(logger.level)


def test_the_command_rewrites_the_language_of_a_run(finished, drawn_set, tmp_path, command, capsys):
    (finished / "best_model.lm").write_bytes(b"damaged")
    (tmp_path / "names.csv").write_text("text,frequency\nNOÉMIE,3\n🙂 12,1\n", encoding="utf-8")
    assert command(finished, "--data", drawn_set, "--text", tmp_path / "names.csv", "--order", 3) == 0
    said = capsys.readouterr().out
    assert "best_model.lm" in said and "96 labels, 2 further texts with frequencies" in said
    assert Recognizer.from_checkpoint(finished / "best_model.pth", device="cpu").decoder is not None


def test_the_command_takes_corrections(finished, drawn_set, tmp_path, command, capsys):
    validation = LineDataset(drawn_set, "validation")
    row = ",".join(["validation", validation.names[0], validation.texts[0], "ZZZ", "1", "drop"])
    (tmp_path / "corrections.csv").write_text(f"SPLIT,FILENAME,IDENTITY,READING,SUSPICION,DECISION\n{row}\n")
    assert command(finished, "--data", drawn_set, "--corrections", tmp_path / "corrections.csv") == 0
    assert command(finished, "--data", drawn_set, "--corrections", tmp_path / "nowhere.csv") == 2
    assert "nowhere.csv: no such table of corrections" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("checkpoint", "data", "text", "message"),
    [
        ("nowhere", "drawn", None, "nowhere: no such checkpoint or folder"),
        ("finished", "nodata", None, "nodata/train.csv: no such table"),
        ("finished", "drawn", "none.txt", "none.txt: no such file of texts"),
        ("finished", "drawn", "empty.txt", "empty.txt: no text in this file"),
        ("finished", "drawn", "bad.csv", "bad.csv, row 2: the frequency must be a number"),
        ("empty.txt", "drawn", None, "empty.txt: damaged or cut short"),
    ],
)
def test_the_command_says_what_is_wrong(checkpoint, data, text, message, finished, drawn_set, command, capsys):
    folder = finished.parent
    (folder / "empty.txt").write_text("")
    (folder / "bad.csv").write_text("text,frequency\nANNE,often\n")
    before = (finished / "best_model.lm").read_bytes()
    arguments = [folder / checkpoint, "--data", drawn_set if data == "drawn" else folder / data]
    assert command(*arguments, *(["--text", folder / text] if text else [])) == 2
    said = capsys.readouterr()
    assert message in said.err and said.err.startswith("error: ") and said.err.count("\n") == 1 and said.out == ""
    assert (finished / "best_model.lm").read_bytes() == before


def test_the_command_exits_with_status_2(tmp_path):
    command = [sys.executable, "-m", "hwrlib.runs.language", "nowhere", "--data", "nowhere"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 2 and ended.stderr.startswith("error: nowhere: ") and ended.stderr.count("\n") == 1


@pytest.mark.parametrize("calibration", [Calibration(2.0, -1.5), Calibration(0.5, 1.5), Calibration()])
def test_no_alternative_is_likelier_than_the_text(calibration):
    decoder = Decoder(PAIRS, of_texts=calibration)
    for probabilities in ([0.4, 0.35, 0.2], [0.9, 0.05], [0.3, 0.3, 0.3], [1.0]):
        best, *others = decoder._calibrated(probabilities)
        assert best == pytest.approx(calibration(np.array(probabilities[0])))
        assert all(0 <= other <= best for other in others) and best + sum(others) <= 1 + 1e-9
