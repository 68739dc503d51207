"""Timing that a busy machine does not mislead: medians of alternating repeats, and what the machine itself can do."""

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch


def alternate(ways: dict[str, Callable[[], Any]], repeats: int = 5) -> dict[str, float]:
    """Seconds of each way, the median of ``repeats`` runs, A B A B …, after one of each that does not count.

    A machine that slows down half way slows all ways alike, so their ratios hold.
    """
    times: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if repeat:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def describe_machine() -> dict[str, Any]:
    """The processor, its cores, memory, GPU, and the versions that decide speed."""
    return {"processor": _processor(), "cores": os.cpu_count(), "torch threads": torch.get_num_threads(),
            "memory GiB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "python": platform.python_version(),
            **{name: _version(name) for name in ("torch", "onnxruntime", "numpy", "opencv-python-headless", "pillow")}}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def machine_limits() -> dict[str, float]:
    """What one large matrix product and one large copy reach: GFLOP/s in 32 and 16 bits, GB/s."""
    size = 2048
    device = "cuda" if torch.cuda.is_available() else "cpu"
    wide = torch.randn(size, size, device=device)
    narrow, target = wide.bfloat16(), torch.empty(2**26, device=device)
    source = torch.ones_like(target)

    def finished(work: Callable) -> Callable:
        return lambda: (work(), torch.cuda.synchronize() if device == "cuda" else None)

    seconds = alternate({"fp32": finished(lambda: wide @ wide), "bf16": finished(lambda: narrow @ narrow),
                         "copy": finished(lambda: target.copy_(source))})
    return {"matrix product fp32, GFLOP/s": 2 * size**3 / seconds["fp32"] / 1e9,
            "matrix product bf16, GFLOP/s": 2 * size**3 / seconds["bf16"] / 1e9,
            "copy, GB/s": 2 * source.nbytes / seconds["copy"] / 1e9}


# On Linux not getrusage, which counts what the parent held before the child became another program.
REPORT = """
import pathlib, re, resource, sys
seconds, status = time.perf_counter() - began, pathlib.Path("/proc/self/status")
peak = (int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]) * 1024 if status.exists() else
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
print(seconds, peak / 2**20)"""


def in_fresh_python(code: str, *arguments: object) -> tuple[float, float]:
    """Run ``code``, which sets ``began``, in a Python of its own (``sys.argv[1:]`` are the arguments).

    Returns:
        Seconds since ``began``, and the peak memory of the process in MiB.
    Raises:
        RuntimeError: the code failed; the message is the end of what it printed.
    """
    done = subprocess.run([sys.executable, "-c", code + REPORT, *map(str, arguments)], capture_output=True, text=True,
                          env={**os.environ, "TQDM_DISABLE": "1"})
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    seconds, peak = done.stdout.split()[-2:]
    return float(seconds), float(peak)


def percentile(seconds: list[float], share: float) -> float:
    """Of a list of seconds, in milliseconds."""
    return float(np.percentile(seconds, share) * 1000)
