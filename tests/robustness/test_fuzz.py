"""Damaged files that hypothesis generates and shrinks; `python tests/robustness/fuzz.py` tries many more."""

import pytest
from fuzz import READERS, damaged, survives
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as some

FRACTION = some.floats(0, 1, allow_subnormal=False)  # torch makes the processor treat subnormal numbers as zero
EDIT = some.tuples(FRACTION, some.integers(0, 2), some.integers(0, 255))


@pytest.mark.parametrize("name", READERS)
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(which=some.integers(0, 99), edits=some.lists(EDIT, max_size=20), cut=some.one_of(some.just(1.0), FRACTION))
@example(which=0, edits=[], cut=1.0)
def test_damaged_files_are_read_or_refused(name, which, edits, cut):
    reader, intact = READERS[name]
    survives(reader, damaged(intact[which % len(intact)], edits, cut))


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(data=some.binary(max_size=300))
def test_any_bytes_are_read_or_refused(name, data):
    survives(READERS[name][0], data)


@pytest.mark.parametrize("name", READERS)
def test_intact_files_are_read(name):
    reader, intact = READERS[name]
    assert all(survives(reader, data) for data in intact)


@pytest.mark.parametrize("name", READERS)
def test_a_tenth_of_a_file_is_rejected(name):
    """The damage reaches what the reader looks at: without this, a reader that ignores its input would pass."""
    reader, intact = READERS[name]
    assert not survives(reader, damaged(intact[0], [], cut=0.1))
