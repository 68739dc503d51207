"""Where a recogniser goes wrong, and whether it knows: confusions, characters it lacks, the honesty of its confidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hwrlib.charset import Charset
from hwrlib.metrics import align

if TYPE_CHECKING:
    import pandas as pd


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
    import pandas as pd  # here, since the figures of this module's other results do without

    errors = Counter(
        (edit.reference, edit.hypothesis)
        for pair in zip(references, hypotheses)
        for edit in align(*pair)
        if edit.kind != "equal"
    )
    involved = Counter()
    for pair, count in errors.items():
        involved.update({character: count for character in pair if character})
    names = [*sorted(character for character, _ in involved.most_common(most)), ""]
    return pd.DataFrame(
        [[errors[reference, hypothesis] for hypothesis in names] for reference in names], index=names, columns=names
    )


class ConfidenceBin(NamedTuple):
    """Readings of similar confidence."""

    confidence: float  # their mean
    exact: float  # fraction of them that are right
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


def calibration_error(bins: Sequence[ConfidenceBin]) -> float:
    """Expected calibration error: how far the confidence of a bin is from the fraction that is right, on average.

    Source: Naeini, Cooper and Hauskrecht, *Obtaining Well Calibrated Probabilities Using Bayesian Binning* (2015).
    """
    lines = sum(part.lines for part in bins)
    return sum(part.lines * abs(part.confidence - part.exact) for part in bins) / max(lines, 1)


def accepted_fraction(exact_among_surest: np.ndarray, *, exact: float = 0.99) -> float:
    """The largest fraction of the readings, the most confident ones, of which `exact` are right; 0 if there is none."""
    enough = np.flatnonzero(np.asarray(exact_among_surest) >= exact)
    return (int(enough[-1]) + 1) / len(exact_among_surest) if len(enough) else 0.0


def exact_among_surest(confidences: Sequence[float], correct: Sequence[bool]) -> np.ndarray:
    """Fraction of right readings among the k most confident ones, for k = 1 … N: (N,) fractions."""
    order = np.argsort(-np.asarray(confidences, float), kind="stable")
    return np.cumsum(np.asarray(correct, float)[order]) / np.arange(1, len(order) + 1)
