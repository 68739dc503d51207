"""Damaged files that hypothesis makes and shrinks; `python tests/robustness/fuzz.py` tries many more."""

import pytest
from fuzz import READERS, damaged, survives
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as some

SHARE = some.floats(0, 1, allow_subnormal=False)   # torch has the processor treat subnormal numbers as zero
EDIT = some.tuples(SHARE, some.integers(0, 2), some.integers(0, 255))


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=150, deadline=None, derandomize=True, database=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(which=some.integers(0, 99), edits=some.lists(EDIT, max_size=20), cut=some.one_of(some.just(1.0), SHARE))
@example(which=0, edits=[], cut=1.0)
def test_damaged_files_are_read_or_refused(name, which, edits, cut):
    reader, sound = READERS[name]
    survives(reader, damaged(sound[which % len(sound)], edits, cut))


@pytest.mark.parametrize("name", ["table", "corrections", "image", "archive", "checkpoint"])
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(data=some.binary(max_size=300))
def test_any_bytes_are_read_or_refused(name, data):
    survives(READERS[name][0], data)


@pytest.mark.parametrize("name", READERS)
def test_sound_files_are_read(name):
    reader, sound = READERS[name]
    assert survives(reader, sound[-1])
