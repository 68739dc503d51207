"""hwrlib.models.checkpoint: a kill leaves no half file, a foreign file runs no code."""

import os
import pickle
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from hwrlib.charset import Charset
from hwrlib.common import files
from hwrlib.images import Normalisation
from hwrlib.model import CRNN
from hwrlib.models import checkpoint
from hwrlib.models.checkpoint import load_model, load_safely, save_atomically, save_model


class Evil:
    """Pickled, it makes a file when it is loaded."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize(
    "model", [CRNN(4, width=8, hidden=3, dropout=0.1), CRNN(4, architecture="baseline")], ids=["residual", "baseline"]
)
def test_round_trip(tmp_path, model):
    save_model(
        tmp_path / "model.pth",
        model=model,
        charset=Charset("AÉB"),
        normalisation=Normalisation(height=64),
        config={"epochs": 2},
        metrics={"validation_cer": 0.5},
    )
    loaded, charset, normalisation, about = load_model(tmp_path / "model.pth")
    assert not loaded.training and loaded.arguments == model.arguments
    assert all(torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), model.state_dict().values()))
    assert charset == Charset("AÉB") and normalisation == Normalisation(height=64)
    assert about == {"config": {"epochs": 2}, "metrics": {"validation_cer": 0.5}}


@pytest.mark.parametrize(
    "model, arguments",
    [
        (CRNN(4, width=8, hidden=3), {"num_classes": 4, "width": 8, "hidden": 3, "layers": 2, "dropout": 0.1}),
        (CRNN(4, architecture="baseline"), {"num_classes": 4, "baseline": True}),
    ],
    ids=["residual", "baseline"],
)
def test_models_of_the_first_version_load(saved, model, arguments):
    save_atomically(load_safely(saved) | {"arguments": arguments, "model": model.state_dict()}, saved)
    loaded, *_ = load_model(saved)
    assert loaded.arguments == model.arguments
    assert all(torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), model.state_dict().values()))


# Written whole -------------------------------------------------------------------------------------------------------


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "state.pth"
    save_atomically({"epoch": 1}, path)

    def disk_full(content, file):
        file.write(b"half a checkpoint")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", disk_full)
    with pytest.raises(OSError, match="No space left"):
        save_atomically({"epoch": 2}, path)
    assert load_safely(path)["epoch"] == 1
    monkeypatch.undo()
    save_atomically({"epoch": 3}, path)
    assert load_safely(path)["epoch"] == 3 and list(tmp_path.iterdir()) == [path]


def test_the_file_is_on_the_disk_before_it_is_renamed(tmp_path, monkeypatch):
    steps = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(files.os, name, lambda *args, name=name, real=real: (steps.append(name), real(*args)))
    save_atomically({"epoch": 1}, tmp_path / "state.pth")
    assert steps == ["fsync", "replace"]


# Refused -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_file_cut_short_is_refused(saved, share):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="model.pth: "):
        load_model(saved)


def test_a_damaged_file_loads_or_is_refused_but_nothing_else(saved):
    content, draw, refused = saved.read_bytes(), random.Random(0), 0
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(draw.randrange(1, 30)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        saved.write_bytes(damaged)
        try:
            load_model(saved)
        except ValueError as error:
            assert "model.pth" in str(error)
            refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    "save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2))], ids=["torch", "pickle"]
)
def test_code_in_a_file_is_refused_and_not_run(tmp_path, save):
    mark, path = tmp_path / "code-was-run", tmp_path / "evil.pth"
    save({"format": checkpoint.FORMAT, "model": Evil(mark)}, path)
    with pytest.raises(ValueError, match="evil.pth: rejected"):
        load_safely(path)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Evil(mark)))
    assert mark.exists()  # so the file was indeed a trap


@pytest.mark.parametrize(
    "content, found", [({"format": "hwrlib-0"}, "hwrlib-0"), ({"weights": 1}, "None"), ([1, 2], "list")]
)
def test_another_version_is_refused(tmp_path, content, found):
    torch.save(content, tmp_path / "old.pth")
    with pytest.raises(ValueError, match=f"old.pth: not a checkpoint of this version.*hwrlib-1.*{found}"):
        load_safely(tmp_path / "old.pth")


@pytest.mark.parametrize(
    "change, said",
    [
        ({"characters": "ABCDE"}, "charset of 6 classes beside a model of 4"),
        ({"arguments": {"num_classes": 4, "width": 4, "hidden": 3}}, "do not fit"),
        ({"arguments": {"num_classes": 4, "depth": 9}}, "do not fit"),
        ({"normalisation": {"tall": 3}}, "do not fit"),
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused(saved, change, said):
    content = load_safely(saved)
    save_atomically(content | change, saved)
    with pytest.raises(ValueError, match=f"model.pth: .*{said}"):
        load_model(saved)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.pth: no such checkpoint"):
        load_safely(tmp_path / "nowhere.pth")


# Files that declare what they do not hold ----------------------------------------------------------------------------


@pytest.fixture
def changed(run, tmp_path):
    """Write the checkpoint of a training with something changed; returns its path."""

    def write(change) -> Path:
        content = torch.load(run.folder / "best_model.pth", weights_only=True)
        change(content)
        torch.save(content, tmp_path / "changed.pth")
        return tmp_path / "changed.pth"

    return write


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["arguments"].update(hidden=8000), "has the shape"),
        (lambda c: c["arguments"].update(num_classes=300_000_000), "has the shape"),
        (lambda c: c["arguments"].update(layers=1_000_000), "layers must be an integer from 1 to 32"),
        (lambda c: c["arguments"].update(width=4), "width must be an integer from 8"),
        (lambda c: c["arguments"].update(hidden="32"), "hidden must be an integer"),
        (lambda c: c.update(arguments=[1]), "do not fit"),
        (lambda c: c.update(model=[1]), "do not fit"),
        (lambda c: c["model"].pop("classifier.bias"), "missing or unknown: classifier.bias"),
        (lambda c: c["model"]["classifier.bias"].fill_(float("nan")), "classifier.bias holds values that are not numbers"),
        (lambda c: c["model"].update({"classifier.bias": c["model"]["classifier.bias"].long()}), "values of torch.int64"),
        (
            lambda c: c["model"].update({"classifier.bias": c["model"]["classifier.bias"].cfloat()}),
            "values of torch.complex64",
        ),
        (
            lambda c: c["model"].update({"classifier.weight": torch.zeros(1, 1).expand_as(c["model"]["classifier.weight"])}),
            "classifier.weight is not stored in full",
        ),
        (lambda c: c.update(characters=list("ABC")), "a charset is a text, not list"),
        (lambda c: c.update(config="x"), "do not fit"),
        *(
            (lambda c, name=name, value=value: c["normalisation"].update({name: value}), name)
            for name, values in {
                "height": (0, -1, 10**9, 2.5, True, "40", None, float("nan")),
                "max_width": (0, 10**9),
                "min_width": (0, 10**5),
                "max_stretch": (0, float("nan"), float("inf"), "x"),
            }.items()
            for value in values
        ),
    ],
)
def test_parts_that_do_not_fit_are_found_before_memory_is_taken(changed, change, message, recwarn):
    path = changed(change)
    with pytest.raises(ValueError, match=message) as raised:
        load_model(path)
    assert str(path) in str(raised.value)


def test_a_declared_size_takes_no_memory(changed):
    """In a process that may not have a fraction of what the file declares."""
    path = changed(lambda content: content["arguments"].update(hidden=60_000))
    code = (
        "import resource, sys, torch; from hwrlib.models.checkpoint import load_model\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, used + 2**30))\n"
        "try: load_model(sys.argv[1])\nexcept ValueError as error: print(error)"
    )
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert "has the shape" in done.stdout, done.stderr


def test_a_compressed_checkpoint_is_not_unpacked(run, tmp_path):
    with (
        zipfile.ZipFile(run.folder / "best_model.pth") as source,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in source.namelist():
            bomb.writestr(name, source.read(name))
    with pytest.raises(ValueError, match="bomb.pth: rejected, because its contents are compressed"):
        load_model(tmp_path / "bomb.pth")
