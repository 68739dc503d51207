"""Muon: what it does to a matrix, which weights it takes, and that it learns."""

import pytest
import torch

from hwrlib.model import CRNN
from hwrlib.optim import Muon, hidden_matrices, orthogonal


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 24, 100), (2, 100, 24)])
def test_orthogonal_keeps_directions_and_evens_their_lengths(shape):
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    evened = u.mT @ orthogonal(matrices) @ vh.mT              # diagonal: the same directions
    values = evened.diagonal(dim1=1, dim2=2)
    rank = values.shape[1]
    assert values[:, :rank // 2].min() > 0.6 and values.max() < 1.3   # the smallest of a square matrix may lag behind
    assert (evened - torch.diag_embed(values)).abs().max() < 0.001


def test_orthogonal_of_zeros_is_zeros():
    assert orthogonal(torch.zeros(1, 4, 6)).abs().max() == 0


def test_muon_takes_the_hidden_matrices_alone():
    model = CRNN(10, width=8, hidden=16)
    names = {name for name, weight in model.named_parameters() for matrix in hidden_matrices(model) if weight is matrix}
    assert names == ({f"cnn.{block}.conv{n}.weight" for block in (3, 4, 5) for n in (1, 2)}
                     | {"cnn.4.project.weight", "cnn.5.project.weight"}
                     | {f"rnn.{way}.{layer}.weight_{part}_l0" for way in ("forwards", "backwards") for layer in (0, 1)
                        for part in ("ih", "hh")})
    optimizer = Muon(model, lr=0.01, weight_decay=0.0)
    taken = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert len(taken) == len(list(model.parameters())) == len({id(parameter) for parameter in taken})


def test_a_step_has_the_size_of_the_learning_rate_whatever_the_gradients_is():
    layer = torch.nn.Sequential(torch.nn.Conv2d(4, 8, 3, bias=False), torch.nn.Conv2d(1, 1, 1))
    before = layer[0].weight.detach().clone()
    optimizer = Muon(layer, lr=0.01, weight_decay=0.0)
    for scale in (1e-4, 1e4):
        with torch.no_grad():
            layer[0].weight.copy_(before)
        optimizer.state.clear()
        layer[0].weight.grad = torch.randn(before.shape) * scale
        optimizer.step()
        moved = (layer[0].weight.detach() - before).square().mean().sqrt()
        assert 0.1 < moved / 0.01 < 0.3                               # AdamW's root mean square is 0.2


def test_going_on_from_a_saved_state_changes_nothing(tmp_path):
    def run(save_at):
        torch.manual_seed(0)
        layer = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 3))
        optimizer = Muon(layer, lr=0.01, weight_decay=0.1)
        images = torch.randn(8, 2, 8, 8)
        for step in range(6):
            layer(images).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            if step == save_at:
                torch.save(optimizer.state_dict(), tmp_path / "state.pth")
                optimizer = Muon(layer, lr=0.5, weight_decay=0.5)
                optimizer.load_state_dict(torch.load(tmp_path / "state.pth", weights_only=True))
        return layer.state_dict()

    straight, resumed = run(None), run(2)
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


def test_it_learns():
    torch.manual_seed(0)
    model = CRNN(10, width=8, hidden=16, dropout=0.0)
    images, targets = torch.rand(8, 1, 16, 64), torch.randint(1, 10, (8, 5))
    widths, lengths = torch.full((8,), 64), torch.full((8,), 5)
    optimizer, losses = Muon(model, lr=0.003, weight_decay=0.0), []
    for _ in range(60):
        losses.append(torch.nn.functional.ctc_loss(model(images, widths), targets, widths // 4, lengths))
        losses[-1].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0] / 2
