"""Shared by the tests: a tiny set of drawn words, a recogniser trained on it, rendered pages; one thread for everything."""

import csv
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of child processes, too: small tensors gain nothing from threads
os.environ["TQDM_DISABLE"] = "1"

import cv2
import numpy as np
import pytest
import torch

from hwrlib.models.recognizer import Recognizer
from hwrlib.pages import Page
from hwrlib.pages.cut import cut_line
from hwrlib.runs.config import TrainConfig
from hwrlib.runs.fit import Run, fit
from hwrlib.sets.dataset import LineDataset
from hwrlib.synthetic.pages import render_page
from tests.models.examples import export_tiny

WORDS = ("A", "E", "L", "N", "O", "Z", "LA", "ON", "ZE", "ANNE", "LEO", "ZOE")

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def draw() -> Callable[..., np.ndarray]:
    """Draw a word in black on white: (H, W) uint8, 48 px high, as wide as it needs."""

    def draw_word(text: str, seed: int = 0) -> np.ndarray:
        random = np.random.default_rng(seed)
        scale, thickness = random.uniform(0.8, 1.1), int(random.integers(2, 4))
        (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
        image = np.full((48, width + 16), 255, np.uint8)
        place = (int(random.integers(4, 12)), int(random.integers(34, 42)))
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, 0, thickness, cv2.LINE_AA)
        return image

    return draw_word


@pytest.fixture(scope="session")
def write_split(draw) -> Callable[..., list[Path]]:
    """Write one split of a data set: its images, drawn, and its table; returns the images' paths."""

    def write(folder: Path, split: str, texts: list[str]) -> list[Path]:
        (folder / split).mkdir(parents=True, exist_ok=True)
        paths = [folder / split / f"{split.upper()}_{number:03d}.png" for number in range(len(texts))]
        for number, (path, text) in enumerate(zip(paths, texts)):
            cv2.imwrite(str(path), draw(text or " ", seed=number))
        with open(folder / f"{split}.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("FILENAME", "IDENTITY"), *zip((path.name for path in paths), texts)])
        return paths

    return write


HOLD = """
import sys
from hwrlib.common.files import locked

with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="session")
def held_by_another_process() -> Callable[[Path], AbstractContextManager[subprocess.Popen]]:
    """A context in which another process holds the lock of a path, until its standard input is closed."""

    @contextmanager
    def hold(path: Path) -> Iterator[subprocess.Popen]:
        process = subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout.readline().strip() == b"held"
        try:
            yield process
        finally:
            process.stdin.close()
            process.wait(60)

    return hold


@pytest.fixture(scope="session")
def drawn_set(tmp_path_factory, write_split) -> Path:
    """A data set of twelve words in the one layout: 96 images to train on, 24 to validate, 12 to test."""
    folder = tmp_path_factory.mktemp("data") / "drawn"
    for split, times in (("train", 8), ("validation", 2), ("test", 1)):
        write_split(folder, split, list(WORDS) * times)
    return folder


@pytest.fixture(scope="session")
def tiny(drawn_set) -> Callable[..., TrainConfig]:
    """A configuration that trains on the drawn set in seconds; what is given by name differs from it."""

    def configure(**changes) -> TrainConfig:
        values = dict(
            data=str(drawn_set),
            width=16,
            hidden=32,
            height=16,
            max_width=64,
            min_width=16,
            epochs=16,
            batch_size=6,
            learning_rate=0.01,
            dropout=0.0,
            ema=0.9,
            augment=0.0,
            precision="fp32",
        )
        return TrainConfig(**values | changes)

    return configure


@pytest.fixture(scope="session")
def run(tiny, tmp_path_factory) -> Run:
    """A finished training on the drawn set."""
    return fit(tiny(), tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="session")
def recognizer(run) -> Recognizer:
    """The best model of that training."""
    return Recognizer.from_checkpoint(run.folder / "best_model.pth", device="cpu")


@pytest.fixture(scope="session")
def exported(recognizer, tmp_path_factory) -> Path:
    """That model as an ONNX file."""
    return export_tiny(recognizer, tmp_path_factory.mktemp("onnx") / "tiny.onnx", 16)


@pytest.fixture
def folder(tmp_path, write_split):
    """A data set of 30 words."""
    write_split(tmp_path / "set", "train", ["LEA", "NOE", "ANNA"] * 10)
    return tmp_path / "set"


@pytest.fixture
def word(draw) -> np.ndarray:
    """A drawn word, dark on white."""
    return draw("ELENA")


@pytest.fixture
def dataset(drawn_set, recognizer) -> LineDataset:
    """The validation split of the drawn words."""
    return LineDataset(drawn_set, "validation", recognizer.normalisation)


@pytest.fixture(scope="module")
def register() -> Page:
    """A rendered page in columns, with its true lines."""
    return render_page(0, rows=6)


@pytest.fixture(scope="session")
def transcribed(tmp_path_factory) -> Path:
    """Six transcribed pages in two folders, in both formats, one of them broken; and two lines with a .gt.txt file."""
    folder = tmp_path_factory.mktemp("transcribed")
    for number in range(6):
        page = render_page(number, columns=1, rows=3)
        page.lines[1] = replace(page.lines[1], text="¬" + page.lines[1].text)
        page.lines[2] = replace(page.lines[2], text="#" if number == 0 else page.lines[2].text)
        place = folder / ("first" if number < 3 else "second")
        place.mkdir(exist_ok=True)
        page.name = f"p{number}.png"
        cv2.imwrite(str(place / page.name), page.image)
        page.save(place / f"p{number}{'.page.xml' if number % 2 else '.alto.xml'}")
    (folder / "second" / "broken.xml").write_text("<alto>")
    for name in ("single", "lone"):
        (folder / f"{name}.gt.txt").write_text("MARTIN\n")
    cv2.imwrite(str(folder / "single.png"), cut_line(page.image, page.lines[0]).image)
    return folder


@pytest.fixture
def launch(tmp_path) -> Callable[..., tuple[int, str]]:
    """Run a program in two processes with `accelerate launch`, on the CPU; returns the exit status and what was printed."""

    def run_program(program: str, *arguments: object) -> tuple[int, str]:
        (tmp_path / "program.py").write_text(program)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = "--multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no".split()
        command = [sys.executable, "-m", "accelerate.commands.launch", *options, "--main_process_port", port]
        launcher = subprocess.Popen(
            [*map(str, [*command, tmp_path / "program.py", *arguments])],
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            messages, _ = launcher.communicate(timeout=300)
        finally:
            launcher.terminate()  # it ends its processes, too
            launcher.wait()
        return launcher.returncode, messages

    return run_program
