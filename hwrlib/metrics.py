"""How accurate a recogniser is: character and word error rates over a corpus, exact match, and where the errors are.

An error rate is all edits (substitutions, deletions, insertions) over all characters of the references, never a mean
of the lines' own rates: a wrong letter weighs the same in a short line and in a long one. Special labels (an empty
cell, EMPTY, UNREADABLE ...) are not transcriptions; `score` skips them and counts them.
"""

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
from rapidfuzz.distance import Levenshtein

SPECIAL_LABELS = frozenset({"", "EMPTY", "UNREADABLE", "NONE", "BLANK", "ILLISIBLE"})


class Scores(NamedTuple):
    """Corpus scores; rates are fractions."""

    cer: float  # character error rate; above 1 where far too much was read
    wer: float  # word error rate, words split at white space
    exact: float  # fraction of lines read without any error
    lines: int  # lines that were scored
    characters: int  # reference characters that were scored
    special: int  # lines skipped because their label is special


class Edit(NamedTuple):
    """One step of an alignment; an absent side is the empty string."""

    kind: str  # "equal", "substitute", "delete" (a character was missed) or "insert" (one was invented)
    reference: str
    hypothesis: str


def is_special(text: str) -> bool:
    """True for a label that means "no text here" and is not itself written in the image."""
    return text.strip().upper() in SPECIAL_LABELS


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
    pairs = [(reference, hypothesis) for reference, hypothesis in zip(references, hypotheses) if not is_special(reference)]
    if not pairs:
        raise ValueError(f"all {len(references)} labels are special (empty, UNREADABLE ...): nothing to score")
    kept, read = zip(*pairs)
    special = len(references) - len(pairs)
    return Scores(cer(kept, read), wer(kept, read), exact_match(kept, read), len(pairs), sum(map(len, kept)), special)


def confidence_interval(
    references: Sequence[str],
    hypotheses: Sequence[str],
    metric: Callable[[Sequence[str], Sequence[str]], float],
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Bootstrap interval of a metric: lines are resampled with replacement, many times.

    Args:
        metric: `cer`, `wer` or `exact_match`.
        level: fraction of the draws inside the interval.
    Returns:
        Lower and upper bound, fractions.
    Source: Bisani and Ney, *Bootstrap Estimates for Confidence Intervals in ASR Performance Evaluation* (2004).
    """
    _check_pairs(references, hypotheses)
    errors, weights = _line_counts(references, hypotheses, metric)
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
        steps += [Edit(kind, *pair) for pair in zip_longest(reference[i:i_end], hypothesis[j:j_end], fillvalue="")]
    return steps


def _error_rate(references: list, hypotheses: list) -> float:
    _check_pairs(references, hypotheses)
    length = sum(map(len, references))
    if length == 0:
        raise ValueError("the references hold nothing to compare with; are all labels empty?")
    return sum(map(Levenshtein.distance, references, hypotheses)) / length


def _line_counts(references: Sequence[str], hypotheses: Sequence[str], metric: Callable) -> tuple:
    """Numerator and denominator of the metric for every line: (N,) each."""
    if metric not in (cer, wer, exact_match):
        raise ValueError(f"no interval for {metric}; give cer, wer or exact_match")
    if metric is exact_match:
        return np.array([r == h for r, h in zip(references, hypotheses)], float), np.ones(len(references))
    units = [(r.split(), h.split()) if metric is wer else (r, h) for r, h in zip(references, hypotheses)]
    return np.array([Levenshtein.distance(r, h) for r, h in units], float), np.array([len(r) for r, _ in units])


def _check_pairs(references: Sequence, hypotheses: Sequence) -> None:
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references, but {len(hypotheses)} hypotheses")
    if len(references) == 0:
        raise ValueError("no lines to compare")
