"""The whole course in one command: papermill runs every numbered notebook with one set of parameters into one run's folder.

``python notebooks/run.py --data data/kaggle --params notebooks/params/names.yaml`` is what ``make run`` calls.
Papermill only warns of a parameter that no notebook has; here it is refused before anything runs, with the list of
known ones.
"""

import argparse
import ast
import json
import sys
from pathlib import Path
from typing import Any

import papermill
import yaml

from hwrlib import ROOT
from hwrlib.config import TrainConfig
from hwrlib.train import new_run_folder

NOTEBOOKS = ROOT / "notebooks"
TRAINING = "02_training"


def notebook_parameters(notebook: Path) -> dict[str, dict[str, Any]]:
    """The parameters of a notebook: name -> ``{"type", "default", "help"}``, read from its parameters cell."""
    return {
        name: {
            "type": about["inferred_type_name"].split("#")[0].strip(),
            "default": ast.literal_eval(about["default"]),
            "help": about["help"],
        }
        for name, about in papermill.inspect_notebook(str(notebook)).items()
    }


def check_parameters(values: dict[str, Any], known: dict[str, dict[str, Any]]) -> None:
    """Refuse names that no notebook has and values of another type than the default's.

    Raises:
        ValueError: the message lists every fault and, for unknown names, all known ones.
    """
    unknown = sorted(set(values) - set(known))
    faults = [f"unknown parameters {unknown}; known are: {', '.join(sorted(known))}"] if unknown else []
    for name in sorted(set(values) & set(known)):
        wanted, given = type(known[name]["default"]), type(values[name])
        if given is not wanted and not (wanted is float and given is int):
            hint = " (write 0.001, not 1e-3)" if wanted is float and given is str else ""
            faults.append(f"{name} must be {wanted.__name__}, not {values[name]!r}{hint}")
    if faults:
        raise ValueError("; ".join(faults))


def run_course(values: dict[str, Any], run_dir: Path, *, notebooks: Path = NOTEBOOKS) -> Path:
    """Run every numbered notebook in order; each gets the parameters it knows.

    Args:
        values: parameters by name, for whichever notebook has them.
        run_dir: where the executed notebooks and all results go.
    Returns:
        ``run_dir``.
    Raises:
        ValueError: a parameter is unknown or ill-typed; nothing has run then.
        papermill.PapermillExecutionError: a cell of a notebook failed; the notebook as far as it got is in ``run_dir``.
    """
    paths = sorted(notebooks.glob("[0-9][0-9]_*.ipynb"))
    parameters = {path: notebook_parameters(path) for path in paths}
    check_parameters(values, {name: about for known in parameters.values() for name, about in known.items()})
    knobs = {name: value for name, value in values.items() if name in TrainConfig.names()}
    TrainConfig.from_dict(knobs)  # values out of range are refused now, not after the first notebook
    run_dir.mkdir(parents=True, exist_ok=True)
    for path in paths:
        print(f"{path.name} ...", flush=True)
        papermill.execute_notebook(
            str(path),
            str(run_dir / path.name),
            cwd=str(ROOT),
            progress_bar=False,
            parameters={name: value for name, value in values.items() if name in parameters[path]},
        )
    return run_dir


def course_values(data: str | None, params: str | None, run_dir: Path) -> dict[str, Any]:
    """The parameters of all notebooks for a data set, a YAML file and a run's folder.

    Args:
        data: the data set; none: the file's `data`, or the embedded default.

    Raises:
        ValueError: the file holds no ``name: value`` lines.
    """
    values = (yaml.safe_load(Path(params).read_text(encoding="utf-8")) if params else None) or {}
    if not isinstance(values, dict):
        raise ValueError(f"{params}: the file must hold `name: value` lines")
    data = data or values.get("data") or TrainConfig().data
    return {
        **values,
        "data": data,
        "run": str(run_dir),
        "checkpoint": str(run_dir / "best_model.pth"),
        "test_dir": f"{data}/test",
        "test_labels": f"{data}/test.csv",
    }


def main() -> int:
    """See the module; returns the exit status."""
    parser = argparse.ArgumentParser(description="Run the course's notebooks with one set of parameters.")
    parser.add_argument("--data", help="data set in the one layout; by default the file's, or data/synthetic")
    parser.add_argument("--params", help="YAML file of parameters (see notebooks/params/)")
    parser.add_argument("--run", help="the run's folder; by default a new one in runs/")
    parser.add_argument("--resume", action="store_true", help="continue the training that was begun in --run")
    arguments = parser.parse_args()
    run_dir = Path(arguments.run) if arguments.run else new_run_folder(ROOT / "runs")
    try:
        values = course_values(arguments.data, arguments.params, run_dir)
        run_course({**values, "resume": arguments.resume}, run_dir)
    except (ValueError, FileNotFoundError) as error:
        print(f"{arguments.params or 'parameters'}: {error}", file=sys.stderr)
        return 2
    except papermill.PapermillExecutionError as error:
        print(f"{error.ename}: {error.evalue}\nThe notebooks as far as they got are in {run_dir}.", file=sys.stderr)
        return 1
    metrics = json.loads((run_dir / "metrics.json").read_text(encoding="utf-8"))
    print(
        f"\nCER {metrics['cer']:.2%}, exact {metrics['exact']:.2%} on {metrics['lines']} lines of {metrics['split']} "
        f"({metrics['data']}).\nLook at {run_dir}/ : the executed notebooks, metrics.json, history.csv, "
        "predictions.csv, best_model.pth.\nRead images of your own with notebook 04, or "
        "hwrlib.Recognizer.latest('runs').read('image.png')."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
