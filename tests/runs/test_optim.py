"""Muon: what it does to a matrix, which weights it takes, and that it learns."""

import pytest
import torch

from hwrlib.model import CRNN
from hwrlib.runs.config import TrainConfig
from hwrlib.runs.optim import Muon, build_optimizers, hidden_matrices, orthogonalise


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 24, 100), (2, 100, 24)])
def test_orthogonalise_keeps_directions_and_evens_their_lengths(shape):
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    evened = u.mT @ orthogonalise(matrices) @ vh.mT  # diagonal: the same directions
    values = evened.diagonal(dim1=1, dim2=2)
    rank = values.shape[1]
    assert values[:, : rank // 2].min() > 0.6 and values.max() < 1.3  # the smallest of a square matrix may lag behind
    assert (evened - torch.diag_embed(values)).abs().max() < 0.001


def test_orthogonalise_of_zeros_is_zeros():
    assert orthogonalise(torch.zeros(1, 4, 6)).abs().max() == 0


def test_muon_takes_the_hidden_matrices_alone():
    model = CRNN(10, width=8, hidden=16)
    names = {name for name, weight in model.named_parameters() for matrix in hidden_matrices(model) if weight is matrix}
    assert names == (
        {f"cnn.stage{stage}.0.conv{n}.weight" for stage in (1, 2, 3) for n in (1, 2)}
        | {"cnn.stage2.0.project.weight", "cnn.stage3.0.project.weight"}
        | {
            f"rnn.{way}.{layer}.weight_{part}_l0"
            for way in ("forwards", "backwards")
            for layer in (0, 1)
            for part in ("ih", "hh")
        }
    )
    muon, adamw = build_optimizers(TrainConfig(), model)
    assert {id(weight) for weight in muon.param_groups[0]["params"]} == {id(weight) for weight in hidden_matrices(model)}
    taken = [parameter for optimizer in (muon, adamw) for parameter in optimizer.param_groups[0]["params"]]
    assert len(taken) == len(list(model.parameters())) == len({id(parameter) for parameter in taken})


def test_adamw_takes_all_weights():
    model = CRNN(10, width=8, hidden=16)
    (adamw,) = build_optimizers(TrainConfig(optimizer="adamw"), model)
    assert sum(weight.numel() for weight in adamw.param_groups[0]["params"]) == sum(w.numel() for w in model.parameters())


def test_a_step_has_the_size_of_the_learning_rate_whatever_the_gradients_is():
    weight = torch.nn.Parameter(torch.randn(8, 4, 3, 3))
    before = weight.detach().clone()
    optimizer = Muon([weight], lr=0.01)
    for scale in (1e-4, 1e4):
        with torch.no_grad():
            weight.copy_(before)
        optimizer.state.clear()
        weight.grad = torch.randn(before.shape) * scale
        optimizer.step()
        moved = (weight.detach() - before).square().mean().sqrt()
        assert 0.1 < moved / 0.01 < 0.3  # AdamW's root mean square is 0.2


def test_going_on_from_a_saved_state_changes_nothing(tmp_path):
    def run(save_at):
        torch.manual_seed(0)
        layer = torch.nn.Sequential(
            torch.nn.Conv2d(2, 4, 3, bias=False), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 3, False)
        )
        optimizer = Muon(layer.parameters(), lr=0.01, weight_decay=0.1)
        images = torch.randn(8, 2, 8, 8)
        for step in range(6):
            layer(images).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            if step == save_at:
                torch.save(optimizer.state_dict(), tmp_path / "state.pth")
                optimizer = Muon(layer.parameters(), lr=0.5, weight_decay=0.5)
                optimizer.load_state_dict(torch.load(tmp_path / "state.pth", weights_only=True))
        return layer.state_dict()

    straight, resumed = run(None), run(2)
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


def test_it_learns():
    torch.manual_seed(0)
    model = CRNN(10, width=8, hidden=16, dropout=0.0)
    images, targets = torch.rand(8, 1, 16, 64), torch.randint(1, 10, (8, 5))
    widths, lengths = torch.full((8,), 64), torch.full((8,), 5)
    optimizers, losses = build_optimizers(TrainConfig(learning_rate=0.003), model), []
    for _ in range(60):
        losses.append(torch.nn.functional.ctc_loss(model(images, widths).log_probs, targets, widths // 4, lengths))
        losses[-1].backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    assert losses[-1] < losses[0] / 2
