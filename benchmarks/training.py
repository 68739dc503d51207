"""Training throughput: images per second compared with the plain loop, and where the time of a step goes."""

import math
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import plain
from benchmarks.measure import alternate, synchronise
from hwrlib.augment import augment
from hwrlib.collate import Batch, train_loader
from hwrlib.ctc import ctc_loss
from hwrlib.decode import to_grey
from hwrlib.images import normalise
from hwrlib.runs.config import TrainConfig
from hwrlib.runs.state import Training, new_training
from hwrlib.runs.training_data import training_data
from hwrlib.sets.dataset import LineDataset
from hwrlib.train import train_step

STEPS = 20
FLOPS = "GFLOP per image (forward and backward)"


def training_throughput(data: str | Path, recipe: str | Path) -> dict[str, Any]:
    """Measure training.

    Args:
        data: a data set.
        recipe: the YAML file whose steps are timed.
    Returns:
        Images per second of ours and of the plain loop, milliseconds of each stage, and GFLOP per image.
    """
    config = TrainConfig.from_yaml(recipe, data=str(data))
    lines, _, charset = training_data(config)
    training = new_training(config, charset, math.ceil(len(lines) / config.batch_size))
    loader = training.accelerator.prepare(train_loader(lines, charset, batch_size=config.batch_size))
    other = plain.PlainTraining(data)
    batches = list(_first_batches(loader))

    def ours() -> None:
        training.model.train()
        for batch in _first_batches(loader):
            with training.accelerator.accumulate(training.model):
                train_step(training, batch)
        synchronise()

    seconds = alternate({"hwrlib": ours, "plain loop": lambda: other.steps(2)})
    rates = {
        "hwrlib": sum(len(batch.texts) for batch in batches) / seconds["hwrlib"],
        "plain loop": 2 * plain.BATCH / seconds["plain loop"],
    }
    return {
        "images/s": {**rates, "ratio": rates["hwrlib"] / rates["plain loop"]},
        "milliseconds per image": {**_before_training(lines.datasets[0]), **_stages(training, loader, len(batches))},
        FLOPS: _flops(training, batches) / 1e9,
    }


def utilisation(training: dict[str, Any], limits: dict[str, float]) -> dict[str, float]:
    """How close training comes to the fastest large matrix product that the machine offers.

    Args:
        training: what `training_throughput` returned.
        limits: what `benchmarks.measure.machine_limits` returned. Without fast 16-bit products it has 32-bit ones only.
    """
    reached = training["images/s"]["hwrlib"] * training[FLOPS]
    precision = "bf16" if "matrix product bf16, GFLOP/s" in limits else "fp32"
    percent = 100 * reached / limits[f"matrix product {precision}, GFLOP/s"]
    return {"GFLOP/s reached": reached, f"% of a large {precision} matrix product's": percent}


def _first_batches(loader: DataLoader) -> Iterator[Batch]:
    """The same batches in every call."""
    loader.batch_sampler.start_at(0)
    return islice(loader, STEPS)


def _before_training(lines: LineDataset) -> dict[str, float]:
    """What each image costs once, when the cache is built."""
    paths = [lines.path(i) for i in range(0, len(lines), max(len(lines) // 500, 1))]
    seconds = alternate(
        {
            "decode": lambda: [to_grey(path) for path in paths],
            "all": lambda: [normalise(path, lines.normalisation) for path in paths],
        }
    )
    return {
        "once: decode": seconds["decode"] / len(paths) * 1000,
        "once: normalise": (seconds["all"] - seconds["decode"]) / len(paths) * 1000,
    }


def _stages(training: Training, loader: DataLoader, steps: int) -> dict[str, float]:
    """The median of each stage of a step (`hwrlib.train.train_step`), in milliseconds per image."""
    config, stages = training.config, defaultdict(list)
    training.model.train()

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        synchronise()
        stages[name].append((time.perf_counter() - began) / config.batch_size * 1000)

    batches = _first_batches(loader)
    for _ in range(steps):
        with timed("load"):
            batch = next(batches)
        with timed("augment"):
            images, image_widths = augment(batch.images, batch.image_widths, config.augment)
        with timed("forward"):
            log_probs, input_lengths, shortcut = training.model(images, image_widths)
        with timed("CTC"):
            loss = ctc_loss(log_probs, batch, input_lengths).mean()
            if shortcut is not None:
                loss = loss + config.shortcut * ctc_loss(shortcut, batch, input_lengths).mean()
        with timed("backward"):
            training.accelerator.backward(training.scaler.scale(loss))
        with timed("optimizer"):
            training.update_weights()
    return {name: median(values) for name, values in stages.items()}


def _flops(training: Training, batches: list[Batch]) -> float:
    """Floating-point operations of a training step per image; a multiplication and an addition count as two."""
    training.model.train()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on entering the next line, torch warns about Intel GPUs
        with FlopCounterMode(display=False) as counter, torch.backends.mkldnn.flags(enabled=False):  # oneDNN hides LSTMs
            for batch in batches:
                output = training.plain_model(batch.images, batch.image_widths)
                sum(head.sum() for head in (output.log_probs, output.shortcut) if head is not None).backward()
    for optimizer in training.optimizers:
        optimizer.zero_grad()
    return counter.get_total_flops() / sum(len(batch.texts) for batch in batches)
