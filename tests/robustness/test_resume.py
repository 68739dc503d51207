"""A training that was killed and resumed ends with the same weights, bit for bit, as an undisturbed one."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from hwrlib.models.checkpoint import load_safely
from hwrlib.runs.config import TrainConfig
from hwrlib.runs.fit import fit

EVERY_STEP = 1e-9  # minutes between two saved states
MEASURED = ["seconds", "images_per_second"]  # columns of the history that differ between any two runs


@pytest.fixture(scope="module")
def config(tiny) -> TrainConfig:
    """Everything random is on, and 11 batches per epoch leave an incomplete accumulation at its end."""
    return tiny(
        epochs=2,
        batch_size=5,
        accumulation=2,
        dropout=0.2,
        augment=1.0,
        ema=0.95,
        checkpoint_minutes=EVERY_STEP,
        train_limit=53,
    )


@pytest.fixture(scope="module")
def undisturbed(config, tmp_path_factory) -> Path:
    """The folder of a training that nothing disturbed."""
    return fit(config, tmp_path_factory.mktemp("runs") / "undisturbed").folder


# A training that kills itself with SIGKILL while it saves the state of a given batch: before or after the rename.
KILLED_WHILE_SAVING = """
import os, signal, sys
from hwrlib.runs import fit as train
from hwrlib.models.checkpoint import load_safely

epoch, batch, moment = int(sys.argv.pop(1)), int(sys.argv.pop(1)), sys.argv.pop(1)
rename = os.replace

def rename_and_die(source, target):
    there = target.name == "resume.pth" and [load_safely(source)[key] for key in ("epoch", "batch")] == [epoch, batch]
    if not (there and moment == "before"):
        rename(source, target)
    if there:
        os.kill(os.getpid(), signal.SIGKILL)

os.replace = rename_and_die
train.main()
"""


def train_until_killed(config: TrainConfig, folder: Path, *, epoch: int, batch: int, moment: str) -> dict:
    """Train in a separate process that is killed in the middle of an epoch; returns the state it left."""
    file = folder.parent / "config.yaml"
    file.write_text(yaml.safe_dump(config.as_dict()), encoding="utf-8")
    child = subprocess.run(
        [
            sys.executable,
            "-c",
            KILLED_WHILE_SAVING,
            str(epoch),
            str(batch),
            moment,
            "-f",
            str(file),
            "--run",
            str(folder),
            "--resume",
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr[-2000:]
    return load_safely(folder / "resume.pth")


def tensors_of(content) -> list[torch.Tensor]:
    """All tensors of nested dictionaries and lists, in order."""
    if isinstance(content, torch.Tensor):
        return [content]
    parts = content.values() if isinstance(content, dict) else content if isinstance(content, (list, tuple)) else []
    return [tensor for part in parts for tensor in tensors_of(part)]


def assert_same_end(a: Path, b: Path, epochs: int) -> None:
    for name in ("resume.pth", "best_model.pth", f"epoch_{epochs}_model_checkpoint.pth"):
        ours, theirs = (tensors_of(load_safely(folder / name)) for folder in (a, b))
        assert len(ours) == len(theirs) > 0
        assert all(torch.equal(x, y) for x, y in zip(ours, theirs)), name
    histories = [pd.read_csv(folder / "history.csv").drop(columns=MEASURED) for folder in (a, b)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    assert (a / "losses.csv").read_bytes() == (b / "losses.csv").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_twice_and_resumed_it_ends_the_same(config, undisturbed, tmp_path):
    killed = tmp_path / "killed"
    for epoch, batch, moment in ((0, 4, "after"), (1, 6, "before")):
        state = train_until_killed(config, killed, epoch=epoch, batch=batch, moment=moment)
        assert state["epoch"] == epoch and 0 < state["batch"] < 11  # in the middle of the epoch
        assert len(list(killed.glob(".resume.pth.*.partial"))) == (moment == "before")
    run = fit(config, killed, resume=True)
    assert len(run.history) == 2
    assert_same_end(undisturbed, killed, epochs=2)


def test_stopped_after_every_kind_of_step_it_ends_the_same(config, undisturbed, tmp_path, monkeypatch):
    """Stops after an early step, after the last step of an epoch, and between two epochs."""
    stopped = tmp_path / "stopped"

    class Stop(Exception):
        pass

    real = os.replace
    for place in ((0, 2), (0, 11), (1, 0), (1, 11)):

        def replace_and_stop(source, target, place=place):
            real(source, target)
            if Path(target).name == "resume.pth":
                state = load_safely(target)
                if (state["epoch"], state["batch"]) == place:
                    raise Stop

        monkeypatch.setattr("hwrlib.common.files.os.replace", replace_and_stop)
        with pytest.raises(Stop):
            fit(config, stopped, resume=True)
        monkeypatch.undo()
    fit(config, stopped, resume=True)
    assert_same_end(undisturbed, stopped, epochs=2)


def test_resuming_a_finished_training_changes_nothing(run, tiny):
    before = {path.name: path.read_bytes() for path in run.folder.glob("*.pth")}
    again = fit(tiny(), run.folder, resume=True)
    assert again.best_cer == run.best_cer and len(again.history) == 16
    assert {path.name: path.read_bytes() for path in run.folder.glob("*.pth")} == before


@pytest.mark.parametrize(
    "change, said",
    [
        ({"learning_rate": 0.5}, "learning_rate: 0.01 then, 0.5 now"),
        ({"epochs": 20}, "epochs: 16 then, 20 now"),
        ({"hidden": 16}, "hidden: 32 then, 16 now"),
        ({"characters": "AELNOZX"}, "characters"),
    ],
)
def test_another_configuration_is_rejected_and_named(run, tiny, change, said):
    with pytest.raises(ValueError) as error:
        fit(tiny(**change), run.folder, resume=True)
    assert said in str(error.value) and "resume.pth" in str(error.value) and "started differently" in str(error.value)


@pytest.fixture
def begun(tiny, drawn_set, tmp_path) -> tuple[TrainConfig, Path]:
    """A training of one epoch on a set of its own: its configuration and its folder."""
    shutil.copytree(drawn_set, tmp_path / "set", ignore=shutil.ignore_patterns(".cache"))
    config = tiny(data=str(tmp_path / "set"), epochs=1, hidden=8)
    return config, fit(config, tmp_path / "run").folder


def other_ink(folder: Path, split: str) -> None:
    path = folder / split / f"{split.upper()}_003.png"
    path.write_bytes((folder / split / f"{split.upper()}_002.png").read_bytes())


def other_label(folder: Path, split: str) -> None:
    table = folder / f"{split}.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("_003.png,N", "_003.png,O"), encoding="utf-8")


@pytest.mark.parametrize("change", [other_ink, other_label])
@pytest.mark.parametrize("split, said", [("train", "training"), ("validation", "validation")])
def test_other_images_or_labels_are_noticed_and_named(begun, change, split, said):
    config, folder = begun
    change(Path(config.data), split)
    with pytest.raises(ValueError, match=f"started differently .the {said} lines, their images or their labels.;"):
        fit(config, folder, resume=True)


def test_images_that_were_only_touched_are_the_same(begun):
    config, folder = begun
    for path in Path(config.data, "train").iterdir():
        os.utime(path, (1, 1))
    assert len(fit(config, folder, resume=True).history) == 1


def test_the_state_of_no_training_is_rejected(tiny, tmp_path, run):
    shutil.copy(run.folder / "best_model.pth", tmp_path / "resume.pth")
    with pytest.raises(ValueError, match="resume.pth: .*if it is the state of a training at all"):
        fit(tiny(), tmp_path, resume=True)


def test_knobs_without_effect_on_the_weights_may_change(run, tiny):
    fit(tiny(checkpoint_minutes=99.0, checkpoints_kept=5), run.folder, resume=True)
    fit(tiny(), run.folder, resume=True)  # config.json is as it was


def test_nothing_to_resume_starts_from_the_beginning(tiny, tmp_path):
    run = fit(tiny(epochs=1, train_limit=8), tmp_path / "new", resume=True)
    assert len(run.history) == 1


def test_a_damaged_state_is_rejected_and_named(tiny, tmp_path):
    (tmp_path / "resume.pth").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(ValueError, match="resume.pth: damaged or cut short"):
        fit(tiny(epochs=1), tmp_path, resume=True)


# Several processes: what happens in one of them after so many batches ---------------------------------------------------

DISTURBED = """
import os, signal, sys
from hwrlib.runs.config import TrainConfig
from hwrlib.runs.fit import fit

config, folder, disturbance, batches = *sys.argv[1:4], int(sys.argv[4])

def disturb(training):
    if training.accelerator.process_index == 1 and len(training.losses) == batches:
        os.kill(os.getpid(), getattr(signal, disturbance))

fit(TrainConfig.from_yaml(config), folder, resume=True, on_step=disturb)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_two_processes_killed_and_interrupted_end_as_two_undisturbed_ones(config, tmp_path, launch):
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config.as_dict()), encoding="utf-8")
    status, messages = launch(DISTURBED, file, tmp_path / "calm", "SIGKILL", -1)
    assert status == 0, messages[-3000:]
    # 6 batches per process and epoch; an interrupt waits for the end of the next update, two batches later.
    for disturbance, batches, saved in (("SIGKILL", 2, 2), ("SIGINT", 8, 10)):
        status, messages = launch(DISTURBED, file, tmp_path / "disturbed", disturbance, batches)
        assert status != 0 and len(load_safely(tmp_path / "disturbed/resume.pth")["losses"]) == saved, messages[-3000:]
    status, messages = launch(DISTURBED, file, tmp_path / "disturbed", "SIGKILL", -1)
    assert status == 0, messages[-3000:]
    assert_same_end(tmp_path / "calm", tmp_path / "disturbed", epochs=2)


@pytest.mark.slow
def test_two_processes_learn_as_one_with_twice_the_batch(tiny, tmp_path, launch):
    losses = {}
    file = tmp_path / "config.yaml"
    for name, size in (("two", 4), ("one", 8)):
        config = tiny(epochs=6, batch_size=size, learning_rate=0.01, language_order=0)
        file.write_text(yaml.safe_dump(config.as_dict()), encoding="utf-8")
        if name == "two":
            status, messages = launch(DISTURBED, file, tmp_path / name, "SIGKILL", -1)
            assert status == 0, messages[-3000:]
        else:
            fit(config, tmp_path / name)
        losses[name] = pd.read_csv(tmp_path / name / "history.csv")["validation_loss"]
    assert len(losses["two"]) == len(losses["one"]) == 6
    # Lines are shared out otherwise, so the curves agree within what another seed changes.
    assert (losses["two"] / losses["one"]).iloc[1:].between(0.7, 1.4).all(), pd.DataFrame(losses)
