"""notebooks/run.py: parameters, recipes and TrainConfig agree; wrong parameters are rejected before anything runs."""

import json
import os
import re
import sys
import time

import nbformat
import pytest
import run as course
import yaml
from run import course_values, followed, run_course

from hwrlib.batch.notebooks import NOTEBOOKS, check_parameters, notebook_parameters
from hwrlib.common.files import Busy
from hwrlib.runs.config import TrainConfig

PATHS = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
KNOWN = {name: about for path in PATHS for name, about in notebook_parameters(path).items()}
OWN = {name for name in KNOWN if name not in TrainConfig.names()}


def test_every_notebook_has_a_parameters_cell_with_types_and_comments():
    assert [path.stem for path in PATHS] == [
        "00_start_here",
        "01_data_exploration",
        "02_training",
        "03_evaluation",
        "04_prediction",
        "05_label_audit",
        "06_language",
        "07_your_own_hand",
        "08_comparing_runs",
        "09_pages",
    ]
    for path in PATHS:
        parameters = notebook_parameters(path)
        assert 0 < len(parameters) <= 12, path
        assert all(about["type"] != "None" and about["help"] for about in parameters.values()), path


def test_the_training_notebook_overrides_knobs_that_exist():
    parameters = notebook_parameters(NOTEBOOKS / "02_training.ipynb")
    knobs = {name: about for name, about in parameters.items() if name not in ("run", "resume", "recipe")}
    assert set(knobs) <= set(TrainConfig.names()) and all(about["default"] is None for about in knobs.values())
    for name, about in knobs.items():
        default = re.search(r"default (.*)$", about["help"])[1].strip('"')
        assert default in (str(getattr(TrainConfig(), name)), "random"), name


@pytest.mark.parametrize("path", [path for path in PATHS if path.stem != "02_training"], ids=lambda path: path.stem)
def test_a_knob_in_another_notebook_has_the_default_of_the_training(path):
    for name, about in notebook_parameters(path).items():
        if name in TrainConfig.names():
            assert about["default"] == getattr(TrainConfig(), name), name


@pytest.mark.parametrize("path", sorted((NOTEBOOKS / "params").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_recipes_name_known_knobs(path):
    assert check_parameters(yaml.safe_load(path.read_text(encoding="utf-8")), KNOWN) == TrainConfig.from_yaml(path)


def test_an_unknown_parameter_is_rejected_with_the_known_ones_before_anything_runs(tmp_path):
    with pytest.raises(ValueError, match=r"unknown parameters \['epoch'\]; known are: .*batch_size.*epochs.*test_labels"):
        check_parameters({"epoch": 3}, KNOWN)
    with pytest.raises(ValueError, match="unknown parameters"):
        run_course({"epoch": 3}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "values, said",
    [
        ({"learning_rate": "1e-3"}, r"write 0\.001"),
        ({"learning_rate": True}, "must be float"),
        ({"dropout": 1.5}, "dropout must be below 1"),
        ({"index": "seven"}, "index must be int, not 'seven'"),
    ],
)
def test_wrong_values_are_rejected_before_the_first_notebook(tmp_path, values, said):
    with pytest.raises(ValueError, match=said):
        run_course(values, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_says_what_is_wrong(tmp_path, monkeypatch, capsys):
    (tmp_path / "wrong.yaml").write_text("epoch: 3\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["run", "--params", str(tmp_path / "wrong.yaml"), "--run", str(tmp_path / "r")])
    assert course.main() == 2
    said = capsys.readouterr().err
    assert "wrong.yaml" in said and "unknown parameters ['epoch']" in said and "Traceback" not in said


def test_a_files_data_set_is_used_unless_another_is_named(tmp_path):
    (tmp_path / "p.yaml").write_text("data: data/kaggle\n", encoding="utf-8")
    assert course_values(None, str(tmp_path / "p.yaml"), tmp_path)["test_labels"] == "data/kaggle/test.csv"
    assert course_values("data/mine", str(tmp_path / "p.yaml"), tmp_path)["data"] == "data/mine"
    assert course_values(None, None, tmp_path)["data"] == "data/synthetic"


@pytest.fixture
def runs(monkeypatch) -> list:
    """Values and folders that the command passes on, instead of running notebooks."""
    passed = []
    monkeypatch.setattr(course, "run_course", lambda values, run_dir: passed.append((values, run_dir)))
    monkeypatch.setattr(course, "summary", lambda run_dir, data: f"{data}")
    return passed


def test_the_command_s_paths_count_from_the_current_folder_and_reach_the_notebooks_whole(tmp_path, monkeypatch, runs):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["run", "--run", "results/mine", "--data", "set"])
    assert course.main() == 0
    ((values, run_dir),) = runs
    assert run_dir == tmp_path / "results/mine" and values["run"] == str(run_dir)
    assert values["checkpoint"] == str(run_dir / "best_model.pth")
    assert values["test_dir"] == f"{tmp_path.as_posix()}/set/test"


def test_a_data_set_of_the_project_keeps_its_short_name_wherever_the_command_runs(monkeypatch, runs):
    monkeypatch.chdir(NOTEBOOKS)
    monkeypatch.setattr(sys, "argv", ["run", "--run", "x", "--data", "../data/synthetic"])
    assert course.main() == 0 and runs[0][0]["data"] == "data/synthetic"  # which the notebooks render if it is missing


def test_a_course_in_a_folder_where_something_is_running_stops_before_the_first_notebook(tmp_path, held_by_another_process):
    write_notebook(tmp_path / "01_first.ipynb", "a: int = 1  # one", "a")
    for busy in (tmp_path / "run", tmp_path / "run" / "recipe.yaml"):
        (tmp_path / "run").mkdir(exist_ok=True)
        with held_by_another_process(busy), pytest.raises(Busy, match=f"{busy.name}: another process is writing there"):
            run_course({"a": 2}, tmp_path / "run", notebooks=tmp_path)
    assert not (tmp_path / "run" / "01_first.ipynb").exists() and not (tmp_path / "run" / "recipe.yaml").exists()


def write_notebook(path, parameters: str, *cells: str) -> None:
    sources = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    notebook = nbformat.v4.new_notebook(
        cells=sources + [nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(notebook, path)


def test_every_notebook_gets_its_parameters_and_the_training_a_recipe(tmp_path, capfd):
    """Three small notebooks through the real papermill; the training's log appears on the terminal."""
    write_notebook(tmp_path / "01_first.ipynb", "a: int = 1  # one\nheight: int = 40  # px", "a, height")
    log = "with open(f'{run}/train.log', 'a') as file: print('2026-01-01 00:00:00 epoch 1/1: fine', file=file)"
    write_notebook(
        tmp_path / "02_training.ipynb", "run: str = ''  # folder\nrecipe: str = ''  # file", log, "open(recipe).read()"
    )
    write_notebook(tmp_path / "03_last.ipynb", "b: str = 'x'  # two", "b")
    values = {"a": 5, "b": "y", "height": 48, "epochs": 9, "run": str(tmp_path / "run")}
    run = run_course(values, tmp_path / "run", notebooks=tmp_path)
    shown = [
        nbformat.read(run / f"{name}.ipynb", 4).cells[-1].outputs[0]["data"]["text/plain"]
        for name in ("01_first", "02_training", "03_last")
    ]
    assert shown == ["(5, 48)", repr("height: 48\nepochs: 9\n"), "'y'"]
    output = capfd.readouterr()
    titles = [line for line in output.out.splitlines() if line.startswith("[")]
    assert titles[0] == "[1/3] 01_first.ipynb ..." and titles[3].startswith("[2/3] 02_training.ipynb: done in")
    assert "    epoch 1/1: fine" in output.out.splitlines() and "WARNING" not in output.err


def test_only_new_lines_of_a_log_are_followed(tmp_path, capsys):
    log = tmp_path / "train.log"
    log.write_text("2026-01-01 00:00:00 old\n", encoding="utf-8")
    with followed(log):
        with open(log, "a", encoding="utf-8") as file:
            file.write("2026-01-01 00:00:01 new\n")
        time.sleep(1.5)
    assert capsys.readouterr().out == "    new\n"


def test_the_summary_names_the_figures_the_picture_and_the_next_step(tmp_path, drawn_set):
    metrics = {"cer": 0.0334, "exact": 0.867, "lines": 1000, "split": "test", "greedy": {"cer": 0.0405, "exact": 0.82}}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    (tmp_path / "predictions.csv").write_text(
        "filename,truth,prediction\nTEST_000.png,A,A\nTEST_001.png,E,\n", encoding="utf-8"
    )
    said = course.summary(tmp_path, drawn_set)
    assert "CER 3.34%, exact 86.70% on 1,000 lines of" in said and "test split" in said
    assert "without the language model: CER 4.05%, exact 82.00%" in said
    assert os.path.relpath(tmp_path / "readings.png") in said and "Recognizer.latest" in said
    assert (tmp_path / "readings.png").read_bytes().startswith(b"\x89PNG")
