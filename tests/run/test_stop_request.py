"""Signals: heard from the first moment of a run to its last."""

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from parampi.errors import InterruptionError
from parampi.run import job
from parampi.run.config import load
from parampi.run.stop_request import StopRequest
from tests.small import write_project

ROOT = Path(__file__).parents[2]


@pytest.fixture
def deadly():
    """Signals that would end this process are held back until the test is over."""
    before = {number: signal.signal(number, lambda *_: pytest.fail("not heard")) for number in (signal.SIGTERM, signal.SIGUSR1)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def signalled(monkeypatch, stage, number):
    """Sends a signal when a stage of `parampi run` begins."""
    original = getattr(job, stage)

    def wrapped(*arguments, **options):
        os.kill(os.getpid(), number)
        return original(*arguments, **options)

    monkeypatch.setattr(job, stage, wrapped)


@pytest.mark.parametrize("stage", ["read_inputs", "make_plan", "load_denoiser", "draw"])
def test_a_signal_before_the_first_round_stops_in_good_order(tmp_path, monkeypatch, deadly, stage):
    signalled(monkeypatch, stage, signal.SIGUSR1)
    with pytest.raises(InterruptionError, match=r"stopped in good order \(SIGUSR1\); 0 of 4 members are finished"):
        job.run(load(write_project(tmp_path)))


def test_a_signal_while_files_are_finished_does_not_spoil_the_run(tmp_path, monkeypatch, deadly):
    signalled(monkeypatch, "finish", signal.SIGTERM)
    job.run(load(write_project(tmp_path)))
    assert (tmp_path / "out" / "report.json").is_file()


@pytest.fixture
def interruptible():
    """Ctrl-C as in the foreground: shells have it ignored by what they start in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_once_stops_in_good_order_and_twice_at_once(interruptible, capfd):
    with StopRequest().listening() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.received == "SIGINT" and "Ctrl-C once more stops at once" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_signals_did_before_is_restored(deadly):
    before = signal.getsignal(signal.SIGUSR1)
    with StopRequest().listening() as stop:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stop.received == "SIGUSR1"
    assert signal.getsignal(signal.SIGUSR1) is before


def test_other_threads_cannot_listen_and_run_without():
    heard = []
    thread = threading.Thread(target=lambda: heard.append(StopRequest().listen()))
    thread.start()
    thread.join()
    assert heard == [{}]


LATE = """
import ctypes, sys
from parampi.__main__ import main
ctypes.pythonapi.Py_AtExit(ctypes.CDLL(None).getchar)  # MPI is finalized at this place
sys.argv = ["parampi", "run", "nowhere.yaml"]
sys.exit(main())
"""
READS_STANDARD_INPUT = "0 0x0 "
"""What /proc shows of a process that waits in read(0, ...), on 64-bit Intel and AMD."""


@pytest.mark.skipif(platform.machine() != "x86_64" or not Path("/proc/self/syscall").exists(), reason="reads /proc of Linux")
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_while_the_interpreter_ends_kills_no_rank(number):
    """Others would wait for the dead rank in MPI_Finalize, until the batch system's time limit."""
    run = subprocess.Popen([sys.executable, "-c", LATE], stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True)
    until = time.monotonic() + 60
    while not Path(f"/proc/{run.pid}/syscall").read_text().startswith(READS_STANDARD_INPUT):
        assert time.monotonic() < until and run.poll() is None
        time.sleep(0.01)
    run.send_signal(number)
    _, errors = run.communicate("\n", timeout=60)
    assert run.returncode == 2 and "nowhere.yaml" in errors
