"""A stop button that waits for the end of a step: one that is cut short in the middle could not be resumed exactly."""

import signal
import threading
import time

SAME = 0.5  # seconds within which two interrupts are one


class InterruptLater:
    """While this context is active, an interrupt (Ctrl-C, a notebook's stop button) only sets `requested`; a second one
    ends the work at once. A launcher may forward a Ctrl-C already delivered: it counts once."""

    def __init__(self):
        self.requested = False
        self.since = 0.0  # when it was requested

    def __enter__(self) -> "InterruptLater":
        self.in_main_thread = threading.current_thread() is threading.main_thread()  # no other thread receives signals
        if self.in_main_thread:
            self.before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self.in_main_thread:
            signal.signal(signal.SIGINT, self.before)

    def _note(self, *_: object) -> None:
        if self.requested and time.monotonic() - self.since < SAME:
            return
        if self.requested:
            raise KeyboardInterrupt
        self.requested, self.since = True, time.monotonic()
        print("stopping after this step; interrupt again to stop at once, without saving", flush=True)
