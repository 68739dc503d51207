"""Every kind of bad input is read, skipped with a reason, or refused in a sentence; `python tests/robustness/corpus.py` tells all."""

import pytest
from corpus import CASES, outcome_of

import hwrlib


@pytest.mark.parametrize("each", CASES, ids=[f"{case.kind}: {case.name}" for case in CASES])
def test_bad_input(each, tmp_path):
    assert each.expected in outcome_of(each, tmp_path)
    assert not hasattr(hwrlib, "ran")       # what a malicious pickle would leave
