"""How accurate a recogniser is: character and word error rates over a corpus, exact match, and where the errors are.

An error rate is all edits (substitutions, deletions, insertions) over all characters of the references, never a mean
of the lines' own rates: a wrong letter weighs the same in a short line and in a long one. Special labels (an empty
cell, EMPTY, UNREADABLE ...) are not transcriptions; `score` skips them and counts them.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from rapidfuzz.distance import Levenshtein

from hwrlib.charset import Charset
from hwrlib.labels import is_special


class Scores(NamedTuple):
    """Corpus scores; rates are fractions."""

    cer: float      # character error rate; above 1 where far too much was read
    wer: float      # word error rate, words split at white space
    exact: float    # fraction of lines read without any error
    lines: int      # lines that were scored
    characters: int  # reference characters that were scored
    special: int    # lines skipped because their label is special


class Edit(NamedTuple):
    """One step of an alignment; an absent side is the empty string."""

    kind: str       # "equal", "substitute", "delete" (a character was missed) or "insert" (one was invented)
    reference: str
    hypothesis: str


def cer(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Character error rate over the corpus, a fraction.

    Raises:
        ValueError: the lengths differ, or the references hold no character.
    """
    return _error_rate(list(references), list(hypotheses))


def wer(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Word error rate over the corpus, a fraction; words are split at white space.

    Raises:
        ValueError: the lengths differ, or the references hold no word.
    """
    return _error_rate([text.split() for text in references], [text.split() for text in hypotheses])


def exact_match(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Fraction of lines read without any error.

    Raises:
        ValueError: the lengths differ, or there is no line.
    """
    _check_pairs(references, hypotheses)
    return float(np.mean([reference == hypothesis for reference, hypothesis in zip(references, hypotheses)]))


def score(references: Sequence[str], hypotheses: Sequence[str]) -> Scores:
    """All scores at once, special labels skipped and counted.

    Raises:
        ValueError: the lengths differ, or no line is left to score.
    """
    _check_pairs(references, hypotheses)
    pairs = [(reference, hypothesis) for reference, hypothesis in zip(references, hypotheses)
             if not is_special(reference)]
    if not pairs:
        raise ValueError(f"all {len(references)} labels are special (empty, UNREADABLE ...): nothing to score")
    kept, read = zip(*pairs)
    return Scores(cer(kept, read), wer(kept, read), exact_match(kept, read), len(pairs), sum(map(len, kept)),
                  len(references) - len(pairs))


def confidence_interval(references: Sequence[str], hypotheses: Sequence[str],
                        metric: Callable[[Sequence[str], Sequence[str]], float], *, level: float = 0.95,
                        draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Bootstrap interval of a metric: lines are resampled with replacement, many times.

    Args:
        metric: `cer`, `wer` or `exact_match`.
        level: fraction of the draws inside the interval.
    Returns:
        Lower and upper bound, fractions.
    Source: Bisani and Ney, *Bootstrap Estimates for Confidence Intervals in ASR Performance Evaluation* (2004).
    """
    _check_pairs(references, hypotheses)
    errors, weights = _line_errors(references, hypotheses, metric)
    random = np.random.default_rng(seed)
    rates = []
    for _ in range(draws):
        rows = random.integers(len(errors), size=len(errors))
        rates.append(errors[rows].sum() / max(weights[rows].sum(), 1))
    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def align(reference: str, hypothesis: str) -> list[Edit]:
    """A shortest sequence of edits from the reference to the hypothesis, character by character."""
    steps = []
    for kind, i, i_end, j, j_end in Levenshtein.opcodes(reference, hypothesis):
        kind = "substitute" if kind == "replace" else kind
        for k in range(max(i_end - i, j_end - j)):
            steps.append(Edit(kind, reference[i + k:i + k + 1] if i + k < i_end else "",
                              hypothesis[j + k:j + k + 1] if j + k < j_end else ""))
    return steps


def unwritable_fraction(references: Sequence[str], charset: Charset) -> float:
    """Fraction of the references' characters that a model with this charset can never write, a fraction."""
    counts = Counter("".join(references))
    return sum(counts[character] for character in charset.missing("".join(counts))) / max(counts.total(), 1)


def confusion_matrix(references: Sequence[str], hypotheses: Sequence[str], *, most: int = 12) -> pd.DataFrame:
    """How often each character was read as which other, for the characters with most errors.

    Args:
        most: the number of characters at most, those involved in most errors.
    Returns:
        Counts of errors: a row per true character, a column per read one, both sorted; the last row, `""`, holds
        invented characters, the last column, `""`, missed ones. Right readings are not counted.
    """
    errors = Counter((edit.reference, edit.hypothesis) for pair in zip(references, hypotheses)
                     for edit in align(*pair) if edit.kind != "equal")
    involved = Counter()
    for pair, count in errors.items():
        involved.update({character: count for character in pair if character})
    names = [*sorted(character for character, _ in involved.most_common(most)), ""]
    return pd.DataFrame([[errors[reference, hypothesis] for hypothesis in names] for reference in names],
                        index=names, columns=names)


class ConfidenceBin(NamedTuple):
    """Readings of similar confidence."""

    confidence: float   # their mean
    exact: float        # fraction of them that are right
    lines: int


def reliability(confidences: Sequence[float], correct: Sequence[bool], *, bins: int = 10) -> list[ConfidenceBin]:
    """Readings sorted by confidence and cut into bins of similar size: does the claim hold?

    Args:
        confidences: 0-1, one per reading.
        correct: whether each reading is right.
        bins: at most; none is empty.
    Returns:
        The bins, the least confident first.
    Source: Niculescu-Mizil and Caruana, *Predicting Good Probabilities with Supervised Learning* (2005).
    """
    order = np.argsort(confidences, kind="stable")
    claimed, right = np.asarray(confidences, float)[order], np.asarray(correct, float)[order]
    parts = [part for part in np.array_split(np.arange(len(order)), bins) if len(part)]
    return [ConfidenceBin(float(claimed[part].mean()), float(right[part].mean()), len(part)) for part in parts]


def exact_among_surest(confidences: Sequence[float], correct: Sequence[bool]) -> np.ndarray:
    """Fraction of right readings among the k most confident ones, for k = 1 … N: (N,) fractions."""
    order = np.argsort(-np.asarray(confidences, float), kind="stable")
    return np.cumsum(np.asarray(correct, float)[order]) / np.arange(1, len(order) + 1)


def _error_rate(references: list, hypotheses: list) -> float:
    _check_pairs(references, hypotheses)
    length = sum(map(len, references))
    if length == 0:
        raise ValueError("the references hold nothing to compare with; are all labels empty?")
    return sum(map(Levenshtein.distance, references, hypotheses)) / length


def _line_errors(references: Sequence[str], hypotheses: Sequence[str], metric: Callable) -> tuple:
    """Errors and reference length of every line, in the metric's own unit."""
    if metric is exact_match:
        return np.array([r == h for r, h in zip(references, hypotheses)], float), np.ones(len(references))
    units = [(r.split(), h.split()) if metric is wer else (r, h) for r, h in zip(references, hypotheses)]
    return np.array([Levenshtein.distance(r, h) for r, h in units], float), np.array([len(r) for r, _ in units])


def _check_pairs(references: Sequence, hypotheses: Sequence) -> None:
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references, but {len(hypotheses)} hypotheses")
    if len(references) == 0:
        raise ValueError("no lines to compare")
