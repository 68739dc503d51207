"""What long work reports: lines in `train.log`, on the terminal too if logging is configured, and how others follow them."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger("hwrlib")


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Append what the package logs in the block to a file; warnings go to stdout, too, if nobody else handles them."""
    handlers: list[logging.Handler] = [logging.FileHandler(path, encoding="utf-8")]
    handlers[0].setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    if not logger.hasHandlers():
        handlers.append(logging.StreamHandler(sys.stdout))
        handlers[1].setLevel(logging.WARNING)
    level = logger.level
    logger.setLevel(logging.INFO)
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.setLevel(level)
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


class Progress:
    """A line per minute: place, loss, lines per second, time left in the epoch.

    Args:
        title: of the work, "epoch 3/16" for instance.
        total: batches of it.
        done: batches that an earlier process has done.
    """

    def __init__(self, title: str, total: int, *, done: int = 0):
        self.title, self.total, self.first, self.lines = title, total, done, 0
        self.started = self.told = time.monotonic()

    def step(self, done: int, lines: int, loss: float) -> None:
        """Count a batch; once a minute, report.

        Args:
            done: batches done so far.
            lines: in this batch.
            loss: of this batch, nats per character.
        """
        self.lines += lines
        now = time.monotonic()
        if now - self.told < 60:
            return
        self.told, seconds = now, now - self.started
        left = seconds / (done - self.first) * (self.total - done)
        logger.info(
            "%s: batch %d of %d, loss %.3f, %.0f lines/s, %s left",
            self.title,
            done,
            self.total,
            loss,
            self.lines / seconds,
            duration(left),
        )


def duration(seconds: float) -> str:
    """A time in words: "42 s", "3 min", "2 h 05 min"."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


class Tail:
    """The end of a file that grows, or is not there yet.

    Args:
        path: the file.
        from_start: begin with what is in it already.
    """

    def __init__(self, path: Path, *, from_start: bool = False):
        self.path = path
        self._place = 0 if from_start or not path.is_file() else path.stat().st_size

    def lines(self) -> list[str]:
        """The complete lines that were appended since the last call."""
        if not self.path.is_file():
            return []
        with open(self.path, "rb") as file:
            file.seek(self._place)
            new = file.read()
        complete = new[: new.rfind(b"\n") + 1]
        self._place += len(complete)
        return complete.decode(errors="replace").splitlines()


@contextmanager
def every_second(look: Callable[[], None]) -> Iterator[None]:
    """Call a function every second while the block runs, and once more after its end."""
    finished = threading.Event()

    def repeat() -> None:
        last = False
        while not last:
            last = finished.wait(1.0)
            look()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()
