"""hwrlib.models.diagnosis: confusions, reliability and accepted fractions worked by hand."""

import numpy as np
import pytest

from hwrlib.charset import Charset
from hwrlib.models.diagnosis import (
    accepted_fraction,
    calibration_error,
    confusion_matrix,
    exact_among_surest,
    reliability,
    unwritable_fraction,
)


def test_confusions_by_hand():
    table = confusion_matrix(["ANNE", "LEO", "ON"], ["AMME", "LE", "OON"])  # N -> M twice, O missed, O invented
    assert table.index.tolist() == table.columns.tolist() == ["M", "N", "O", ""]
    assert table.loc["N", "M"] == 2 and table.loc["O", ""] == 1 and table.loc["", "O"] == 1
    assert table.to_numpy().sum() == 4
    assert confusion_matrix(["ANNE", "LEO", "ON"], ["AMME", "LE", "OON"], most=1).shape == (2, 2)


def test_no_confusions():
    assert confusion_matrix(["A"], ["A"]).to_numpy().sum() == 0


def test_share_of_characters_that_cannot_be_written():
    assert unwritable_fraction(["NOÉ", "LÉA"], Charset("NOLA")) == pytest.approx(2 / 6)
    assert unwritable_fraction(["NO"], Charset("NO")) == unwritable_fraction([""], Charset("NO")) == 0


def test_reliability_by_hand():
    bins = reliability([0.9, 0.1, 0.7, 0.3], [True, False, True, True], bins=2)
    assert [tuple(part) for part in bins] == [(pytest.approx(0.2), 0.5, 2), (pytest.approx(0.8), 1.0, 2)]
    assert sum(part.lines for part in reliability([0.5] * 7, [True] * 7, bins=10)) == 7


def test_exact_among_the_surest_by_hand():
    shares = exact_among_surest([0.2, 0.9, 0.5], [True, True, False])
    assert shares.tolist() == pytest.approx([1, 1 / 2, 2 / 3])


def test_calibration_error_by_hand():
    bins = reliability([0.9, 0.1, 0.7, 0.3], [True, False, True, True], bins=2)  # off by 0.3 and by 0.2
    assert calibration_error(bins) == pytest.approx(0.25)
    assert calibration_error(reliability([1.0, 0.0], [True, False], bins=2)) == calibration_error([]) == 0


def test_accepted_fraction_by_hand():
    shares = np.array([1, 1, 2 / 3, 3 / 4, 4 / 5])
    assert accepted_fraction(shares, exact=0.8) == 1 and accepted_fraction(shares, exact=0.9) == 2 / 5
    assert accepted_fraction(np.array([0.0, 0.5])) == 0
