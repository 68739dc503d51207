"""``make bench``: how fast this machine trains and reads, printed as tables and written as JSON.

    python -m benchmarks                            # the embedded set, a quarter of an hour
    python -m benchmarks --data data/kaggle --recipes notebooks/params/fast.yaml notebooks/params/names.yaml
    python -m benchmarks --only scale --sizes 1000 10000 100000 331000
    python -m benchmarks --only reading accuracy --calamari FOLDER    # how to make it: benchmarks/calamari.py
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
from benchmarks.measure import describe_machine, machine_limits
from benchmarks.reading import reading_throughput
from benchmarks.scale import scale
from benchmarks.training import training_throughput
from hwrlib.config import TrainConfig
from hwrlib.synthetic import generate

PARTS = ("training", "reading", "scale", "accuracy")


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=TrainConfig().data, help="a data set; the embedded one is made if it is missing")
    parser.add_argument("--recipes", nargs="+", default=["notebooks/params/fast.yaml"],
                        help="parameter files to train by, each to its end; the last is the one whose steps are timed")
    parser.add_argument("--weights", default="names", help="shipped weights to read with")
    parser.add_argument("--sizes", nargs="+", type=int, default=[1000, 10_000], help="images of the sets that `scale` makes")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to run")
    parser.add_argument("--calamari", metavar="FOLDER", help="a virtual environment with Calamari OCR to compare with")
    parser.add_argument("--out", default="runs/bench.json")
    arguments = parser.parse_args()
    if arguments.data == TrainConfig().data:
        generate(arguments.data)
    results: dict[str, Any] = {"date": f"{datetime.now():%Y-%m-%d %H:%M}", "data": arguments.data,
                               "machine": describe_machine(), "limits": machine_limits()}
    show("machine", {**results["machine"], **results["limits"]})
    with tempfile.TemporaryDirectory(dir=Path(arguments.data).resolve().parent) as work:   # hard links need the same disk
        calamari = Calamari(arguments.calamari, arguments.data, Path(work) / "calamari") if arguments.calamari else None
        parts = {
            "training": lambda: training_throughput(arguments.data, arguments.recipes[-1]),
            "reading": lambda: reading_throughput(arguments.data, arguments.weights, calamari=calamari),
            "scale": lambda: scale(arguments.data, arguments.sizes, Path(work)),
            "accuracy": lambda: time_to_accuracy(arguments.data, arguments.recipes, Path(work) / "runs", calamari)}
        for part in [part for part in PARTS if part in arguments.only]:
            results[part] = parts[part]()
            show(part, results[part])
            if part == "training":
                _show_shares(results)
            _write(Path(arguments.out), results)
    print(f"\n{arguments.out}")


def show(title: str, values: Any, indent: int = 0) -> None:
    """Nested names and numbers as an indented table."""
    print(f"\n{title}" if not indent else f"{'  ' * indent}{title}", flush=True)
    if isinstance(values, list):
        return print(pd.DataFrame(values).to_string(index=False, float_format="{:,.0f}".format), flush=True)
    for name, value in values.items():
        if isinstance(value, dict):
            show(name, value, indent + 1)
        else:
            print(f"{'  ' * (indent + 1)}{name:<44}{_text(value):>14}", flush=True)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"{seconds:.0f} s {cer:.1%}" for seconds, cer in value)
    if value is None:
        return "-"
    return f"{value:,.3g}" if isinstance(value, float) and value < 1000 else f"{value:,.0f}" if isinstance(
        value, float) else str(value)


def _show_shares(results: dict[str, Any]) -> None:
    """How near to the machine's matrix products training is."""
    training, limits = results["training"], results["limits"]
    reached = training["images/s"]["hwrlib"] * training["GFLOP an image (forward and backward)"]
    training["GFLOP/s reached"] = reached
    print(f"    training reaches {reached:.0f} GFLOP/s, {reached / limits['matrix product bf16, GFLOP/s']:.0%} of a large "
          "16-bit matrix product's", flush=True)


def _write(path: Path, results: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=2, default=float), encoding="utf-8")


if __name__ == "__main__":
    main()
