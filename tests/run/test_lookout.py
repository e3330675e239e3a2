"""The process beside a run: it ends a process that gives no sign of life, and no other."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from parampi.run import job, lookout
from parampi.run.config import load
from parampi.run.lookout import STACK, lookout_beside
from parampi.run.lookout_process import SHORTEST, SLACK
from parampi.run.stop_request import StopRequest
from parampi.run.watchdog import watched
from tests.small import write_project

LIMIT = 0.2
SILENT = """
import ctypes, signal, sys, time
from parampi.run.lookout import lookout_beside

beside = lookout_beside("rank 3 of 4", {limit})
print(beside.process.pid, flush=True)
{then}
"""
SPEAKING = "for _ in range(10):\n    time.sleep(0.1)\n    beside.tell({limit})\nbeside.close()"


def start(then: str) -> "subprocess.Popen[str]":
    code = SILENT.format(limit=LIMIT, then=then.format(limit=LIMIT))
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def children() -> list[str]:
    """Return the processes beside this one; a warm parent may be one more child."""
    pids = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    return [pid for pid in pids if lookout.PROCESS in Path(f"/proc/{pid}/cmdline").read_text()]


def is_gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_call_that_keeps_pythons_lock_ends_with_its_stack():
    process = start("ctypes.PyDLL(None).sleep(600)")
    beside, words = process.communicate(timeout=20)
    assert process.returncode == -STACK
    assert words.startswith("parampi: rank 3 of 4 has given no sign of life for 0."), words
    assert "(parallel.hang_timeout): C code that it called hangs and keeps Python's lock" in words
    assert 'File "<string>", line 7 in <module>' in words
    until = time.monotonic() + 5
    while not is_gone(int(beside)) and time.monotonic() < until:
        time.sleep(SHORTEST)
    assert is_gone(int(beside))


def test_a_process_that_does_not_end_by_itself_is_killed():
    process = start("signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nctypes.PyDLL(None).sleep(600)")
    assert "has given no sign of life" in process.communicate(timeout=20)[1]
    assert process.returncode == -signal.SIGKILL


def test_signs_of_life_and_a_stop_are_no_silence():
    process = start(SPEAKING)
    assert process.stdout and process.stdout.readline()
    process.send_signal(signal.SIGSTOP)
    time.sleep(2 * (LIMIT + SLACK * SHORTEST))
    process.send_signal(signal.SIGCONT)
    words = process.communicate(timeout=20)[1]
    assert process.returncode == 0 and not words


def test_a_handler_that_a_program_has_is_kept():
    before = signal.signal(STACK, lambda *_: None)
    try:
        beside = lookout_beside("this process", 60.0)
        assert beside and not beside.shows_stack
        os.kill(os.getpid(), STACK)
        beside.close()
    finally:
        signal.signal(STACK, before)


@pytest.mark.parametrize("program", ["", "/usr/bin/solver", "/nowhere/python3"])
def test_no_other_program_is_started(monkeypatch, program):
    monkeypatch.setattr(lookout.sys, "executable", program)
    assert lookout_beside("this process", 60.0) is None and not children()


def test_a_watchdog_has_one_with_its_limit_and_leaves_nothing():
    with watched(StopRequest(), None, None) as watchdog:
        assert watchdog.lookout is None
    with watched(StopRequest(), 7.0, None) as watchdog:
        assert children() == [str(watchdog.lookout.process.pid)]
        assert "7.0" in Path(f"/proc/{children()[0]}/cmdline").read_text().split("\0")
        watchdog.lookout.process.kill()
        watchdog.count(1.0)
    assert not children()


def test_files_are_read_and_figures_drawn_under_watch(tmp_path, monkeypatch):
    watchers = []

    def noted(call):
        def do(*arguments):
            watchers.append([thread.name for thread in threading.enumerate()].count("parampi watchdog"))
            return call(*arguments)

        return do

    monkeypatch.setattr(job, "read_inputs", noted(job.read_inputs))
    monkeypatch.setattr(job, "finish", noted(job.finish))
    job.run(load(write_project(tmp_path)))
    assert watchers == [1, 1]
