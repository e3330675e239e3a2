"""The watchdog's clock and its words, on one process. Ranks that hang are in tests/ranks/test_hangs.py."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from parampi.engine import Engine
from parampi.engine.alternating import AlternatingHalves
from parampi.engine.blocks import BlockEngine
from parampi.engine.windows import WindowEngine
from parampi.run import watchdog as house
from parampi.run.config import load
from parampi.run.job import run
from parampi.run.lookout_process import LONGEST
from parampi.run.stop_request import Arrivals, StopRequest
from parampi.run.watchdog import FIRST, HUNG, LEAST, Watchdog, watched
from tests.ranks.launch import environment
from tests.small import NETWORK, parampi_command, write_project

ROOT = Path(__file__).parents[2]


class Ended(BaseException):
    """In the place of the job's end."""


@pytest.fixture
def last_words(monkeypatch):
    words = []

    def end(comm, code, message):
        words.append((code, message))
        raise Ended

    monkeypatch.setattr(house, "end_job", end)
    return words


@pytest.fixture
def in_a_round(monkeypatch):
    monkeypatch.setattr(house, "activity", lambda frames: "has been in one round")


def test_the_first_round_has_6_hours_and_others_30_minutes_or_20_times_the_longest():
    watchdog = Watchdog(StopRequest())
    assert watchdog.limit == FIRST == 6 * 3600 and watchdog.tick == LONGEST
    watchdog.next_members()
    assert watchdog.limit == FIRST
    watchdog.next_round()
    assert watchdog.limit == LEAST == 1800 and watchdog.tick == LONGEST
    watchdog.begin -= 100
    watchdog.next_round()
    assert 2000 <= watchdog.limit < 2100
    watchdog.begin -= 5000
    watchdog.next_members()
    assert watchdog.limit < 2100, "time between two batches is no round"
    assert Watchdog(StopRequest(), None).limit == float("inf") and Watchdog(StopRequest(), 5.0).limit == 5


def test_a_round_that_is_too_long_ends_the_job(last_words, in_a_round):
    watchdog = Watchdog(StopRequest(), 5.0)
    watchdog.count(4.9)
    watchdog.next_round()
    watchdog.count(4.9)
    assert not last_words
    with pytest.raises(Ended):
        watchdog.count(0.2)
    ((code, message),) = last_words
    assert code == HUNG == 124 and message.startswith("this process has been in one round for 5.1 s (parallel.hang_timeout)")
    assert "test_watchdog.py" in message


def test_a_rank_that_waits_for_others_has_twice_the_time(last_words, in_a_round, monkeypatch):
    monkeypatch.setattr(house, "waits_for_others", lambda frames: True)
    watchdog = Watchdog(StopRequest(), 5.0)
    watchdog.count(10.9)
    assert not last_words
    with pytest.raises(Ended):
        watchdog.count(0.2)
    assert last_words[0][1].startswith("this process has been in one round, waiting for other ranks, for 11.1 s")


class Neighbour:
    """In the place of the memory that ranks share."""

    neighbour, beats = "rank 1 of 2", True

    def beat(self):
        return self.beats


def test_a_neighbour_that_is_silent_for_too_long_ends_the_job(last_words):
    neighbour = Neighbour()
    watchdog = Watchdog(StopRequest(), 5.0, heartbeats=neighbour)
    watchdog.count(100.0)
    neighbour.beats = False
    watchdog.count(5.9)
    neighbour.beats = True
    watchdog.count(1.0)
    neighbour.beats = False
    watchdog.count(5.9)
    assert not last_words
    with pytest.raises(Ended):
        watchdog.count(0.2)
    assert last_words[0][1].startswith("rank 1 of 2 has given no sign of life for 6.1 s (parallel.hang_timeout)")


def test_what_a_round_is_doing():
    def frame(call):
        return type("Frame", (), {"f_code": call.__code__})

    engines = list(house.kinds_of(Engine))
    assert {WindowEngine, BlockEngine, AlternatingHalves} <= set(engines)
    for kind in engines:
        assert house.activity([frame(kind.advance)]) == "has been in one round", kind
        assert not house.activity([frame(Engine.enter), frame(kind.advance)]), "a terminal that is halted"
    assert not house.activity([frame(Engine.state)]), "a checkpoint"


def test_time_between_rounds_has_no_limit(last_words):
    Watchdog(StopRequest(), 5.0).count(100)
    assert not last_words


def test_wall_time_that_passes_in_a_round_ends_the_job_after_a_grace(last_words, in_a_round):
    watchdog = Watchdog(StopRequest(seconds=10.0, begin=time.monotonic() - 65), None)
    watchdog.count(100.0)
    assert not last_words, "55 s too late"
    watchdog.stop.begin -= 10
    with pytest.raises(Ended):
        watchdog.count(1.0)
    assert "has been in one round 60 s after the end of checkpoint.max_walltime" in last_words[0][1]


def test_a_round_that_began_late_has_its_time(last_words, in_a_round):
    watchdog = Watchdog(StopRequest(seconds=10.0, begin=time.monotonic() - 1000), None)
    watchdog.count(30.0)
    assert not last_words


def test_a_signal_that_comes_on_two_ways_is_one():
    arrivals = Arrivals()
    assert not arrivals.again(15) and not arrivals.again(15) and not arrivals.again(1)
    arrivals.first[15] -= 1.1
    assert arrivals.again(15) and not arrivals.again(1)


def test_a_warning_that_is_repeated_ends_nothing():
    """Slurm sends USR1 once more where a busy node did not answer in time."""
    arrivals = Arrivals()
    assert not arrivals.again(signal.SIGUSR1)
    arrivals.first[signal.SIGUSR1] = time.monotonic() - 60
    assert not arrivals.again(signal.SIGUSR1)
    stop = StopRequest(at_once=lambda number: pytest.fail("ended"), arrivals=arrivals)
    stop.receive(signal.SIGUSR1, None)
    stop.receive(signal.SIGUSR1, None)
    assert stop.received == "SIGUSR1"


def test_nothing_is_left_of_a_watchdog():
    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    files = len(os.listdir("/proc/self/fd"))
    with watched(StopRequest(), "auto", None):
        assert any(thread.name == "parampi watchdog" for thread in threading.enumerate())
    assert not any(thread.name == "parampi watchdog" for thread in threading.enumerate())
    assert signal.set_wakeup_fd(before) == before and len(os.listdir("/proc/self/fd")) == files


def test_a_program_that_has_its_signals_written_elsewhere_keeps_that():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing)
    try:
        with watched(StopRequest(), "auto", None):
            assert signal.set_wakeup_fd(writing) == writing
        assert signal.set_wakeup_fd(before) == writing
    finally:
        os.close(reading)
        os.close(writing)


def test_a_child_that_a_network_forks_ends_by_signals_and_its_parent_hears_nothing():
    reading, writing = os.pipe()
    with StopRequest().listening() as stop, watched(stop, "auto", None):
        child = os.fork()
        if child == 0:
            os.write(writing, b"1")
            time.sleep(60)
            os._exit(1)
        os.read(reading, 1)
        os.kill(child, signal.SIGTERM)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGTERM
        time.sleep(0.1)
        assert not stop.received and not stop.arrivals.first
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.1)
        assert stop.received == "SIGUSR1" and list(stop.arrivals.first) == [signal.SIGUSR1]
    os.close(reading)
    os.close(writing)


def test_a_run_in_another_thread_is_watched_too(tmp_path):
    drawn = []
    thread = threading.Thread(target=lambda: drawn.append(run(load(write_project(tmp_path)))))
    thread.start()
    thread.join()
    assert drawn


LEAVES = """


class Leaves(White):
    def forward(self, *given):
        import ctypes, os, sys, time

        {how}
        return super().forward(*given)
"""
ENDS = {
    "time.sleep(600)": (124, "this process has been loading the network and trying it for 1."),
    "os._exit(0)": (1, "called os._exit(0) before the run was complete"),
    "sys.exit(0)": (1, "RuntimeError: sys.exit was called before the run was complete"),
    "os._exit(7)": (7, ""),
    "os.fork() or os._exit(0)": (0, ""),
}


def leaving(tmp_path, how):
    config = write_project(tmp_path, model__network="net.py:Leaves", parallel__hang_timeout=1.0)
    (tmp_path / "net.py").write_text(NETWORK + LEAVES.format(how=how))
    return parampi_command("run", config)


@pytest.mark.parametrize("how", ENDS)
def test_how_one_process_ends(tmp_path, how):
    code, line = ENDS[how]
    done = subprocess.run(leaving(tmp_path, how), capture_output=True, text=True, timeout=60, cwd=ROOT, env=environment(50))
    assert done.returncode == code and line in done.stderr, done.stderr
    assert (tmp_path / "out" / "ensemble.nc").exists() == (code == 0)


def test_a_signal_that_comes_again_ends_a_call_that_no_handler_interrupts(tmp_path):
    """A thread that waits for its own mutex; Python's handlers wait for the thread."""
    code = "libc = ctypes.CDLL(None); open(__file__ + '.begun', 'w').close(); "
    code += "lock = (ctypes.c_char * 64)(); libc.pthread_mutex_lock(lock); libc.pthread_mutex_lock(lock)"
    command = [*leaving(tmp_path, code), "parallel.hang_timeout=null"]
    job = subprocess.Popen(command, cwd=ROOT, env=environment(50), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 30
    while not (tmp_path / "net.py.begun").exists() and time.monotonic() < until and job.poll() is None:
        time.sleep(0.05)
    time.sleep(0.5)
    job.send_signal(signal.SIGTERM)
    time.sleep(1.5)
    assert job.poll() is None
    job.send_signal(signal.SIGTERM)
    told = job.communicate(timeout=20)[1]
    assert job.returncode == 143 and "SIGTERM came again and ends the run at once" in told, told
