"""Learning rates over a training, and the average of its weights."""

import pytest
import torch

from hwrlib.runs.optim import ema_update, learning_rate_at


def test_learning_rate_rises_and_falls():
    cosine = [learning_rate_at(step, total=100, warmup=0.1, schedule="cosine") for step in range(101)]
    assert cosine[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert cosine[10] == 1 and cosine[55] == pytest.approx(0.5) and cosine[100] == pytest.approx(0)
    assert all(a >= b for a, b in zip(cosine[10:], cosine[11:]))
    assert [learning_rate_at(step, total=100, warmup=0.0, schedule="constant") for step in (0, 50, 99)] == [1, 1, 1]


def test_moving_average():
    update, averaged, current = ema_update(0.9), [torch.zeros(3)], [torch.ones(3)]
    update(averaged, current, torch.tensor(0))
    assert averaged[0].tolist() == pytest.approx([0.9] * 3)  # young: the average is quick to follow
    update(averaged, [torch.zeros(3)], torch.tensor(10_000))
    assert averaged[0].tolist() == pytest.approx([0.81] * 3)  # old: it keeps nine tenths
    counters = [torch.tensor(3)]
    update(counters, [torch.tensor(7)], torch.tensor(5))
    assert counters[0] == 7
