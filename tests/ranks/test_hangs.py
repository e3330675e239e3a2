"""Networks that hang, on one rank of three: the job ends in time with a line and a code, and goes on later to the same bits."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.ranks.launch import ROOT, environment, parampi_on
from tests.ranks.test_resume import assert_same, ended, project, start, uninterrupted
from tests.small import NETWORK

pytestmark = pytest.mark.mpi

HUNG, TIMEOUT, SECONDS = 124, 1.5, 30.0
HANGING = (
    f"{NETWORK}\n\n"
    + '''
import ctypes, os, signal
from pathlib import Path

HANG = Path(__file__).with_name("hang")
RANK = os.environ.get("PMI_RANK", os.environ.get("OMPI_COMM_WORLD_RANK", "0"))
PLACES = {
    "sleep": lambda: time.sleep(600),
    "spin": lambda: [None for _ in iter(int, 1)],
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "with Python's lock": lambda: ctypes.PyDLL(None).sleep(600),
    "os._exit(0)": lambda: os._exit(0),
    "sys.exit(0)": lambda: __import__("sys").exit(0),
}


class Hangs(White):
    """Hangs on one rank in a later call, as the file `hang` says while it is there."""

    calls = 0

    def forward(self, x, noise, condition=None):
        self.calls += 1
        HANG.with_name(f"{os.getpid()}.pid").touch()
        if self.calls == 8 and HANG.exists():
            rank, how = HANG.read_text().split(maxsplit=1)
            if RANK == rank:
                HANG.with_name("hangs").touch()
                PLACES[how]()
        return super().forward(x, noise, condition)


class Slow(White):
    """Slow on one rank."""

    def forward(self, x, noise, condition=None):
        time.sleep(0.2 * (RANK == "1"))
        return super().forward(x, noise, condition)
'''
)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return uninterrupted(tmp_path_factory.mktemp("expected") / "whole", parallel__time_ranks=1)


def hanging(folder: Path, how: str, rank: int, **changes) -> Path:
    config = project(folder, 0.02, **{"model__network": "net.py:Hangs", "parallel__hang_timeout": TIMEOUT, **changes})
    (folder / "net.py").write_text(HANGING)
    (folder / "hang").write_text(f"{rank} {how}")
    return config


def wait_for(job: "subprocess.Popen[str]", folder: Path, pattern: str) -> None:
    until = time.monotonic() + SECONDS
    while job.poll() is None and not list(folder.glob(pattern)) and time.monotonic() < until:
        time.sleep(0.02)


def signalled(folder: Path, number: int) -> None:
    """Send a signal to all ranks of a job."""
    ranks = [int(file.stem) for file in folder.glob("*.pid")]
    assert len(ranks) == 3
    for pid in ranks:
        os.kill(pid, number)


@pytest.mark.parametrize(("how", "time_ranks"), [("sleep", 3), ("spin", 1), ("stop", 3), ("with Python's lock", 1)])
def test_a_rank_that_hangs_ends_the_job_which_goes_on_later(tmp_path, expected, how, time_ranks):
    job = start(3, "run", hanging(tmp_path, how, 1, parallel__time_ranks=time_ranks))
    wait_for(job, tmp_path, "hangs")
    begin = time.monotonic()
    told, seconds = ended(job, timeout=SECONDS), time.monotonic() - begin
    assert job.returncode == HUNG and seconds < TIMEOUT + 5, told
    if how in ("sleep", "spin"):
        assert re.search(r"rank 1 of 3 has been in one round for \d\.\d s \(parallel.hang_timeout\); the job ends", told), told
        assert re.search(r'net.py", line \d+, in forward', told), told
    else:
        assert re.search(r"rank 1 of 3 has given no sign of life for .*; rank 0 of 3, which noticed that, is at:", told), told
    if how == "with Python's lock":
        return  # what is kept is the same
    (tmp_path / "hang").unlink()
    again = start(2, "resume", tmp_path / "out", "parallel.time_ranks=null")
    told = ended(again)
    assert again.returncode == 0, told
    assert_same(tmp_path / "out" / "ensemble.nc", expected)


@pytest.mark.parametrize(("how", "line"), [("os._exit(0)", "called os._exit(0)"), ("sys.exit(0)", "SystemExit: 0")])
def test_a_rank_that_leaves_with_code_0_is_no_success(tmp_path, how, line):
    job = start(3, "run", hanging(tmp_path, how, 1))
    told = ended(job, timeout=SECONDS)
    assert job.returncode == 1 and "rank 1 of 3" in told and line in told, told
    assert not (tmp_path / "out" / "ensemble.nc").exists()


def test_the_same_signal_a_second_time_ends_a_network_that_hangs(tmp_path):
    job = start(3, "run", hanging(tmp_path, "sleep", 1, parallel__time_ranks=3, parallel__hang_timeout=None))
    wait_for(job, tmp_path, "hangs")
    signalled(tmp_path, signal.SIGTERM)
    time.sleep(1.2)
    assert job.poll() is None
    signalled(tmp_path, signal.SIGTERM)
    told = ended(job, timeout=10)
    assert job.returncode != 0 and "SIGTERM came again and ends the run at once" in told, told


def test_a_job_that_is_suspended_as_a_whole_goes_on(tmp_path):
    """As batch systems do to make room for another job."""
    job = start(3, "run", hanging(tmp_path, "sleep", 9, parallel__hang_timeout=1.0))
    wait_for(job, tmp_path, "out/.parampi-ensemble.nc/rounds/*/done.json")
    signalled(tmp_path, signal.SIGSTOP)
    time.sleep(1.6)
    assert job.poll() is None
    signalled(tmp_path, signal.SIGCONT)
    told = ended(job)
    assert job.returncode == 0, told


def test_a_slow_group_is_no_hang(tmp_path):
    """Two groups wait, longer than a round may take, for a third whose rounds are slow."""
    config = hanging(tmp_path, "sleep", 9, model__network="net.py:Slow", parallel__hang_timeout=1.5, parallel__time_ranks=1,
                     sampling__members=3)  # fmt: skip
    done = subprocess.run(parampi_on(3, "run", config), capture_output=True, text=True, timeout=100, cwd=ROOT,
                          env=environment(90))  # fmt: skip
    assert done.returncode == 0, done.stderr
