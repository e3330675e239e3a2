"""The warm parent: what it forks behaves as a process that was started."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.warm import ROOT, warm_command

SPEAK = """
import os, sys, time
print(sys.argv[1:], os.getcwd(), os.environ.get("GREETING"), sys.stdin.read(), flush=True)
print("trouble", file=sys.stderr, flush=True)
sys.exit(7)
"""
WAIT = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("heard", flush=True), sys.exit(3)))
print(os.getpid(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def module(tmp_path):
    """Writes a module; returns the environment in which it is found."""

    def write(text):
        (tmp_path / "spoken.py").write_text(text)
        return {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}", "GREETING": "hello"}

    return write


def test_arguments_folder_environment_files_and_code(module, tmp_path):
    done = subprocess.run(
        warm_command("-m", "spoken", "a", "b c"), env=module(SPEAK), cwd=tmp_path, input="text", capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (7, f"['a', 'b c'] {tmp_path} hello text\n", "trouble\n")


def test_an_exception_shows_its_traceback(module):
    done = subprocess.run(
        warm_command("-W", "error", "-m", "spoken"), env=module("import warnings\nwarnings.warn('old')"), capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" in done.stderr and "UserWarning: old" in done.stderr


def started(environment):
    """A job that waits, and the number of the process that was forked for it."""
    job = subprocess.Popen(warm_command("-m", "spoken"), env=environment, stdout=subprocess.PIPE, text=True)
    return job, int(job.stdout.readline())


def test_signals_are_passed_on(module):
    job, _ = started(module(WAIT))
    with job:
        job.send_signal(signal.SIGTERM)
        assert job.communicate(timeout=30)[0] == "heard\n" and job.returncode == 3


def test_who_is_killed_takes_the_other_along(module):
    job, pid = started(module(WAIT))
    with job:
        os.kill(pid, signal.SIGKILL)
        assert job.wait(30) == -signal.SIGKILL
    job, pid = started(module(WAIT))
    with job:
        job.kill()
        until = time.monotonic() + 30
        while os.path.exists(f"/proc/{pid}") and time.monotonic() < until:
            time.sleep(0.01)
        assert not os.path.exists(f"/proc/{pid}")


def test_it_is_torch_and_the_package_that_need_not_be_loaded(module):
    text = "import sys, time\nprint('torch' in sys.modules, 'parampi.ensemble' in sys.modules)"
    warm = subprocess.run(warm_command("-m", "spoken"), env=module(text), capture_output=True, text=True, timeout=60)
    cold = subprocess.run([sys.executable, "-m", "spoken"], env=module(text), capture_output=True, text=True, timeout=60)
    assert warm.stdout == "True True\n" and cold.stdout == "False False\n"
