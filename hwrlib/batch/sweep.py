"""A sweep: the same notebooks again and again, with other values of some knobs, side by side or on a cluster.

    python -m hwrlib.batch.sweep notebooks/sweeps/augment.yaml --jobs 2

is what `make sweep` calls. Every run is papermill in processes of its own, in a folder named for its values. What is done is
not done again, what was killed resumes, and what fails stops nothing else.
"""

import argparse
import itertools
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwrlib.common.extras import MissingExtra, require

require("course", "a sweep", "torch", "papermill", command=__name__ == "__main__")

import joblib
import yaml
from papermill import PapermillExecutionError

from hwrlib import ROOT
from hwrlib.batch.comparison import compare
from hwrlib.batch.notebooks import check_parameters, execute, find_notebooks, notebook_parameters
from hwrlib.batch.parallel import backend, processors
from hwrlib.common.files import atomic_write, locked, with_remedy
from hwrlib.common.progress import Tail, duration, every_second
from hwrlib.runs.config import TrainConfig
from hwrlib.runs.recipes import load_yaml, read_yaml

MANY = 100  # runs; more have to be confirmed
MAX_NAME = 200  # characters of a run's folder
PLAN, RECIPE, DONE = "plan.json", "recipe.yaml", "done.json"  # of a run: its values; knobs; that all is executed
ATTEMPTS = 15  # two seconds apart


@dataclass
class Sweep:
    """Which runs there are: every combination of `grid`, with every row of `zip`, with every one of the random draws."""

    recipe: str = ""  # YAML file of knobs; empty: their defaults
    notebooks: list = field(default_factory=lambda: ["02_training", "03_evaluation"])
    fixed: dict = field(default_factory=dict)  # knob -> value, the same in all runs
    grid: dict = field(default_factory=dict)  # knob -> values to combine with all others
    zip: dict = field(default_factory=dict)  # knob -> values, taken side by side
    random: dict = field(default_factory=dict)  # knob -> values to draw from
    draws: int = 0  # number of draws
    seed: int = 0  # of the draws

    @classmethod
    def from_yaml(cls, path: str | Path) -> "Sweep":
        """A sweep from a file.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: an entry is unknown or of the wrong kind, or a list of values is empty; the message names both.
        """
        values = load_yaml(path)
        known = cls.__dataclass_fields__
        if unknown := [name for name in values if name not in known]:
            raise ValueError(f"{path}: unknown entries {unknown}; known are: {', '.join(known)}")
        for name, value in values.items():
            wanted = type(getattr(cls(), name))
            if type(value) is not wanted:
                raise ValueError(f"{path}: {name} must be a {wanted.__name__}, not {value!r}")
        sweep = cls(**values)
        try:
            sweep._check()
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        return sweep

    def _check(self) -> None:
        names = [*self.fixed, *self.grid, *self.zip, *self.random]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{twice} occur in several of fixed, grid, zip and random")
        for part in ("grid", "zip", "random"):
            for name, values in getattr(self, part).items():
                if not isinstance(values, list) or not values:
                    raise ValueError(f"{part}: {name} must be a list of values, and not empty; it is {values!r}")
        if len({len(values) for values in self.zip.values()}) > 1:
            raise ValueError(f"zip: the lists must be of one length, not {[len(values) for values in self.zip.values()]}")
        if bool(self.random) != bool(self.draws) or self.draws < 0:
            raise ValueError(f"random needs draws, the number of draws, from 1, and the other way round; it is {self.draws}")

    def __len__(self) -> int:
        rows = len(next(iter(self.zip.values()), [None]))
        combinations = 1
        for values in self.grid.values():
            combinations *= len(values)
        return combinations * rows * (self.draws or 1)

    def runs(self) -> dict[str, dict[str, Any]]:
        """The varied values of every run, by the name of its folder, such as `augment=0.5,seed=1`."""
        chance = random.Random(self.seed)
        draws = [{name: chance.choice(values) for name, values in self.random.items()} for _ in range(self.draws or 1)]
        rows = [dict(zip(self.zip, row)) for row in zip(*self.zip.values())] or [{}]
        combined = [dict(zip(self.grid, values)) for values in itertools.product(*self.grid.values())]
        found = {}
        for parts in itertools.product(combined, rows, draws):
            values = {name: value for part in parts for name, value in part.items()}
            found[_folder_name(values)] = values
        return found


def _folder_name(values: dict[str, Any]) -> str:
    name = ",".join(f"{key}={Path(str(value)).stem if '/' in str(value) else value}" for key, value in values.items())
    if len(name) > MAX_NAME or not name.isprintable():
        raise ValueError(f"the values {name[:80]!r} ... are too long to name a folder; put them into recipes and vary those")
    return name or "only"


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    name: str
    seconds: float
    error: str = ""  # empty: well


def run_sweep(
    path: str | Path,
    out: str | Path | None = None,
    *,
    jobs: int = 1,
    cluster: str = "",
    confirmed: bool = False,
    report: Callable[[str], None] = print,
) -> list[Outcome]:
    """Run all runs of a sweep that are not done yet, and write `sweep.csv`.

    Args:
        path: the sweep's YAML file.
        out: folder of the runs; by default `runs/<name of the file>`.
        jobs: runs at the same time on this machine, each with its share of the processors.
        cluster: address of a Dask scheduler, `tcp://host:8786`; the runs go there, and all machines must see the folders.
        confirmed: run more than a hundred.
        report: gets each line of the report.
    Returns:
        The outcomes of all runs that were started.
    Raises:
        Busy: the same sweep is running.
        ConnectionError: there is no scheduler at that address.
        ValueError: the sweep, a knob or a value is wrong, or a run's folder belongs to other values. Nothing has run then.
    """
    path = Path(path)
    sweep = Sweep.from_yaml(path)
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, not {jobs}")
    if len(sweep) > MANY and not confirmed:
        raise ValueError(f"{path}: these are {len(sweep):,} runs; add --yes to run more than {MANY}")
    out = Path(os.path.abspath(out or ROOT / "runs" / path.stem))
    paths = find_notebooks(sweep.notebooks)
    known = _known(paths)
    plans = {name: _plan(sweep, values, out / name, known, path) for name, values in sweep.runs().items()}
    with with_remedy(out):
        out.mkdir(parents=True, exist_ok=True)
    with locked(out / "sweep.csv", wait=False):
        left = {name: plan for name, plan in plans.items() if not (out / name / DONE).is_file()}
        report(f"{path.stem}: {len(plans):,} runs, {len(plans) - len(left):,} of them done; the folder is {_relative(out)}/")
        threads = 0 if cluster else max(processors() // jobs, 1)
        outcomes = []
        with _followed(out, list(left), report), backend(cluster, jobs):
            tasks = [joblib.delayed(_run)(name, plan, out / name, sweep.notebooks, threads) for name, plan in left.items()]
            for outcome in joblib.Parallel(batch_size=1, pre_dispatch="all", return_as="generator_unordered")(tasks):
                outcomes.append(outcome)
                result = f"{outcome.error or 'done'} ({duration(outcome.seconds)})"
                report(f"[{len(outcomes)}/{len(left)}] {outcome.name}: {result}")
        table = compare(out)
        with atomic_write(out / "sweep.csv") as file:
            file.write(table.to_csv(index=False, float_format="%.6g").encode())
    return outcomes


def _reason(error: Exception) -> str:
    reason = f"{getattr(error, 'ename', type(error).__name__)}: {getattr(error, 'evalue', error)}"
    return reason.splitlines()[0][:300]


def _plan(sweep: Sweep, varied: dict[str, Any], run_dir: Path, known: dict, path: Path) -> dict[str, Any]:
    """All parameters of a run, checked.

    Raises:
        ValueError: one is wrong, or the folder holds a run with others.
    """
    recipe = varied.get("recipe", sweep.recipe)
    values = {**(read_yaml(recipe) if recipe else {}), **sweep.fixed, **varied}
    values.pop("recipe", None)
    try:
        config = check_parameters(values, known)
    except ValueError as error:
        raise ValueError(f"{path}: {run_dir.name}: {error}") from None
    data = config.data
    plan = {"checkpoint": str(run_dir / "best_model.pth"), "test_dir": f"{data}/test", "test_labels": f"{data}/test.csv"}
    plan = {name: value for name, value in plan.items() if name in known} | {**values, "data": data}
    earlier = run_dir / PLAN
    if earlier.is_file() and json.loads(earlier.read_text("utf-8")) != plan:
        raise ValueError(f"{_relative(run_dir)}: holds a run with other values; choose another folder (--out), or remove it")
    return plan


def _run(name: str, plan: dict[str, Any], run_dir: Path, notebooks: list[str], threads: int) -> Outcome:
    """Run the notebooks of one run; whatever fails is its outcome."""
    started = time.monotonic()
    if threads:  # inherited by the kernels
        os.environ.update(OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
    os.environ["TQDM_DISABLE"] = "1"
    notebook, paths = None, find_notebooks(notebooks)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        with locked(run_dir / DONE):  # a killed worker's kernel may live on for a second
            _leave_plan(plan, run_dir, check_parameters(plan, _known(paths)))
            for notebook in paths:
                _execute(notebook, {**plan, "run": str(run_dir), "resume": True}, run_dir, run_dir / RECIPE)
            with atomic_write(run_dir / DONE) as stream:
                stream.write(json.dumps({"seconds": round(time.monotonic() - started, 1)}).encode())
    except Exception as error:  # of any kind: the other runs go on
        place = f" in {_relative(run_dir / notebook.name)}" if notebook else ""
        return Outcome(name, time.monotonic() - started, f"FAILED{place}: {_reason(error)}")
    return Outcome(name, time.monotonic() - started)


def _leave_plan(plan: dict[str, Any], run_dir: Path, config: TrainConfig) -> None:
    """Write the values and the recipe of a run into its folder."""
    for file, text in (
        (run_dir / RECIPE, yaml.safe_dump(config.changed(), allow_unicode=True, sort_keys=False)),
        (run_dir / PLAN, json.dumps(plan, ensure_ascii=False, indent=2)),
    ):
        with atomic_write(file) as stream:
            stream.write(text.encode())


def _execute(notebook: Path, values: dict[str, Any], run_dir: Path, recipe: Path) -> None:
    """Run a notebook; again if a kernel that lost its worker still held the run's folder."""
    for attempt in range(ATTEMPTS):
        try:
            return execute(notebook, values, run_dir, recipe)
        except PapermillExecutionError as error:
            if error.ename != "Busy" or attempt == ATTEMPTS - 1:
                raise
            time.sleep(2)


def _known(paths: list[Path]) -> dict[str, dict[str, Any]]:
    return {name: about for path in paths for name, about in notebook_parameters(path).items()}


@contextmanager
def _followed(out: Path, names: list[str], report: Callable[[str], None]) -> Iterator[None]:
    """Report each finished epoch of each run while the block runs: a line with the run, its CER and the remaining time."""
    tails = {name: Tail(out / name / "train.log") for name in names}

    def show() -> None:
        for name, tail in tails.items():
            for line in tail.lines():
                if " epoch " in line:
                    report(f"    {name}: {line.split(' ', 2)[-1]}")

    with every_second(show):
        yield


def _relative(path: Path) -> str:
    return os.path.relpath(path)


def main() -> int:
    """Run the command line; returns its exit status: 0 well, 1 a run failed, 2 nothing was run."""
    parser = argparse.ArgumentParser(description="Run notebooks with many combinations of values.")
    parser.add_argument("sweep", help="YAML file of the sweep (see notebooks/sweeps/)")
    parser.add_argument("--out", help="folder of the runs; by default runs/<name of the file>")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time (default: %(default)s)")
    parser.add_argument("--cluster", default="", metavar="ADDRESS", help="a Dask scheduler, tcp://host:8786")
    parser.add_argument("--yes", action="store_true", help=f"run more than {MANY} runs")
    options = parser.parse_args()
    try:
        outcomes = run_sweep(options.sweep, options.out, jobs=options.jobs, cluster=options.cluster, confirmed=options.yes)
    except (ValueError, OSError, MissingExtra) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    out = options.out or f"runs/{Path(options.sweep).stem}"
    table = compare(out)
    if len(table):
        print(f"\n{table.head(12).to_string(index=False)}\n\n{out}/sweep.csv: {len(table)} runs, best first")
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        print(f"{outcome.name}: {outcome.error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
