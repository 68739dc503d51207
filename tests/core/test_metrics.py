"""hwrlib.metrics: error rates worked by hand, alignments replayed."""

import random

import numpy as np
import pytest

from hwrlib.metrics import (
    align,
    cer,
    confidence_interval,
    exact_match,
    score,
    wer,
)


def distance(a: str, b: str) -> int:
    """Levenshtein's distance, row by row."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


def random_pairs(count: int) -> list[tuple[str, str]]:
    draw = random.Random(0)
    return [tuple("".join(draw.choices("abcÉ", k=draw.randrange(13))) for _ in range(2)) for _ in range(count)]


@pytest.mark.parametrize(
    "references, hypotheses, expected",
    [
        (["ANNE"], ["ANNE"], 0),
        (["ANNE"], ["ANE"], 1 / 4),  # one left out
        (["ANNE"], ["HANNE"], 1 / 4),  # one too many
        (["ANNE"], ["ANME"], 1 / 4),  # one taken for another
        (["ANNE"], [""], 1),
        (["kitten", "b"], ["sitting", "b"], 3 / 7),
        (["A"], ["XYZ"], 3),  # above 1: far too much was read
        (["", "AB"], ["X", "AB"], 1 / 2),
    ],
)
def test_cer_by_hand(references, hypotheses, expected):
    assert cer(references, hypotheses) == pytest.approx(expected)


def test_cer_is_over_the_corpus_and_no_mean_of_lines():
    assert cer(["ABCDEFGHIJ", "K"], ["ABCDEFGHIJ", "X"]) == pytest.approx(1 / 11)  # the mean of lines is 1 / 2


@pytest.mark.parametrize(
    "reference, hypothesis, expected",
    [
        ("le chat noir", "le chien noir", 1 / 3),
        ("le chat", "lechat", 1),
        ("a  b\tc", " a b c ", 0),
        ("a b", "a", 1 / 2),
    ],
)
def test_wer_by_hand(reference, hypothesis, expected):
    assert wer([reference], [hypothesis]) == pytest.approx(expected)


def test_exact_match_by_hand():
    assert exact_match(["A", "B", "C", ""], ["A", "X", "c", ""]) == 1 / 2


def test_score_leaves_special_labels_out_and_counts_them():
    references = ["ANNE", "EMPTY", "", " unreadable ", "LE A", "Illisible", "none", "BLANK"]
    hypotheses = ["ANME", "EMPTY", "X", "", "LE A", "I", "N", "B"]
    scores = score(references, hypotheses)
    assert (scores.cer, scores.wer, scores.exact) == (pytest.approx(1 / 8), pytest.approx(1 / 3), 1 / 2)
    assert (scores.lines, scores.characters, scores.special) == (2, 8, 6)


@pytest.mark.parametrize("metric", [cer, wer, exact_match, score])
def test_what_cannot_be_compared_is_refused(metric):
    with pytest.raises(ValueError, match="1 references, but 2 hypotheses"):
        metric(["A"], ["A", "B"])
    with pytest.raises(ValueError, match="no lines"):
        metric([], [])


def test_references_without_text_are_refused():
    with pytest.raises(ValueError, match="nothing to compare"):
        cer(["", ""], ["A", ""])
    with pytest.raises(ValueError, match="all 2 labels are special"):
        score(["", "EMPTY"], ["", ""])


def noisy_lines(count: int) -> tuple[list[str], list[str]]:
    draw = random.Random(1)
    references = ["".join(draw.choices("ABCD ", k=draw.randrange(4, 12))) + "E" for _ in range(count)]
    return references, ["".join("X" if draw.random() < 0.1 else c for c in text) for text in references]


@pytest.mark.parametrize("metric", [cer, wer, exact_match])
def test_interval_holds_the_value_and_shrinks_with_the_lines(metric):
    widths = []
    for count in (40, 4000):
        references, hypotheses = noisy_lines(count)
        low, high = confidence_interval(references, hypotheses, metric)
        assert low < metric(references, hypotheses) < high
        widths.append(high - low)
    assert 5 < widths[0] / widths[1] < 20  # in theory the square root of 100


def test_interval_is_repeatable_and_grows_with_its_level():
    lines = noisy_lines(100)
    assert confidence_interval(*lines, cer) == confidence_interval(*lines, cer)
    low, high = confidence_interval(*lines, cer, level=0.5)
    wide_low, wide_high = confidence_interval(*lines, cer, level=0.99)
    assert wide_low < low < high < wide_high


def test_interval_is_about_as_wide_as_theory_has_it():
    right = np.random.default_rng(0).random(1000) < 0.8
    low, high = confidence_interval(["A"] * 1000, ["A" if r else "B" for r in right], exact_match)
    assert high - low == pytest.approx(2 * 1.96 * (0.8 * 0.2 / 1000) ** 0.5, rel=0.15)


def test_alignment_replays_the_reference_into_the_hypothesis():
    for reference, hypothesis in random_pairs(400):
        edits = align(reference, hypothesis)
        assert "".join(edit.reference for edit in edits) == reference
        assert "".join(edit.hypothesis for edit in edits) == hypothesis
        assert sum(edit.kind != "equal" for edit in edits) == distance(reference, hypothesis)
        for edit in edits:
            sides = {
                "equal": edit.reference == edit.hypothesis != "",
                "substitute": len(edit.reference) == len(edit.hypothesis) == 1 and edit.reference != edit.hypothesis,
                "delete": len(edit.reference) == 1 and edit.hypothesis == "",
                "insert": edit.reference == "" and len(edit.hypothesis) == 1,
            }
            assert sides[edit.kind], edit


def test_cer_agrees_with_the_distance_written_out():
    references, hypotheses = zip(*random_pairs(300))
    expected = sum(map(distance, references, hypotheses)) / sum(map(len, references))
    assert cer(references, hypotheses) == pytest.approx(expected)


def test_an_interval_of_an_unknown_metric_is_rejected():
    with pytest.raises(ValueError, match="give cer, wer or exact_match"):
        confidence_interval(["A"], ["A"], lambda references, hypotheses: 0.0)
