"""hwrlib.language.decoder: texts, confidences, words, alternatives and calibration."""

import math
from dataclasses import replace

import numpy as np
import pytest

from hwrlib.charset import Charset
from hwrlib.ctc import greedy_lines, text_log_probabilities
from hwrlib.language import Calibration, CharacterModel, Decoder, Lexicon, beam_decode
from hwrlib.language.beam import CANDIDATE, search
from hwrlib.language.decoder import CERTAIN, WORTH_TELLING, word_probabilities
from hwrlib.language.tuning import fit_calibration
from tests.language.examples import AB, DECODERS, NAMES, PAIRS, decode_one, frames_of, unsure_frames


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
        assert line.confidence == pytest.approx(greedy.confidence, abs=1e-6) and line.confidence > CERTAIN
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


@pytest.mark.parametrize("calibration", [Calibration(2.0, -1.5), Calibration(0.5, 1.5), Calibration()])
def test_no_alternative_is_likelier_than_the_text(calibration):
    decoder = Decoder(PAIRS, of_texts=calibration)
    for probabilities in ([0.4, 0.35, 0.2], [0.9, 0.05], [0.3, 0.3, 0.3], [1.0]):
        best, *others = decoder._calibrated(probabilities)
        assert best == pytest.approx(calibration(np.array(probabilities[0])))
        assert all(0 <= other <= best for other in others) and best + sum(others) <= 1 + 1e-9
