"""What the benchmark passes to Calamari and what it makes of the answer; small programs stand in for Calamari."""

import json
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks import plain
from benchmarks.accuracy import time_to_accuracy
from benchmarks.calamari import Calamari
from benchmarks.reading import reading_throughput
from hwrlib.metrics import score

TRAIN = """#!{python}
import glob, json, pathlib, sys
given = dict(zip(sys.argv[4::2], sys.argv[5::2]))
images = [pathlib.Path(path) for path in sorted(glob.glob(given["--train.images"]))]
seen = {{image.resolve().name: image.with_suffix(".gt.txt").read_text(encoding="utf-8") for image in images}}
pathlib.Path(given["--trainer.output_dir"]).with_name("seen.json").write_text(json.dumps(seen), encoding="utf-8")
print("Epoch 1/1")
print(float(sys.argv[3]) + 0.25)
"""

PREDICT = """#!{python}
import glob, json, pathlib, sys, time
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
for image in map(pathlib.Path, glob.glob(given["--data.images"])):
    time.sleep(0.01)
    text = "ANNE" if image.resolve().name.endswith("1.png") else "LA"
    image.with_suffix(".pred.txt").write_text(text, encoding="utf-8")
"""


@pytest.fixture
def environment(tmp_path) -> Path:
    """A folder with the programs of Calamari's virtual environment, which record their input and give known answers."""
    programs = tmp_path / "environment" / "bin"
    programs.mkdir(parents=True)
    for name, code in (("python", TRAIN), ("calamari-predict", PREDICT)):
        (programs / name).write_text(code.format(python=sys.executable), encoding="utf-8")
        (programs / name).chmod(0o755)
    return programs.parent


def test_calamari_gets_the_labelled_lines_and_its_readings_are_scored(environment, write_split, tmp_path):
    for split in ("train", "validation"):
        write_split(tmp_path / "set", split, ["LA", "LEO", "EMPTY", "ZOE", ""])
    calamari = Calamari(environment, tmp_path / "set", tmp_path / "work")
    assert calamari.train_for(2) == 2.25
    seen = json.loads((tmp_path / "work" / "seen.json").read_text(encoding="utf-8"))
    assert seen == {"TRAIN_000.png": "LA", "TRAIN_001.png": "LEO", "TRAIN_003.png": "ZOE"}
    assert calamari.read(calamari.validation.paths) == ["LA", "ANNE", "LA"]
    assert calamari.validation_cer() == score(["LA", "LEO", "ZOE"], ["LA", "ANNE", "LA"]).cer
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["seen.json"]  # the links are gone


def test_an_environment_without_calamari_is_rejected_with_the_command_to_make_it(drawn_set, tmp_path):
    with pytest.raises(
        FileNotFoundError, match="none: Calamari is not installed there; .*none/bin/pip install calamari-ocr"
    ):
        Calamari(tmp_path / "none", drawn_set, tmp_path / "work")


def test_an_error_of_calamari_is_passed_on(environment, drawn_set, tmp_path):
    (environment / "bin" / "python").write_text("#!/bin/sh\necho no such option >&2\nexit 2\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match="no such option"):
        Calamari(environment, drawn_set, tmp_path / "work").train_for(1)


def test_calamari_is_one_of_the_compared_systems(environment, tiny, drawn_set, tmp_path, monkeypatch):
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(tiny(epochs=1).as_dict()), encoding="utf-8")
    calamari = Calamari(environment, drawn_set, tmp_path / "work")
    monkeypatch.setattr(plain, "BATCH", 2)
    accuracy = time_to_accuracy(str(drawn_set), [str(recipe)], tmp_path / "runs", calamari)
    assert set(accuracy["curves"]) == {"tiny", "plain loop", "Calamari"}
    assert accuracy["seconds to validation CER"]["10%"].keys() == {"hwrlib", "plain loop", "Calamari"}
    assert reading_throughput(str(drawn_set), "names", count=8, calamari=calamari)["images/s"]["Calamari"] > 0
