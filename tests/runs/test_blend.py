"""hwrlib.runs.blend: weights between those before and after a training."""

import pytest
import torch

from hwrlib.metrics import Scores
from hwrlib.models.checkpoint import load_model
from hwrlib.runs.blend import SHARES, blend, main
from hwrlib.runs.fit import fit
from hwrlib.train import Evaluation


@pytest.fixture(scope="module")
def tuned(run, tiny, tmp_path_factory):
    """A short training that starts from a finished one, and grows."""
    config = tiny(start_from=str(run.folder), epochs=1, depth=2, learning_rate=0.002)
    return fit(config, tmp_path_factory.mktemp("runs") / "tuned").folder


def test_half_of_the_initial_weights_is_the_mean_of_both(tuned):
    trained, *_ = load_model(tuned / "best_model.pth")
    initial, *_ = load_model(blend(tuned, 1)[0])
    half, charset, normalisation, about = load_model(blend(tuned, 0.5)[0])
    images, widths = torch.rand(1, 1, 16, 64), torch.tensor([64])
    for name, value in half.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (trained.state_dict()[name] + initial.state_dict()[name]) / 2)
    assert about["metrics"]["keep"] == 0.5 and charset.characters and normalisation.height == 16
    assert not torch.equal(half(images, widths).log_probs, trained(images, widths).log_probs)


def test_all_of_the_initial_weights_read_as_before_the_training(tuned, run):
    before, *_ = load_model(run.folder / "best_model.pth")
    initial, *_ = load_model(blend(tuned, 1)[0])
    images, widths = torch.rand(1, 1, 16, 64), torch.tensor([64])
    torch.testing.assert_close(initial(images, widths).log_probs, before(images, widths).log_probs)


def test_by_default_the_share_with_the_lowest_validation_cer_is_kept(tuned, monkeypatch):
    errors = dict(zip(SHARES, (0.2, 0.1, 0.05, 0.07, 0.3, 0.4)))
    rates = iter(errors.values())

    def evaluated(*_, **__) -> Evaluation:
        cer = next(rates)
        return Evaluation(2 * cer, Scores(cer, cer, 1 - cer, 24, 120, 0), [], [], [])

    monkeypatch.setattr("hwrlib.runs.blend.evaluate", evaluated)
    path, tried = blend(tuned)
    assert tried == errors
    found = {"validation_loss": 0.1, "validation_cer": 0.05, "validation_exact": 0.95, "keep": SHARES[2]}
    assert load_model(path)[3]["metrics"] == {"epoch": 1, **found}


def test_the_command_prints_what_it_tried(tuned, capsys):
    (tuned / "blended_model.lm").write_bytes(b"of an earlier blend")
    assert main([str(tuned), "--keep", "0.25"]) == 0
    assert "keep 0.25: validation CER" in (said := capsys.readouterr().out) and "blended_model.pth: written" in said
    assert not (tuned / "blended_model.lm").exists()


def test_what_cannot_be_blended_is_rejected(run, tuned, tmp_path, capsys):
    with pytest.raises(ValueError, match="best_model.pth: its training began with random weights"):
        blend(run.folder)
    with pytest.raises(ValueError, match="keep must be a number from 0 to 1, not 1.5"):
        blend(tuned, 1.5)
    assert main([str(tmp_path)]) == 2 and "no such checkpoint" in capsys.readouterr().err
