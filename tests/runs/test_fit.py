"""hwrlib.runs.fit: what a whole training leaves, and how it ends."""

import itertools
import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from hwrlib import train
from hwrlib.charset import Charset
from hwrlib.collate import eval_loader
from hwrlib.common.files import Busy
from hwrlib.models.checkpoint import load_model, load_safely
from hwrlib.models.recognizer import Recognizer
from hwrlib.runs.fit import fit, new_run_folder
from hwrlib.runs.state import MAX_BAD_STEPS
from hwrlib.sets.dataset import LineDataset
from hwrlib.train import evaluate

CHARSET = Charset("AELNOZ")


def weights_of(path) -> list[torch.Tensor]:
    return list(load_safely(path)["model"].values())


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b))


def test_the_baseline_trains_too(tiny, tmp_path):
    run = fit(
        tiny(model="baseline", height=64, max_width=64, min_width=64, epochs=2, train_limit=12, learning_rate=0.001),
        tmp_path,
    )
    assert run.history["train_loss"].iloc[1] < run.history["train_loss"].iloc[0]
    model, *_ = load_model(run.folder / "best_model.pth")
    assert model.arguments == {"num_classes": len(CHARSET), "architecture": "baseline"}


def test_a_run_learns_to_read(run):
    losses = run.history["train_loss"]
    assert losses.iloc[-1] < 0.1 * losses.iloc[0] and run.best_cer < 0.1


def test_a_training_may_start_from_another(run, tiny, tmp_path):
    further = fit(tiny(start_from=str(run.folder), epochs=1, learning_rate=0.001), tmp_path)
    assert further.history["train_loss"].iloc[0] < 0.2 * run.history["train_loss"].iloc[0]
    assert further.best_cer <= 2 * run.best_cer + 0.02


def test_further_data_sets_are_mixed_in(tiny, write_split, tmp_path):
    write_split(tmp_path / "more", "train", ["WE"] * 10)
    write_split(tmp_path / "extra", "train", ["OH", "A" * 30, "HA", "LO"] + ["EH"] * 20)  # AAA…: longer than its image
    run = fit(tiny(epochs=1, batch_size=1, extra_data=f"{tmp_path / 'extra'}, {tmp_path / 'more'}"), tmp_path / "run")
    losses = pd.read_csv(run.folder / "losses.csv")
    assert len(losses) == 96 + 23 + 10  # batches of one: every line of the three sets but the long one
    assert {"H", "W"} <= set(Recognizer.from_checkpoint(run.folder / "best_model.pth").charset.characters)


def test_a_run_leaves_its_files(run, tiny):
    names = {path.name for path in run.folder.iterdir()}
    assert names >= {"best_model.pth", "best_model.lm", "resume.pth", "config.json", "train.log", "tensorboard"}
    assert names >= {"history.csv", "losses.csv"}
    assert {name for name in names if name.startswith("epoch_")} == {
        f"epoch_{epoch}_model_checkpoint.pth" for epoch in (14, 15, 16)
    }  # the last three are kept
    assert not any(name.endswith(".partial") for name in names) and any((run.folder / "tensorboard").iterdir())
    assert json.loads((run.folder / "config.json").read_text(encoding="utf-8")) == tiny().as_dict()


def test_its_tables_hold_every_batch_and_every_epoch(run):
    history, losses = pd.read_csv(run.folder / "history.csv"), pd.read_csv(run.folder / "losses.csv")
    assert history["epoch"].tolist() == list(range(1, 17)) and history["step"].tolist() == list(range(16, 257, 16))
    assert losses["step"].tolist() == list(range(1, 257)) and losses["loss"].notna().all()
    assert history["train_loss"].iloc[2] == pytest.approx(losses["loss"].iloc[32:48].mean())
    assert set(run.history) == set(history) and history["validation_cer"].min() == pytest.approx(run.best_cer)


def test_the_best_model_is_the_one_with_the_lowest_cer(run, tiny):
    model, charset, normalisation, about = load_model(run.folder / "best_model.pth")
    assert about["metrics"]["validation_cer"] == run.best_cer and charset == CHARSET
    dataset = LineDataset(tiny().data, "validation", normalisation)
    evaluation = evaluate(model, eval_loader(dataset, charset), charset)
    assert evaluation.scores.cer == pytest.approx(run.best_cer) and len(evaluation.names) == 24
    assert evaluation.loss == pytest.approx(about["metrics"]["validation_loss"], rel=1e-4)


def test_the_seed_decides_the_weights(tiny, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        fit(tiny(epochs=1, train_limit=24, dropout=0.2, augment=1.0, seed=seed), tmp_path / name)
    a, b, c = (weights_of(tmp_path / name / "best_model.pth") for name in "abc")
    assert same(a, b) and not same(a, c)


def test_every_precision_in_one_process(tiny, tmp_path):
    for precision in ("fp32", "bf16", "auto", "fp32"):
        run = fit(tiny(epochs=1, train_limit=16, precision=precision), tmp_path / f"{precision}-{len(os.listdir(tmp_path))}")
        assert np.isfinite(run.history["train_loss"]).all()
    assert same(*(weights_of(folder / "best_model.pth") for folder in sorted(tmp_path.glob("fp32-*"))))


def test_patience_ends_a_run_that_gets_no_better(tiny, tmp_path):
    run = fit(tiny(epochs=9, patience=2, train_limit=16, learning_rate=1e-9), tmp_path)
    assert len(run.history) == 3


def test_a_rejected_resume_changes_nothing(tiny, tmp_path):
    fit(tiny(epochs=1, train_limit=12), tmp_path)
    before = (tmp_path / "config.json").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="hidden: 32 then, 16 now"):
        fit(tiny(epochs=1, train_limit=12, hidden=16), tmp_path, resume=True)
    assert (tmp_path / "config.json").read_text(encoding="utf-8") == before


def test_a_second_training_in_a_folder_stops_at_once_and_writes_nothing(tiny, tmp_path, held_by_another_process):
    with held_by_another_process(tmp_path / "run"), pytest.raises(Busy, match="run: another process is writing there"):
        fit(tiny(), tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("resume", ["false", 0, None])
def test_resume_is_true_or_false_and_nothing_like_it(tiny, tmp_path, resume):
    with pytest.raises(ValueError, match="resume must be True or False, not"):
        fit(tiny(), tmp_path / "run", resume=resume)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("knob", ["start_from", "corrections", "extra_data", "language_text", "validation"])
def test_a_missing_file_is_named_before_anything_is_done(tiny, tmp_path, write_split, knob):
    write_split(tmp_path / "set", "train", ["LEA"] * 4)
    if knob != "validation":
        write_split(tmp_path / "set", "validation", ["LEA"] * 4)
    missing = {} if knob == "validation" else {knob: str(tmp_path / "missing")}
    with pytest.raises(FileNotFoundError, match="validation.csv" if knob == "validation" else "missing"):
        fit(tiny(data=str(tmp_path / "set"), **missing), tmp_path / "run")
    assert not (tmp_path / "run").exists() and not (tmp_path / "set" / ".cache").exists()


def test_a_folder_removed_in_the_middle_is_made_again(tiny, tmp_path):
    def remove(history):
        if len(history) == 2:
            shutil.rmtree(tmp_path / "run")

    config = tiny(epochs=4, learning_rate=1e-9)  # no epoch after the first is better
    run = fit(config, tmp_path / "run", on_epoch=remove)
    assert len(run.history) == 4 and len(pd.read_csv(run.folder / "history.csv")) == 4
    assert load_safely(run.folder / "best_model.pth")["metrics"]["epoch"] in (3, 4)
    assert {path.name for path in run.folder.iterdir()} >= {"config.json", "resume.pth", "losses.csv", "tensorboard"}


def test_a_training_keeps_the_cache_it_has_opened(tiny, tmp_path, write_split, monkeypatch):
    for split in ("train", "validation"):
        write_split(tmp_path / "set", split, ["LEA", "NOE"] * 6)
    real = train.train_step
    monkeypatch.setattr(
        train, "train_step", lambda *step: shutil.rmtree(tmp_path / "set" / ".cache", ignore_errors=True) or real(*step)
    )
    assert len(fit(tiny(data=str(tmp_path / "set"), epochs=1), tmp_path / "run").history) == 1


def test_a_folder_with_a_training_is_not_overwritten(run, tiny):
    with pytest.raises(FileExistsError, match="a training was started here already; set resume"):
        fit(tiny(), run.folder)


def test_the_log_tells_every_epoch(run):
    log = (run.folder / "train.log").read_text(encoding="utf-8").splitlines()
    lines = [line for line in log if "epoch" in line and "CER" in line]
    assert "language model: validation CER" in log[-1]
    assert len(lines) == 16 and "epoch 16/16: train loss" in lines[-1] and "0 s left" in lines[-1]


def test_new_run_folders_are_named_for_the_time_and_never_shared(tmp_path):
    folders = [new_run_folder(tmp_path / "runs") for _ in range(2)]
    assert all(folder.match("runs/run_[0-9]*_[0-9]*_checkpoints") and folder.is_dir() for folder in folders)
    assert folders[0] != folders[1]


# Numbers that go wrong -----------------------------------------------------------------------------------------------


def spoil(monkeypatch, is_bad) -> None:
    """Make the loss of the batches with these numbers not a number."""
    real, calls = train.ctc_loss, itertools.count()  # two calls per batch: the shortcut head has a loss of its own
    monkeypatch.setattr(
        train, "ctc_loss", lambda *arguments: real(*arguments) * (float("nan") if is_bad(next(calls) // 2) else 1)
    )


def test_many_bad_batches_stop_the_training(tiny, tmp_path, monkeypatch):
    spoil(monkeypatch, lambda number: number >= 5)
    with pytest.raises(FloatingPointError, match=rf"{MAX_BAD_STEPS} batches in a row.*TRAIN_\d+.png.*learning_rate"):
        fit(tiny(epochs=5, batch_size=4), tmp_path)
    assert not (tmp_path / "epoch_2_model_checkpoint.pth").exists()


def test_skipped_batches_are_counted(tiny, tmp_path, monkeypatch):
    spoil(monkeypatch, lambda number: number in (1, 4, 20))
    history = fit(tiny(epochs=2), tmp_path).history
    assert history["skipped_batches"].tolist() == [2, 1]


def test_the_all_blank_plateau_is_reported(tiny, tmp_path, caplog):
    fit(tiny(epochs=1, width=8, hidden=8), tmp_path)
    said = caplog.text
    assert "epoch 1: every validation line is read as empty" in said and "shortcut: 0.3" in said


# Several processes ---------------------------------------------------------------------------------------------------

PROGRAM = """
import json, sys
import torch
from hwrlib.runs import fit, state
from hwrlib import train
from hwrlib.runs.config import TrainConfig

trainings, start = [], fit.new_training
fit.new_training = lambda *arguments, **named: trainings.append(start(*arguments, **named)) or trainings[-1]
ctc_loss = train.ctc_loss        # of which that of the second batch in one of the processes goes wrong
train.ctc_loss = lambda *arguments: ctc_loss(*arguments) * (
    float("nan") if trainings[0].accelerator.process_index == len(trainings[0].losses) == 1 else 1)
fit.fit(TrainConfig.from_yaml(sys.argv[1]), sys.argv[2])
accelerator, model = trainings[0].accelerator, trainings[0].plain_model
with open(f"{sys.argv[2]}/process_{accelerator.process_index}.json", "w") as file:
    json.dump({"processes": accelerator.num_processes, "losses": trainings[0].losses,
               "bad": [step for step, loss in enumerate(trainings[0].losses) if loss != loss],
               "weights": [parameter.double().sum().item() for parameter in model.parameters()],
               "steps": trainings[0].schedulers[0].last_epoch}, file)
"""


def test_two_processes_make_one_training(tiny, tmp_path, write_split, launch):
    folder = tmp_path / "fresh"  # a set without a cache: both processes come to build it
    for split, count in (("train", 40), ("validation", 4)):
        write_split(folder, split, ["LEA", "NOEL"] * (count // 2))
    config = tiny(data=str(folder), batch_size=8, epochs=2, augment=0.5)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.as_dict()), encoding="utf-8")
    status, messages = launch(PROGRAM, tmp_path / "config.yaml", tmp_path / "run")
    assert status == 0, messages[-3000:]
    first, second = (json.loads((tmp_path / f"run/process_{index}.json").read_text()) for index in (0, 1))
    assert first["processes"] == second["processes"] == 2
    assert first["weights"] == second["weights"]  # the gradients were averaged
    assert first["losses"] != second["losses"]  # of different batches
    assert (first["bad"], second["bad"]) == ([], [1])
    assert first["steps"] == 5  # 5 batches in two epochs: 3 steps each, of which both skipped one
    assert len(pd.read_csv(tmp_path / "run/history.csv")) == 2 and (tmp_path / "run/best_model.pth").is_file()


def test_the_initial_model_is_loaded_once_and_the_trained_one_not_at_all(run, tiny, tmp_path, monkeypatch):
    loaded = []

    def load(path, **options):
        loaded.append(path)
        return load_model(path, **options)

    for module in ("transfer", "checkpoint"):
        monkeypatch.setattr(f"hwrlib.models.{module}.load_model", load)
    fit(tiny(start_from=str(run.folder), epochs=1, language_order=3), tmp_path / "run")
    assert loaded == [run.folder / "best_model.pth"] and (tmp_path / "run" / "best_model.lm").is_file()
