"""The whole course in one command: papermill runs every numbered notebook into one run's folder.

`python notebooks/run.py --data data/kaggle --params notebooks/params/names.yaml` is what `make run` calls. The file of
parameters may hold knobs of the training (`hwrlib.runs.config.TrainConfig`) and parameters of any notebook. Papermill only
warns about a parameter that no notebook has; here it is rejected before anything runs, and the known ones are listed.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import papermill
import yaml

from hwrlib import ROOT, plots
from hwrlib.batch.notebooks import NOTEBOOKS, check_parameters, execute, find_notebooks, notebook_parameters
from hwrlib.common.files import atomic_write, locked
from hwrlib.common.progress import Tail, duration, every_second
from hwrlib.decode import to_grey
from hwrlib.runs.config import TrainConfig
from hwrlib.runs.fit import new_run_folder
from hwrlib.runs.recipes import read_yaml


def run_course(values: dict[str, Any], run_dir: Path, *, notebooks: Path = NOTEBOOKS) -> Path:
    """Run every numbered notebook in order; each gets the parameters it knows, the training a recipe.

    Args:
        values: knobs of the training and parameters of notebooks, by name.
        run_dir: where the executed notebooks and all results go; absolute, since notebooks run in the project's folder.
    Returns:
        `run_dir`.
    Raises:
        Busy: another course or a training is running in `run_dir`.
        ValueError: a parameter is unknown, ill-typed or out of range; nothing has run then.
        papermill.PapermillExecutionError: a cell of a notebook failed; the notebook as far as it got is in `run_dir`.
    """
    paths = find_notebooks(folder=notebooks)
    parameters = {path: notebook_parameters(path) for path in paths}
    config = check_parameters(values, {name: about for known in parameters.values() for name, about in known.items()})
    recipe = run_dir / "recipe.yaml"
    with locked(run_dir, wait=False):  # a training locks the folder itself, so the course must not hold this lock
        run_dir.mkdir(parents=True, exist_ok=True)
    with locked(recipe, wait=False):
        with atomic_write(recipe) as file:
            file.write(yaml.safe_dump(config.changed(), allow_unicode=True, sort_keys=False).encode())
        _run_notebooks(parameters, values, run_dir, recipe)
    return run_dir


def _run_notebooks(
    parameters: dict[Path, dict[str, dict[str, Any]]], values: dict[str, Any], run_dir: Path, recipe: Path
) -> None:
    """Run notebooks, given by their paths and parameters, in order."""
    for number, path in enumerate(parameters, start=1):
        with announced(f"[{number}/{len(parameters)}] {path.name}"), followed(run_dir / "train.log"):
            execute(path, values, run_dir, recipe)


@contextmanager
def announced(title: str) -> Iterator[None]:
    """Print a title when the block starts and the time it took when it ends."""
    print(f"{title} ...", flush=True)
    started = time.monotonic()
    yield
    print(f"{title}: done in {duration(time.monotonic() - started)}", flush=True)


@contextmanager
def followed(log: Path) -> Iterator[None]:
    """Print the lines that are appended to a file while the block runs."""
    tail = Tail(log)

    def show() -> None:
        for line in tail.lines():
            print("    " + line.split(" ", 2)[-1], flush=True)  # without date and time

    with every_second(show):
        yield


def from_root(path: str | Path) -> str:
    """A path of the command line, which counts from the current folder, as notebooks see it: they run in the project's."""
    absolute = Path(os.path.abspath(path))
    return (absolute.relative_to(ROOT) if absolute.is_relative_to(ROOT) else absolute).as_posix()


def course_values(data: str | None, params: str | None, run_dir: Path) -> dict[str, Any]:
    """The parameters of all notebooks for a data set, a YAML file and a run's folder.

    Args:
        data: the data set, as seen from the current folder; by default the file's `data`, or the embedded one, as seen from
            the project's.
        params: the file; by default none.
    Raises:
        FileNotFoundError, ValueError: as `hwrlib.runs.recipes.read_yaml`.
    """
    values = read_yaml(params) if params else {}
    data = from_root(data) if data else values.get("data") or TrainConfig().data
    return {
        **values,
        "data": data,
        "run": str(run_dir),
        "checkpoint": str(run_dir / "best_model.pth"),
        "test_dir": f"{data}/test",
        "test_labels": f"{data}/test.csv",
    }


def save_picture(run_dir: Path, data: Path, split: str) -> Path:
    """Draw some lines with the truth and what was read; the path of the picture."""
    table = pd.read_csv(run_dir / "predictions.csv", dtype=str, keep_default_na=False).head(9)
    images = [255 - to_grey(data / split / name) for name in table["filename"]]
    figure = plots.readings(images, table["truth"].tolist(), table["prediction"].tolist())
    figure.savefig(run_dir / "readings.png")
    return run_dir / "readings.png"


def summary(run_dir: Path, data: Path) -> str:
    """What a run achieved, where to look, and what to do next."""
    metrics = json.loads((run_dir / "metrics.json").read_text(encoding="utf-8"))
    split, name = metrics["split"], os.path.relpath(data)
    return f"""
CER {metrics["cer"]:.2%}, exact {metrics["exact"]:.2%} on {metrics["lines"]:,} lines of {name}, {split} split
(without the language model: CER {metrics["greedy"]["cer"]:.2%}, exact {metrics["greedy"]["exact"]:.2%})

Look at   {os.path.relpath(save_picture(run_dir, data, split))}: some lines and what was read in them
          {os.path.relpath(run_dir)}/: the executed notebooks, best_model.pth, metrics.json, history.csv, predictions.csv
Next      read an image of your own:
              python -c "from hwrlib import Recognizer; print(Recognizer.latest('runs').read('image.png').text)"
          or open the course in JupyterLab: make lab"""


def main() -> int:
    """Run the command line; returns its exit status."""
    parser = argparse.ArgumentParser(description="Run the course's notebooks with one set of parameters.")
    parser.add_argument("--data", help="data set; by default that of --params, or data/synthetic")
    parser.add_argument("--params", help="YAML file of parameters (see notebooks/params/)")
    parser.add_argument("--run", help="the run's folder; by default a new one in runs/")
    parser.add_argument("--resume", action="store_true", help="continue the training that was started in --run")
    arguments, run_dir = parser.parse_args(), None
    try:
        run_dir = Path(os.path.abspath(arguments.run)) if arguments.run else new_run_folder(ROOT / "runs")
        values = course_values(arguments.data, arguments.params, run_dir)
        run_course({**values, "resume": arguments.resume}, run_dir)
        print(summary(run_dir, ROOT / values["data"]))
    except (ValueError, OSError) as error:
        source = f"{arguments.params}: " if arguments.params and arguments.params not in str(error) else ""
        print(f"error: {source}{error}", file=sys.stderr)
        if run_dir and not arguments.run:
            with suppress(OSError):
                run_dir.rmdir()  # if nothing has run
        return 2
    except papermill.PapermillExecutionError as error:
        print(f"{error.ename}: {error.evalue}\nThe notebooks as far as they got are in {run_dir}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
