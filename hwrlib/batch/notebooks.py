"""Run notebooks with papermill: their parameters are known and checked before anything runs."""

import ast
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # kernels would warn about a debugger nobody attaches

import papermill

from hwrlib import ROOT
from hwrlib.runs.config import TrainConfig

NOTEBOOKS = ROOT / "notebooks"
TYPES = {"str": str, "int": int, "float": float, "bool": bool}  # of the parameters of notebooks
TRAINING = "02_training"  # takes its knobs from a recipe


def find_notebooks(names: Sequence[str] = (), *, folder: Path = NOTEBOOKS) -> list[Path]:
    """The numbered notebooks of these names, without suffix; all of them by default. A name may be a path to another one.

    Raises:
        ValueError: there is none of that name; the message lists those that are there.
    """
    paths = {path.stem: path for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}
    paths |= {name: Path(name).absolute() for name in names if name.endswith(".ipynb") and Path(name).is_file()}
    if missing := [name for name in names if name not in paths]:
        raise ValueError(f"no notebooks {missing} in {folder.name}/; there are: {', '.join(paths)}")
    return [paths[name] for name in names or paths]


def notebook_parameters(notebook: Path) -> dict[str, dict[str, Any]]:
    """The parameters of a notebook: name -> `{"type", "default", "help"}`, read from its parameters cell."""
    return {
        name: {
            "type": about["inferred_type_name"].split("#")[0].strip(),  # of the annotation
            "default": ast.literal_eval(about["default"]),
            "help": about["help"],
        }
        for name, about in papermill.inspect_notebook(str(notebook)).items()
    }


def check_parameters(values: dict[str, Any], known: dict[str, dict[str, Any]]) -> TrainConfig:
    """Reject names that neither the training nor a notebook has, and values of the wrong type or out of range.

    Args:
        values: by name.
        known: the parameters of the notebooks.
    Returns:
        The configuration of the training.
    Raises:
        ValueError: the message lists every fault and, for unknown names, all known ones.
    """
    own = {name: about for name, about in known.items() if name not in TrainConfig.names()}
    unknown = sorted(set(values) - set(own) - set(TrainConfig.names()))
    faults = (
        [f"unknown parameters {unknown}; known are: {', '.join(sorted({*own, *TrainConfig.names()}))}"] if unknown else []
    )
    for name in sorted(set(values) & set(own)):
        wanted, given = TYPES[own[name]["type"]], type(values[name])
        if given is not wanted and not (wanted is float and given is int):
            hint = " (write 0.001, not 1e-3)" if wanted is float and given is str else ""
            faults.append(f"{name} must be {wanted.__name__}, not {values[name]!r}{hint}")
    try:
        config = TrainConfig.from_dict({name: value for name, value in values.items() if name in TrainConfig.names()})
    except ValueError as error:
        faults.append(str(error))
    if faults:
        raise ValueError("; ".join(faults))
    return config


def execute(notebook: Path, values: dict[str, Any], run_dir: Path, recipe: Path) -> None:
    """Run a notebook with the parameters it knows; the training gets a recipe. It is left in the run's folder, executed.

    Raises:
        papermill.PapermillExecutionError: a cell failed; the notebook as far as it got is in `run_dir`.
    """
    given = {name: value for name, value in values.items() if name in notebook_parameters(notebook)}
    if notebook.stem == TRAINING:
        given = {name: values[name] for name in ("run", "resume") if name in values} | {"recipe": str(recipe)}
    papermill.execute_notebook(
        str(notebook),
        str(run_dir / notebook.name),
        parameters=given,
        cwd=str(ROOT),
        progress_bar={"desc": "cells", "leave": False} if sys.stderr.isatty() else False,
        extra_arguments=["--IPKernelApp.log_level=ERROR"],  # kernels warn about their TCP connection
    )
