"""The harness itself: a failing rank fails the test at once with its traceback, and nothing can hang."""

import os
import re
import subprocess
import time

import pytest

from tests.ranks.launch import DONE, ROOT, environment, launch, on_ranks, run_on
from tests.small import write_project

pytestmark = pytest.mark.mpi


def gone(pid, patience=10):
    for _ in range(int(patience / 0.1)):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_ranks_that_are_started_and_not_forked(tmp_path):
    """All other launches of these tests fork from a warm parent; this one starts as users do."""
    command = on_ranks(2, "-m", "parampi", "run", write_project(tmp_path), "--progress", "lines", warm=False)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment(100))
    assert done.returncode == 0 and (tmp_path / "out" / "ensemble.nc").is_file(), done.stderr


def test_output_of_a_good_launch():
    output = run_on(2, "tests.ranks.misbehave", "no", timeout=60)
    assert output.count("pid") == 2 and DONE in output


def test_a_failing_assertion_on_one_rank_fails_the_test_with_its_traceback():
    with pytest.raises(pytest.fail.Exception) as caught:
        run_on(3, "tests.ranks.misbehave", "assert", timeout=60)
    told = str(caught.value)
    assert "rank 1 of 3" in told and "AssertionError: one rank disagrees" in told and "misbehave.py" in told
    assert "killed at its time limit" not in told


def test_a_rank_that_leaves_silently_fails_the_test():
    with pytest.raises(pytest.fail.Exception):
        run_on(2, "tests.ranks.misbehave", "quit", timeout=15)


def test_a_hang_is_ended_at_the_time_limit_and_shows_where_it_hangs():
    finished = launch(2, "tests.ranks.misbehave", "wait", timeout=4)
    assert finished.code is None and not finished.complete and finished.seconds < 25
    assert re.search(r"misbehave.py.*line \d+ in main", finished.stderr)
    pids = re.findall(r"pid (\d+)", finished.stdout)
    assert len(pids) == 2 and all(gone(int(pid)) for pid in pids)
