"""How fast this machine trains and reads, printed as tables and written as JSON (`make bench`).

python -m benchmarks                            # the embedded data set, a quarter of an hour
python -m benchmarks --data data/kaggle --recipes notebooks/params/fast.yaml notebooks/params/names.yaml
python -m benchmarks --only language --data data/lines --weights lines
python -m benchmarks --only pages --pages FOLDER --weights lines    # ALTO or PAGE documents with their images
python -m benchmarks --only scale --sizes 1000 10000 100000 331000
python -m benchmarks --only reading accuracy --calamari FOLDER    # see benchmarks/calamari.py
"""

import argparse
import json
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.accuracy import time_to_accuracy
from benchmarks.calamari import Calamari
from benchmarks.language import language_cost
from benchmarks.measure import describe_machine, machine_limits
from benchmarks.pages import page_figures
from benchmarks.photo import photo_cost
from benchmarks.reading import reading_throughput
from benchmarks.scale import scale
from benchmarks.training import training_throughput, utilisation
from hwrlib.runs.config import TrainConfig
from hwrlib.synthetic import generate

PARTS = ("training", "reading", "language", "photo", "pages", "scale", "accuracy")


def main() -> None:
    """Run the parts that are asked for."""
    arguments = _parser().parse_args()
    if arguments.data == TrainConfig().data:
        generate(arguments.data)
    results: dict[str, Any] = {
        "date": f"{datetime.now():%Y-%m-%d %H:%M}",
        "data": arguments.data,
        "machine": describe_machine(),
        "limits": machine_limits(),
    }
    show("machine", {**results["machine"], **results["limits"]})
    with tempfile.TemporaryDirectory(dir=Path(arguments.data).resolve().parent) as folder:  # hard links need the same disk
        work = Path(folder)
        calamari = Calamari(arguments.calamari, arguments.data, work / "calamari") if arguments.calamari else None
        parts = {
            "training": lambda: training_throughput(arguments.data, arguments.recipes[-1]),
            "reading": lambda: reading_throughput(arguments.data, arguments.weights, calamari=calamari),
            "language": lambda: language_cost(arguments.data, arguments.weights),
            "photo": lambda: photo_cost(arguments.data, arguments.weights),
            "pages": lambda: page_figures(arguments.pages, arguments.weights),
            "scale": lambda: scale(arguments.data, arguments.sizes, work),
            "accuracy": lambda: time_to_accuracy(arguments.data, arguments.recipes, work / "runs", calamari),
        }
        for part in [part for part in PARTS if part in arguments.only]:
            results[part] = parts[part]()
            if part == "training":
                results[part] |= utilisation(results[part], results["limits"])
            show(part, results[part])
            _write(Path(arguments.out), results)
    print(f"\n{arguments.out}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", default=TrainConfig().data, help="data set (default: the embedded one, rendered if missing)"
    )
    parser.add_argument(
        "--recipes",
        nargs="+",
        default=["notebooks/params/fast.yaml"],
        help="recipes (YAML) for `accuracy`; `training` times the steps of the last one (default: fast.yaml)",
    )
    parser.add_argument("--weights", default="names", help="shipped weights to read with (default: %(default)s)")
    parser.add_argument("--pages", metavar="FOLDER", help="transcribed pages for `pages` (default: rendered registers)")
    parser.add_argument("--sizes", nargs="+", type=int, default=[1000, 10_000], help="data set sizes for `scale`, in images")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to run (default: all)")
    parser.add_argument("--calamari", metavar="FOLDER", help="virtual environment of Calamari OCR, to compare with")
    parser.add_argument("--out", default="runs/bench.json", help="file for the results (default: %(default)s)")
    return parser


def show(title: str, values: Any, indent: int = 0) -> None:
    """Print nested names and numbers as an indented table."""
    print(f"\n{title}" if not indent else f"{'  ' * indent}{title}", flush=True)
    if isinstance(values, list):
        return print(pd.DataFrame(values).to_string(index=False, float_format="{:,.0f}".format), flush=True)
    for name, value in values.items():
        if isinstance(value, dict):
            show(name, value, indent + 1)
        else:
            print(f"{'  ' * (indent + 1)}{name:<54}{_text(value):>14}", flush=True)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"{seconds:.0f} s {cer:.1%}" for seconds, cer in value)
    if isinstance(value, float):
        return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"
    return "-" if value is None else str(value)


def _write(path: Path, results: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=2, default=float), encoding="utf-8")


if __name__ == "__main__":
    main()
