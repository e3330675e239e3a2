"""Signals: heard from the first moment of a run to its last."""

import os
import signal
import threading

import pytest

from parampi.errors import InterruptionError
from parampi.run import job
from parampi.run.config import load
from parampi.run.stop_request import StopRequest
from tests.small import write_project


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


def test_ctrl_c_once_stops_in_good_order_and_twice_at_once(tmp_path, capfd):
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
