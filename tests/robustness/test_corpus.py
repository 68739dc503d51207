"""Every kind of bad input is read, skipped with a reason, or rejected with a clear message: see `corpus.py`."""

import pickle

import pytest
from corpus import CASES, RAN, Malicious, as_expected, outcome_of

import hwrlib


@pytest.mark.parametrize("each", CASES, ids=[f"{case.kind}: {case.name}" for case in CASES])
def test_bad_input(each, tmp_path):
    outcome = outcome_of(each, tmp_path)
    assert as_expected(each, outcome), outcome
    assert not hasattr(hwrlib, "ran")  # what a malicious pickle would leave


def test_the_malicious_pickle_would_run_if_it_were_loaded(monkeypatch):
    monkeypatch.setattr(hwrlib, "ran", None, raising=False)
    pickle.loads(pickle.dumps(Malicious()))
    assert hwrlib.ran == RAN
