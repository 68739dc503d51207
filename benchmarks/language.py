"""What a language model costs: reading from files with and without it, and decoding alone on one core."""

import time
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.measure import alternate
from hwrlib import Recognizer
from hwrlib.common.files import find_images
from hwrlib.ctc import greedy_lines


def language_cost(data: str | Path, weights: str, count: int = 512) -> dict[str, Any]:
    """Measure reading with ONNX Runtime.

    Args:
        data: a data set; the images of its validation split are read.
        weights: name of shipped weights that have a language model.
        count: images to read, repeated if the split has fewer.
    Returns:
        Images per second from files, greedily and with the language, and the ratio of the times; ms of decoding per line.
    """
    recognizer = Recognizer.pretrained(weights)
    paths = list(islice(cycle(find_images(Path(data) / "validation")), count))
    ways = {
        "greedy": lambda: recognizer.read(paths, language=None),
        "with the language": lambda: recognizer.read(paths),
    }
    seconds = alternate(ways, repeats=5)
    return {
        "images/s": {name: count / taken for name, taken in seconds.items()},
        "time with the language / greedy": seconds["with the language"] / seconds["greedy"],
        "decoding, ms per line on one core": _decoding(recognizer, paths[:128]),
    }


def _decoding(recognizer: Recognizer, paths: list[Path]) -> dict[str, float]:
    """Milliseconds of processor time per line, the network's work excluded."""
    frames = recognizer.log_probs(paths)
    lengths = np.array([len(line) for line in frames])
    log_probs = np.zeros((lengths.max(), len(frames), frames[0].shape[1]), np.float32)  # (T, N, C)
    for n, line in enumerate(frames):
        log_probs[: len(line), n] = line
    batch = log_probs, lengths, recognizer.charset
    ways = {"greedy": lambda: greedy_lines(*batch), "with the language": lambda: recognizer.decoder.decode(*batch)}
    return {name: 1000 * median(_processor_seconds(way) for _ in range(3)) / len(paths) for name, way in ways.items()}


def _processor_seconds(work) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
