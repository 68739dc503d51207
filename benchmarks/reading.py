"""Reading throughput and latency: from image files to text."""

import subprocess
import sys
import time
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.calamari import Calamari
from benchmarks.measure import alternate, percentile
from benchmarks.plain import PlainTraining
from hwrlib import Recognizer
from hwrlib.files import find_images

COLD = "import sys; from hwrlib import Recognizer; Recognizer.pretrained(sys.argv[1]).read(sys.argv[2])"


def reading_throughput(data: str, weights: str, count: int = 512, calamari: Calamari | None = None) -> dict[str, Any]:
    """Images a second with the shipped weights, by each runtime, against the plain loop, docTR and Calamari; latencies."""
    paths = list(islice(cycle(find_images(Path(data) / "validation")), count))
    few = paths[:max(count // 8, 1)]
    onnx, plain = Recognizer.pretrained(weights), PlainTraining(data)
    torch_reader = Recognizer.pretrained(weights, device="cuda" if torch.cuda.is_available() else "cpu")
    ways = {"hwrlib, ONNX Runtime": (lambda: onnx.read(paths), count),
            "hwrlib, torch": (lambda: torch_reader.read(paths), count),
            "plain loop": (lambda: [plain.read(path) for path in few], len(few))}
    if doctr := _doctr():
        ways["docTR crnn_mobilenet_v3_small"] = (lambda: doctr(few), len(few))
    seconds = alternate({name: way for name, (way, _) in ways.items()}, repeats=3)
    rates = {name: images / seconds[name] for name, (_, images) in ways.items()}
    if calamari:   # after one second of training: it reads no slower for reading wrong
        calamari.train_for(1)
        rates["Calamari"] = calamari.images_per_second(paths * 4)
    single = [_seconds(lambda: onnx.read(path)) for path in few]
    cold = [_seconds(lambda: subprocess.run([sys.executable, "-c", COLD, weights, few[0]], check=True)) for _ in range(3)]
    fastest = max(rate for name, rate in rates.items() if name.startswith("hwrlib"))
    return {"images/s": rates, "ratio to the plain loop": fastest / rates["plain loop"],
            "one image, warm, ms": {"p50": percentile(single, 50), "p99": percentile(single, 99)},
            "one image, from a cold Python, s": median(cold)}


def _seconds(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _doctr():
    """A function that reads paths with docTR's small recogniser, random weights for want of a download; or none."""
    try:
        from doctr.io import DocumentFile
        from doctr.models import recognition_predictor
    except ImportError:
        return None
    predictor = recognition_predictor("crnn_mobilenet_v3_small", pretrained=False, pretrained_backbone=False)
    return lambda paths: predictor([page for path in paths for page in DocumentFile.from_images([path])])
