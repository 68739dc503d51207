"""hwrlib.live.watch: a training that is watched."""

from types import SimpleNamespace

import torch

from hwrlib.live.watch import Snapshot, Watch, spread_out
from hwrlib.models.checkpoint import load_safely
from hwrlib.runs.fit import fit
from hwrlib.sets.dataset import LineDataset


def test_letters_appear_while_a_network_is_trained_and_change_nothing(tiny, drawn_set, tmp_path):
    samples = [LineDataset(drawn_set, "validation", tiny().normalisation)[i] for i in range(3)]
    watch, plain = Watch(samples), fit(tiny(), tmp_path / "plain")
    watched = fit(tiny(), tmp_path / "watched", on_step=watch)
    assert watched.history["train_loss"].equals(plain.history["train_loss"])
    weights = [load_safely(run.folder / "best_model.pth")["model"] for run in (plain, watched)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert len(watch.snapshots) >= 2 and watch.snapshots[0].texts == ["", "", ""]
    assert [snapshot.step for snapshot in watch.snapshots] == sorted({snapshot.step for snapshot in watch.snapshots})


def test_watching_waits_for_fifty_times_as_long_as_it_took(monkeypatch):
    clock = iter([0.0, 0.1, 0.2, 5.0, 5.2, 5.3, 15.1, 15.2])
    watch = Watch([])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    monkeypatch.setattr(Watch, "_read", lambda self, training: [])
    training = SimpleNamespace(batch=2, losses=[0.0] * 5)
    taken = []
    for _ in range(5):
        watch(training)
        taken.append(len(watch.snapshots))
    assert taken == [1, 1, 2, 2, 3]


def test_snapshots_are_spread_out_by_factors():
    snapshots = [Snapshot(step, []) for step in range(1, 1001)]
    assert [snapshot.step for snapshot in spread_out(snapshots, 4)] == [1, 10, 100, 1000]
    assert spread_out(snapshots[:3], 4) == snapshots[:3]
