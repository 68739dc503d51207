"""hwrlib.runs.pages: the training of the network that finds lines."""

import pytest
import torch

from hwrlib.runs.pages import averaged_weights, train


def test_training_resumes_to_the_same_weights(register, tmp_path):
    pages = [register]
    train(pages, tmp_path / "once.pth", steps=3, every=1, batch=2)
    with pytest.raises(KeyboardInterrupt):
        train(pages, tmp_path / "twice.pth", steps=3, every=1, batch=2, on_step=interrupt_at(1))
    train(pages, tmp_path / "twice.pth", steps=3, every=1, batch=2)
    once, twice = (averaged_weights(tmp_path / f"{name}.pth") for name in ("once", "twice"))
    assert all(torch.equal(once[name], twice[name]) for name in once)


def interrupt_at(step):
    def stop(number, value):
        if number == step:
            raise KeyboardInterrupt

    return stop
