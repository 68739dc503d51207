"""Timing on a busy machine: medians of alternating repeats, and the limits of the machine itself."""

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

from hwrlib.models.precision import has_fast_bf16


def alternate(ways: dict[str, Callable[[], Any]], repeats: int = 5) -> dict[str, float]:
    """Time several pieces of work in turn, A B A B ..., after a warm-up of each that is not counted.

    If other work slows the machine down halfway, all of them become slower alike, and their ratios still hold.

    Args:
        ways: functions by name.
        repeats: timed runs of each.
    Returns:
        The median of each in seconds.
    """
    times: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if repeat:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def synchronise() -> None:
    """Wait until the GPU, if there is one, has finished its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def describe_machine() -> dict[str, Any]:
    """The processor, its cores, memory, GPU, and the versions that decide speed."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "torch threads": torch.get_num_threads(),
        "memory GiB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "onnxruntime", "numpy", "opencv-python-headless", "pillow")},
    }


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


def machine_limits(size: int = 2048, copied: int = 2**26) -> dict[str, float]:
    """What a large matrix product and a large copy reach.

    Args:
        size: rows and columns of the matrices.
        copied: numbers that are copied, 4 bytes each.
    Returns:
        GFLOP/s in 32 bits, and in 16 if the hardware multiplies these fast: emulated, one product can take minutes; GB/s.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    wide = torch.randn(size, size, device=device)
    source, target = torch.ones(copied, device=device), torch.empty(copied, device=device)
    ways = {"fp32": lambda: wide @ wide, "copy": lambda: target.copy_(source)}
    if has_fast_bf16(device):
        narrow = wide.bfloat16()
        ways["bf16"] = lambda: narrow @ narrow
    seconds = alternate({name: lambda way=way: (way(), synchronise()) for name, way in ways.items()})
    copy = seconds.pop("copy")
    return {
        **{f"matrix product {name}, GFLOP/s": 2 * size**3 / time / 1e9 for name, time in seconds.items()},
        "copy, GB/s": 2 * source.nbytes / copy / 1e9,
    }


# Not getrusage on Linux: it includes what the parent process held when the child was started.
REPORT = """
import pathlib, re, resource, sys
seconds, status = time.perf_counter() - began, pathlib.Path("/proc/self/status")
peak = (int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]) * 1024 if status.exists() else
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
print(seconds, peak / 2**20)"""


def in_fresh_python(code: str, *arguments: object) -> tuple[float, float]:
    """Run code in a Python process of its own.

    Args:
        code: sets the variable `began` when the timed work starts.
        arguments: its `sys.argv[1:]`.
    Returns:
        Seconds since `began`, and the peak memory of the process in MiB.
    Raises:
        RuntimeError: the code failed; the message is the end of what it printed.
    """
    done = subprocess.run(
        [sys.executable, "-c", code + REPORT, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "TQDM_DISABLE": "1"},
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    seconds, peak = done.stdout.split()[-2:]
    return float(seconds), float(peak)


def percentile(seconds: list[float], percent: float) -> float:
    """A percentile of a list of seconds, in milliseconds."""
    return float(np.percentile(seconds, percent) * 1000)
