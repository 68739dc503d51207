"""The shipped recogniser."""

import pytest

from hwrlib import Recognizer


@pytest.fixture(scope="module")
def names():
    return Recognizer.pretrained("names")
