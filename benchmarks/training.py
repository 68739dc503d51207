"""Training throughput: images a second against the plain loop, and where a step's time goes."""

import math
import time
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import alternate
from benchmarks.plain import PlainTraining
from hwrlib.augment import augment
from hwrlib.charset import Charset
from hwrlib.config import TrainConfig
from hwrlib.ctc import ctc_loss
from hwrlib.data import LineDataset, ResidentLines, train_loader, with_room_for
from hwrlib.images import normalise, to_grey
from hwrlib.train import Training, _train_step, normalisation_of, start

STEPS = 20


def training_throughput(data: str, params: str) -> dict[str, Any]:
    """Images a second of ours and of the plain loop, in turn; seconds of each stage; FLOPs an image."""
    config = TrainConfig.from_dict({**TrainConfig.from_yaml(params).as_dict(), "data": data})
    lines = LineDataset(data, "train", normalisation_of(config))
    charset = Charset.from_texts(lines.texts)
    training, plain = start(config, charset, math.ceil(len(lines) / config.batch_size)), PlainTraining(data)
    device = with_room_for([lines], training.accelerator.device)
    loader = training.accelerator.prepare(train_loader(ResidentLines([lines], charset, device) if device else lines, charset,
                                                       batch_size=config.batch_size))
    batches = _first_batches(loader, STEPS)
    images = sum(len(batch.texts) for batch in batches)

    def ours() -> None:
        training.model.train()
        for batch in _first_batches(loader, STEPS):
            _train_step(training, batch)

    seconds = alternate({"hwrlib": ours, "plain loop": lambda: plain.steps(2)}, repeats=5)
    ours_rate, plain_rate = images / seconds["hwrlib"], 2 * 32 / seconds["plain loop"]
    return {"images/s": {"hwrlib": ours_rate, "plain loop": plain_rate, "ratio": ours_rate / plain_rate},
            "milliseconds an image": {**_before_training(lines), **_stages(training, loader, batches)},
            "GFLOP an image (forward and backward)": _flops(training, batches) / 1e9}


def _first_batches(loader, count: int) -> list:
    loader.batch_sampler.start_at(0)
    return [batch for _, batch in zip(range(count), loader)]


def _before_training(lines: LineDataset) -> dict[str, float]:
    """What each image costs once, when the cache is built."""
    paths = [lines.path(i) for i in range(0, len(lines), max(len(lines) // 500, 1))]
    seconds = alternate({"decode": lambda: [to_grey(path) for path in paths],
                         "all": lambda: [normalise(path, lines.normalisation) for path in paths]})
    return {"once: decode": seconds["decode"] / len(paths) * 1000,
            "once: normalise": (seconds["all"] - seconds["decode"]) / len(paths) * 1000}


def _stages(training: Training, loader, batches: list) -> dict[str, float]:
    """The median over the batches of each stage of a step."""
    config, model = training.config, training.plain_model
    stages: dict[str, list[float]] = {}
    model.train()

    def timed(name: str, work):
        began = time.perf_counter()
        result = work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        stages.setdefault(name, []).append((time.perf_counter() - began) / config.batch_size * 1000)
        return result

    loader.batch_sampler.start_at(0)
    source = iter(loader)
    for _ in batches:
        batch = timed("load", lambda: next(source))
        images = timed("augment", lambda: augment(batch.images, config.augment))
        widths = batch.image_widths
        outputs = timed("forward", lambda: training.model(images, widths, with_shortcut=True))
        lengths = model.output_lengths(widths)
        loss = timed("CTC", lambda: sum(ctc_loss(output, batch, lengths).mean() for output in outputs))
        timed("backward", lambda: training.accelerator.backward(loss))
        timed("step", lambda: (training.accelerator.clip_grad_norm_(model.parameters(), config.clip_norm),
                               training.optimizer.step(), training.averaged.update_parameters(model),
                               training.optimizer.zero_grad()))
    return {name: median(values) for name, values in stages.items()}


def _flops(training: Training, batches: list) -> float:
    """Floating-point operations of one image's share of a step; a multiplication and an addition are two."""
    with FlopCounterMode(display=False) as counter, torch.backends.mkldnn.flags(enabled=False):  # which hides an LSTM's
        for batch in batches:
            training.plain_model(batch.images, batch.image_widths).sum().backward()
    training.optimizer.zero_grad()
    return counter.get_total_flops() / sum(len(batch.texts) for batch in batches)
