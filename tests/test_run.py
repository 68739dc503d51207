"""The notebooks' parameters, the YAML files and TrainConfig agree; wrong parameters are refused before anything runs."""

import sys

import nbformat
import pytest
import run as course
import yaml
from run import NOTEBOOKS, check_parameters, course_values, notebook_parameters, run_course

from hwrlib.config import TrainConfig

PATHS = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
KNOWN = {name: about for path in PATHS for name, about in notebook_parameters(path).items()}


def test_every_notebook_has_a_parameters_cell_with_types_and_comments():
    assert [path.stem for path in PATHS] == [
        "01_data_exploration",
        "02_training",
        "03_evaluation",
        "04_prediction",
        "05_label_audit",
    ]
    for path in PATHS:
        parameters = notebook_parameters(path)
        assert parameters, path
        assert all(about["type"] != "None" and about["help"] for about in parameters.values()), path


def test_the_training_notebook_has_every_knob_with_its_default():
    parameters = notebook_parameters(NOTEBOOKS / "02_training.ipynb")
    knobs = {name: about["default"] for name, about in parameters.items() if name not in ("run", "resume")}
    assert knobs == TrainConfig().as_dict()


@pytest.mark.parametrize("path", sorted((NOTEBOOKS / "params").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_parameter_files_name_known_parameters(path):
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    check_parameters(values, KNOWN)
    TrainConfig.from_yaml(path)


def test_an_unknown_parameter_is_refused_with_the_known_ones_before_anything_runs(tmp_path):
    with pytest.raises(ValueError, match=r"unknown parameters \['epoch'\]; known are: .*batch_size.*epochs"):
        run_course({"epoch": 3}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("value, hint", [("1e-3", r"write 0\.001"), ("fast", "must be float"), (True, "must be float")])
def test_a_parameter_of_the_wrong_type_is_refused(tmp_path, value, hint):
    with pytest.raises(ValueError, match=hint):
        run_course({"learning_rate": value}, tmp_path / "run")


def test_a_value_out_of_range_is_refused_before_the_first_notebook(tmp_path):
    with pytest.raises(ValueError, match="dropout must lie in"):
        run_course({"dropout": 1.5}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_says_in_a_sentence_what_is_wrong(tmp_path, monkeypatch, capsys):
    (tmp_path / "wrong.yaml").write_text("epoch: 3\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["course", "--params", str(tmp_path / "wrong.yaml"), "--run", str(tmp_path / "r")])
    assert course.main() == 2
    said = capsys.readouterr().err
    assert "wrong.yaml" in said and "unknown parameters ['epoch']" in said and "Traceback" not in said


def test_a_file_s_data_set_is_used_unless_another_is_named(tmp_path):
    (tmp_path / "p.yaml").write_text("data: data/kaggle\n", encoding="utf-8")
    assert course_values(None, str(tmp_path / "p.yaml"), tmp_path)["test_labels"] == "data/kaggle/test.csv"
    assert course_values("data/mine", str(tmp_path / "p.yaml"), tmp_path)["data"] == "data/mine"
    assert course_values(None, None, tmp_path)["data"] == "data/synthetic"


def test_every_notebook_gets_the_parameters_it_knows_and_lands_in_the_run(tmp_path):
    """Two small notebooks through the real papermill."""
    for name, cell in (("01_first", "a: int = 1  # one"), ("02_second", "b: str = 'x'  # two")):
        notebook = nbformat.v4.new_notebook(
            cells=[
                nbformat.v4.new_code_cell(cell, metadata={"tags": ["parameters"]}),
                nbformat.v4.new_code_cell(cell.split(":")[0]),
            ],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        )
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    run = run_course({"a": 5, "b": "y"}, tmp_path / "run", notebooks=tmp_path)
    shown = [
        nbformat.read(run / f"{name}.ipynb", 4).cells[-1].outputs[0]["data"]["text/plain"]
        for name in ("01_first", "02_second")
    ]
    assert shown == ["5", "'y'"]
