"""Ctrl-C and a notebook's stop button: the current step is finished, the state saved, and the kernel stays usable."""

import os
import signal
import sys
import time

import pytest
from jupyter_client.manager import start_new_kernel
from test_resume import assert_same_end

from hwrlib.runs import state
from hwrlib.runs.fit import fit
from hwrlib.runs.interrupt import InterruptLater

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT to the own process")


@pytest.fixture(autouse=True)
def interruptible():
    """Shells start background processes with interrupts ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupted_training_is_saved_and_ends_the_same(tiny, tmp_path, monkeypatch):
    config = tiny(epochs=2, augment=1.0, dropout=0.2)
    undisturbed = fit(config, tmp_path / "undisturbed")
    real = state.augment
    for steps in (3, 14):  # the third step, in the first epoch of 16; then the 14th from there, in the second epoch
        taken = []

        def interrupt_during_a_step(*arguments, steps=steps, taken=taken):
            taken.append(1)
            if len(taken) == steps:
                os.kill(os.getpid(), signal.SIGINT)
            return real(*arguments)

        monkeypatch.setattr(state, "augment", interrupt_during_a_step)
        with pytest.raises(KeyboardInterrupt, match="stopped and saved; continue with resume"):
            fit(config, tmp_path / "run", resume=True)
        assert len(taken) == steps
        monkeypatch.undo()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    fit(config, tmp_path / "run", resume=True)
    assert_same_end(undisturbed.folder, tmp_path / "run", epochs=2)


def test_a_second_interrupt_ends_the_work_at_once():
    with pytest.raises(KeyboardInterrupt), InterruptLater() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # the same one, which a launcher has handed on
        assert interrupt.requested
        interrupt.since -= 1  # a second later
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_stop_button_saves_and_leaves_the_kernel_usable(tiny, tmp_path):
    config = tiny(epochs=1000, patience=0).as_dict()
    manager, client = start_new_kernel(kernel_name="python3")
    try:

        def run(code: str, interrupt: bool = False) -> dict:
            asked = client.execute(code, stop_on_error=False)  # else the kernel may abort the next request, too
            deadline = time.monotonic() + 120
            while interrupt and not (tmp_path / "run" / "epoch_2_model_checkpoint.pth").exists():
                assert time.monotonic() < deadline, "the training in the kernel did not reach epoch 2"
                time.sleep(0.1)
            if interrupt:
                manager.interrupt_kernel()
            while (reply := client.get_shell_msg(timeout=120))["parent_header"]["msg_id"] != asked:
                pass
            return reply["content"]

        reply = run(
            f"from hwrlib.runs.config import TrainConfig; from hwrlib.runs.fit import fit\n"
            f"config = TrainConfig(**{config!r}); fit(config, {str(tmp_path / 'run')!r})",
            interrupt=True,
        )
        assert reply["ename"] == "KeyboardInterrupt" and "stopped and saved" in reply["evalue"]
        assert run("assert config.epochs == 1000")["status"] == "ok"
        assert (tmp_path / "run" / "resume.pth").is_file()
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
