"""Reading: throughput and latency from image files to text, greedily; `benchmarks.language` adds a language model."""

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.calamari import Calamari
from benchmarks.measure import alternate, percentile
from benchmarks.plain import PlainTraining
from hwrlib import Recognizer
from hwrlib.common.files import find_images

COLD = "import sys; from hwrlib import Recognizer; Recognizer.pretrained(sys.argv[1]).read(sys.argv[2])"


def reading_throughput(data: str | Path, weights: str, count: int = 512, calamari: Calamari | None = None) -> dict[str, Any]:
    """Measure reading.

    Args:
        data: a data set; the images of its validation split are read.
        weights: name of shipped weights.
        count: images to read, repeated if the split has fewer.
        calamari: Calamari OCR to compare with, if any.
    Returns:
        Images per second of each runtime, of the plain loop, of docTR (if installed) and of Calamari; latencies.
    """
    paths = list(islice(cycle(find_images(Path(data) / "validation")), count))
    few = paths[: max(count // 8, 1)]
    onnx, plain = Recognizer.pretrained(weights), PlainTraining(data)
    torch_reader = Recognizer.pretrained(weights, device="cuda" if torch.cuda.is_available() else "cpu")
    ways = {
        "hwrlib, ONNX Runtime": (lambda: onnx.read(paths, language=None), count),
        "hwrlib, torch": (lambda: torch_reader.read(paths, language=None), count),
        "plain loop": (lambda: [plain.read(path) for path in few], len(few)),
    }
    if doctr := _doctr():
        ways["docTR crnn_mobilenet_v3_small"] = (lambda: doctr(few), len(few))
    seconds = alternate({name: way for name, (way, _) in ways.items()}, repeats=3)
    rates = {name: images / seconds[name] for name, (_, images) in ways.items()}
    if calamari:  # after one second of training: what it reads does not matter for the speed
        calamari.train_for(1)
        rates["Calamari"] = calamari.images_per_second(paths * 4)
    single = [_seconds(partial(onnx.read, path)) for path in few]
    cold = [_seconds(lambda: subprocess.run([sys.executable, "-c", COLD, weights, few[0]], check=True)) for _ in range(3)]
    fastest = max(rate for name, rate in rates.items() if name.startswith("hwrlib"))
    return {
        "images/s": rates,
        "ratio to the plain loop": fastest / rates["plain loop"],
        "one image, warm, ms": {"p50": percentile(single, 50), "p99": percentile(single, 99)},
        "one image, from a cold Python, s": median(cold),
    }


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _doctr() -> Callable | None:
    """A function that reads images with docTR's small recogniser, if it is installed; random weights avoid a download."""
    try:
        from doctr.io import DocumentFile
        from doctr.models import recognition_predictor
    except ImportError:
        return None
    predictor = recognition_predictor("crnn_mobilenet_v3_small", pretrained=False, pretrained_backbone=False)
    return lambda paths: predictor([page for path in paths for page in DocumentFile.from_images([path])])
