"""hwrlib.common.progress: how far a long task is."""

import time

import pytest

from hwrlib.common.progress import Progress, duration


def test_progress_is_logged_once_a_minute(caplog, monkeypatch):
    caplog.set_level("INFO", "hwrlib")
    clock = iter([0, 30, 61, 90, 122])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    told = Progress("epoch 1/4", 200, done=100)
    for done in (110, 120, 130, 140):
        told.step(done, 16, 1.5)
    assert caplog.messages == [
        "epoch 1/4: batch 120 of 200, loss 1.500, 1 lines/s, 4 min left",
        "epoch 1/4: batch 140 of 200, loss 1.500, 1 lines/s, 3 min left",
    ]


@pytest.mark.parametrize("seconds, said", [(3.4, "3 s"), (59, "1 min"), (125, "2 min"), (7500, "2 h 05 min")])
def test_durations(seconds, said):
    assert duration(seconds) == said
