"""hwrlib.models.transfer: a model that starts from another one reads as that one did."""

import pytest
import torch

from hwrlib.charset import Charset
from hwrlib.images import Normalisation
from hwrlib.model import CRNN
from hwrlib.models.checkpoint import load_model, save_model
from hwrlib.models.transfer import CLASS_LAYERS, load_initial, start_from


def test_a_model_starts_from_anothers_weights(saved):
    other = load_model(saved)[0].state_dict()
    model = CRNN(5, width=8, hidden=3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    start_from(load_initial(saved), model, Charset("BAXÉ"))  # B, A and É are known to the other as 3, 1 and 2
    for name, value in model.state_dict().items():
        if name.startswith(CLASS_LAYERS):
            assert torch.equal(value[[0, 1, 2, 4]], other[name][[0, 3, 1, 2]])
            assert torch.equal(value[3], before[name][3])
        else:
            assert torch.equal(value, other[name])


def test_weights_of_other_sizes_are_refused(saved):
    with pytest.raises(ValueError, match="start_from: the model of .*'hidden': 3.*'hidden': 2.*may be larger"):
        start_from(load_initial(saved), CRNN(4, width=8, hidden=2), Charset("AÉB"))
    with pytest.raises(ValueError, match="start_from: the model of .*'width': 8.*'width': 16"):
        start_from(load_initial(saved), CRNN(4, width=16, hidden=3), Charset("AÉB"))


def test_a_wider_lstm_reads_at_first_as_the_narrower_one(saved):
    charset = Charset("AÉB")
    model, other = CRNN(4, width=8, hidden=5).eval(), load_model(saved)[0].eval()
    start_from(load_initial(saved), model, charset)
    images, widths = torch.rand(2, 1, 40, 96), torch.tensor([96, 64])
    torch.testing.assert_close(model(images, widths).log_probs, other(images, widths).log_probs)
    model.train()(images, widths).log_probs.square().sum().backward()
    heard = model.classifier.weight.grad.view(4, 2, 5)[:, :, 3:]  # the new units of both directions
    assert (model.classifier.weight.view(4, 2, 5)[:, :, 3:] == 0).all() and (heard != 0).any()


@pytest.mark.parametrize("old, new", [(1, 2), (2, 3)])
def test_a_deeper_network_reads_at_first_as_the_shallower_one(tmp_path, old, new):
    charset, path = Charset("AÉB"), tmp_path / "shallow.pth"
    other = CRNN(4, width=8, depth=old, hidden=3).eval()
    for weight in other.cnn.parameters():
        torch.nn.init.normal_(weight, std=0.3)  # also in the blocks that begin as the identity
    save_model(path, model=other, charset=charset, normalisation=Normalisation(), config={}, metrics={})
    model = CRNN(4, width=8, depth=new, hidden=5).eval()
    start_from(load_initial(path), model, charset)
    images, widths = torch.rand(2, 1, 40, 96), torch.tensor([96, 64])
    torch.testing.assert_close(model(images, widths).log_probs, other(images, widths).log_probs)
    model.train()(images, widths).log_probs.square().sum().backward()
    added = [stage[old].norm2.weight for stage in (model.cnn.stage1, model.cnn.stage2, model.cnn.stage3)]
    assert all((scale == 0).all() and (scale.grad != 0).any() for scale in added)


def test_a_shallower_network_is_refused(tmp_path):
    path, model = tmp_path / "deep.pth", CRNN(4, width=8, depth=2)
    save_model(path, model=model, charset=Charset("AÉB"), normalisation=Normalisation(), config={}, metrics={})
    with pytest.raises(ValueError, match="'depth': 2.*'depth': 1.*may be larger"):
        start_from(load_initial(path), CRNN(4, width=8), Charset("AÉB"))
