"""hwrlib.train: one batch memorised, one step spelled out, and numbers that go wrong."""

import itertools

import numpy as np
import pytest
import torch

from hwrlib import train
from hwrlib.charset import Charset
from hwrlib.collate import eval_loader, train_loader
from hwrlib.ctc import ctc_loss
from hwrlib.models.checkpoint import load_model
from hwrlib.runs.optim import build_optimizers
from hwrlib.runs.state import Training, build_model, new_training
from hwrlib.sets.dataset import LineDataset
from hwrlib.train import evaluate, train_one_epoch, train_step

CHARSET = Charset("AELNOZ")


def begun(config, count: int | None = None) -> tuple[Training, object]:
    """A training at its beginning and its loader, on the first `count` lines."""
    dataset = LineDataset(config.data, "train", config.normalisation)
    dataset.select(np.arange(count or len(dataset)), "for this test")
    loader = train_loader(dataset, CHARSET, batch_size=config.batch_size, seed=config.seed)
    training = new_training(config, CHARSET, len(loader))
    return training, training.accelerator.prepare(loader)


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b))


# Learning ------------------------------------------------------------------------------------------------------------


def test_one_batch_is_learnt_by_heart(tiny):
    config = tiny(batch_size=8, ema=0.0, epochs=150, schedule="constant")
    training, loader = begun(config, count=8)
    for _ in range(config.epochs):
        train_one_epoch(training, loader)
        training.epoch, training.batch = training.epoch + 1, 0
        if training.losses[-1] < 0.03:
            break
    evaluation = evaluate(training.best_model, eval_loader(loader.dataset, CHARSET), CHARSET)
    assert evaluation.scores.cer == 0 and evaluation.hypotheses == evaluation.references
    assert len(training.losses) == training.epoch and training.losses[0] > 2


def test_evaluation_does_not_depend_on_the_batches(run, tiny):
    model, charset, normalisation, _ = load_model(run.folder / "best_model.pth")
    dataset = LineDataset(tiny().data, "validation", normalisation)
    alone, together = (evaluate(model, eval_loader(dataset, charset, batch_size=size), charset) for size in (1, 64))
    assert alone.hypotheses == together.hypotheses and alone.loss == pytest.approx(together.loss, rel=0.05)


def test_accumulation_steps_once_for_several_batches(tiny):
    training, loader = begun(tiny(batch_size=8, accumulation=3, epochs=2), count=56)  # 7 batches: 3 + 3 + 1
    stepped = []
    real = training.update_weights
    training.update_weights = lambda: stepped.append(training.batch + 1) or real()
    train_one_epoch(training, loader)
    assert stepped == [3, 6, 7] and [s.last_epoch for s in training.schedulers] == [3, 3] and len(training.losses) == 7


def test_accumulated_batches_weigh_as_one_large_batch(tiny):
    changes = dict(augment=0.0, model="baseline", height=64, ema=0.0, clip_norm=0.0)  # no batch normalisation
    weights = []
    for size, accumulation in ((8, 1), (4, 2)):
        training, loader = begun(tiny(batch_size=size, accumulation=accumulation, **changes), count=8)
        train_one_epoch(training, loader)
        weights.append(torch.cat([parameter.detach().flatten() for parameter in training.plain_model.parameters()]))
    start_weights = torch.cat([p.detach().flatten() for p in build_model(tiny(**changes), len(CHARSET)).parameters()])
    moves = [w - start_weights for w in weights]
    assert torch.nn.functional.cosine_similarity(*moves, dim=0) > 0.98


def test_a_step_is_what_the_lesson_spells_out(tiny):
    """`train_step` moves the weights as plain PyTorch does."""
    config = tiny(ema=0.0, augment=0.0)
    training, loader = begun(config, count=6)
    batch = next(iter(loader))
    model = build_model(config, len(CHARSET)).train()
    optimizers = build_optimizers(config, model)
    log_probs, input_lengths, shortcut = model(batch.images, batch.image_widths)
    loss = ctc_loss(log_probs, batch, input_lengths).mean() + 0.3 * ctc_loss(shortcut, batch, input_lengths).mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    for optimizer in optimizers:
        optimizer.param_groups[0]["lr"] = training.schedulers[0].get_last_lr()[0]
        optimizer.step()
    training.model.train()
    assert float(train_step(training, batch)) == loss.item()
    assert same(list(training.plain_model.parameters()), list(model.parameters()))


def test_characters_never_trained_count_as_errors(run, tmp_path, write_split):
    model, charset, normalisation, _ = load_model(run.folder / "best_model.pth")
    write_split(tmp_path, "validation", ["ÉÉ", "LEO", "É"])
    dataset = LineDataset(tmp_path, "validation", normalisation)
    for batch_size in (1, 3):
        evaluation = evaluate(model, eval_loader(dataset, charset, batch_size=batch_size), charset)
        assert evaluation.scores.characters == 6 and evaluation.scores.cer >= 0.5
        assert sorted(evaluation.references) == ["LEO", "É", "ÉÉ"]


# Numbers that go wrong -----------------------------------------------------------------------------------------------


def spoil(monkeypatch, is_bad) -> None:
    """Make the loss of the batches with these numbers not a number."""
    real, calls = train.ctc_loss, itertools.count()  # two calls per batch: the shortcut head has a loss of its own
    monkeypatch.setattr(
        train, "ctc_loss", lambda *arguments: real(*arguments) * (float("nan") if is_bad(next(calls) // 2) else 1)
    )


def test_a_bad_batch_is_skipped(tiny, monkeypatch):
    spoil(monkeypatch, lambda number: number == 1)
    training, loader = begun(tiny(), count=18)
    weights = []
    real = train.train_step

    def watched(training, batch):
        loss = real(training, batch)
        weights.append([parameter.detach().clone() for parameter in training.plain_model.parameters()])
        return loss

    monkeypatch.setattr(train, "train_step", watched)
    loss = train_one_epoch(training, loader)
    assert np.isfinite(training.losses).tolist() == [True, False, True] and (
        training.bad_steps,
        training.skipped_batches,
    ) == (0, 1)
    assert same(weights[0], weights[1]) and not same(weights[1], weights[2])
    assert loss == pytest.approx(np.nanmean(training.losses))


def test_an_overflow_in_one_gradient_moves_no_weight(tiny):
    """In fp16 the scaler judges each optimizer for itself; clipping would spread a NaN from one to the other."""
    training, loader = begun(tiny(precision="fp16", epochs=3), count=18)
    training.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    batches = iter(loader)
    before = [parameter.detach().clone() for parameter in training.plain_model.parameters()]
    matrix = training.optimizers[0].param_groups[0]["params"][0]
    handle = matrix.register_hook(lambda gradient: gradient * float("nan"))
    training.model.train()
    train_step(training, next(batches))
    handle.remove()
    assert same(before, list(training.plain_model.parameters())) and training.scaler.get_scale() == 512
    train_step(training, next(batches))
    after = list(training.plain_model.parameters())
    assert not same(before, after) and all(parameter.isfinite().all() for parameter in after)


def test_a_bad_batch_keeps_the_gradients_accumulated_before_it(tiny, monkeypatch):
    norms = []
    for bad in ((), (1,)):
        spoil(monkeypatch, lambda number, bad=bad: number in bad)
        training, loader = begun(tiny(accumulation=3), count=18)
        real = training.update_weights
        monkeypatch.setattr(
            training, "update_weights", lambda t=training, real=real: (norms.append(gradient_norm(t)), real())
        )
        train_one_epoch(training, loader)
        monkeypatch.undo()
    assert len(norms) == 2 and norms[1] > 0.2 * norms[0]


def gradient_norm(training: Training) -> float:
    gradients = [p.grad.norm() for p in training.plain_model.parameters() if p.grad is not None]
    return float(torch.stack(gradients).norm())


def test_an_epoch_trains_a_model_that_was_evaluated_before(tiny):
    training, loader = begun(tiny(), count=16)
    training.model.eval()
    train_one_epoch(training, loader)
    assert training.model.training


def test_a_label_that_does_not_fit_its_image_does_not_count_in_the_loss(run, tiny):
    model, charset, normalisation, _ = load_model(run.folder / "best_model.pth")
    dataset = LineDataset(tiny().data, "validation", normalisation)
    dataset.select(np.arange(8), "for this test")
    loader = eval_loader(dataset, charset)
    before = evaluate(model, loader, charset)
    dataset.texts[0] = "LEO" * 40
    after = evaluate(model, loader, charset)
    assert np.isfinite(after.loss) and after.loss == pytest.approx(before.loss, abs=before.loss)
    assert after.scores.cer > before.scores.cer
