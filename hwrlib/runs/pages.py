"""Training the network that finds lines, on pages with ALTO or PAGE documents.

python -m hwrlib.runs.pages FOLDER --out runs/pages.pth --steps 4000
python -m hwrlib.runs.pages FOLDER --out runs/pages.pth --steps 4000 --onnx pages.onnx    # and export it
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel

from hwrlib.models.checkpoint import load_safely, save_atomically
from hwrlib.models.precision import has_fast_bf16
from hwrlib.pages.documents import find_documents, load_page
from hwrlib.pages.examples import Example, crop
from hwrlib.pages.export import to_onnx
from hwrlib.pages.network import LineNetwork, loss
from hwrlib.pages.page import Page
from hwrlib.runs.optim import ema_update
from hwrlib.synthetic.pages import render_page

BATCH = 8  # pieces of pages per step
RENDERED = 12  # pages of rendered handwriting among the real ones
PARTS = ("network", "average", "optimizer", "schedule")  # of a training's state
DECAY = 0.998  # of the moving average of the weights, once it has begun


def pieces_of(
    examples: Sequence[Example], first: int, steps: int, batch: int, seed: int
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Step, ink (N, 1, H, W) in 0 ... 1, target maps and where they are known; a step is the same whatever came before."""
    odds = np.array([math.sqrt(len(example.lines) + 1) for example in examples])
    for step in range(first, steps):
        random = np.random.default_rng([seed, step])
        chosen = random.choice(len(examples), (batch, 2), p=odds / odds.sum())
        drawn = [crop([examples[index] for index in pair], random) for pair in chosen]
        ink, target, known = (torch.from_numpy(np.stack(part)) for part in zip(*drawn))
        yield step, ink[:, None].float() / 255, target, known


def averaged_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """The averaged weights of a training's state.

    Raises:
        FileNotFoundError, ValueError: as `hwrlib.models.checkpoint.load_safely`.
    """
    weights = load_safely(path)["average"]
    return {name.removeprefix("module."): value for name, value in weights.items() if name.startswith("module.")}


def train(
    pages: Sequence[Page],
    path: str | Path,
    *,
    steps: int,
    batch: int = BATCH,
    rendered: Sequence[Page] = (),
    start: str | Path | None = None,
    rate: float = 2e-3,
    seed: int = 0,
    every: int = 100,
    on_step: Callable[[int, float], None] = lambda step, value: None,
) -> LineNetwork:
    """Train the network on pages; an interrupted training resumes from what it saved last.

    Args:
        pages: with images, baselines and polygons.
        path: file of the training's state.
        steps: in all.
        batch: pieces of pages per step.
        rendered: pages of rendered handwriting to learn beside the others.
        start: state of another training, with whose averaged weights this one begins.
        rate: the highest learning rate; it rises over a tenth of the steps and falls to zero.
        seed: of weights and pieces.
        every: steps between two states that are saved.
        on_step: called with each step's number and loss.
    Returns:
        The network with averaged weights.
    Raises:
        WriteError: the disk is full or read-only; the state before is intact.
    """
    torch.manual_seed(seed)
    training = _Training(steps, rate, averaged_weights(start) if start else None)
    path, first = Path(path), training.restore(path) if Path(path).exists() else 0
    examples = [Example.of(page) for page in [*pages, *rendered]]
    for step, ink, target, known in pieces_of(examples, first, steps, batch, seed):
        value = training.learn(ink, target, known)
        if (step + 1) % every == 0 or step + 1 == steps:
            training.save(path, step + 1)
        on_step(step + 1, value)
    return training.average.module


class _Training:
    """The network, the moving average of its weights, its optimizer and its schedule."""

    def __init__(self, steps: int, rate: float, weights: dict[str, torch.Tensor] | None):
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network = LineNetwork()
        if weights:
            network.load_state_dict(weights)
        self.network = network.to(self.device, memory_format=torch.channels_last).train()
        self.average = AveragedModel(self.network, multi_avg_fn=ema_update(DECAY), use_buffers=True)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=rate, weight_decay=0.01)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, rate, total_steps=steps + 1, pct_start=0.1)

    def learn(self, ink: torch.Tensor, target: torch.Tensor, known: torch.Tensor) -> float:
        """One step on a batch of `pieces_of`; returns its loss."""
        ink = ink.to(self.device, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=has_fast_bf16(self.device)):
            predicted = self.network(ink)
        value = loss(predicted.float(), target.to(self.device), known.to(self.device))
        self.optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.average.update_parameters(self.network)
        return value.item()

    def save(self, path: Path, step: int) -> None:
        """Save the state after a step."""
        save_atomically({"step": step, **{name: getattr(self, name).state_dict() for name in PARTS}}, path)

    def restore(self, path: Path) -> int:
        """Continue from a saved state; returns the number of its steps."""
        state = load_safely(path, device=self.device)
        state["optimizer"] = state.get("optimizer") or state["optimiser"]  # as earlier versions called it
        for name in PARTS:
            getattr(self, name).load_state_dict(state[name])
        return state["step"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m hwrlib.runs.pages", description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="ALTO or PAGE documents with their images")
    parser.add_argument("--out", required=True, help="file of the training's state")
    parser.add_argument("--onnx", metavar="FILE", help="write the trained network as an ONNX file, too")
    parser.add_argument("--steps", type=int, default=4000, help="default: %(default)s, an hour on one CPU core")
    parser.add_argument("--start", metavar="STATE", help="begin with the weights of another training")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate (default: %(default)s)")
    parser.add_argument("--leave-out", type=int, default=0, metavar="K", help="every K-th page is kept for validation")
    options = parser.parse_args(arguments)
    recent: list[float] = []

    def show(step: int, value: float) -> None:
        recent.append(value)
        if step % 100 == 0 or step == options.steps:
            print(f"step {step}: loss {np.mean(recent[-100:]):.3f}", flush=True)

    try:
        documents = find_documents(options.folder)
        documents = [path for k, path in enumerate(documents) if not options.leave_out or k % options.leave_out]
        pages = [load_page(path)[0] for path in documents]
        rendered = [render_page(k, columns=1 + k % 3, rows=6 + k % 9, skew=k % 7 - 3) for k in range(100, 100 + RENDERED)]
        settings = dict(steps=options.steps, start=options.start, rate=options.rate)
        network = train(pages, options.out, rendered=rendered, on_step=show, **settings)
        if options.onnx:
            print(to_onnx(network.cpu().eval(), options.onnx))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
