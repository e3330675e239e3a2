"""Starts checks on several ranks from within pytest, so that nothing can hang and every failure shows its traceback.

`run_on(4, "tests.ranks.checks")` runs the module's `main(comm, *arguments)` on 4 ranks by the mpiexec that belongs to this
Python. A rank that raises ends the job (see __main__.py); a job that lasts too long is killed with everything it started.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.warm import warm_command

ROOT = Path(__file__).parents[2]
DONE = "all ranks are done"
LIMIT = "PARAMPI_TEST_LIMIT"
HOSTILE = "PARAMPI_TEST_HOSTILE"
"""Set for ranks whose kernels are to be those of a hostile library, see tests/hostile.py."""
INHERITED = ("PMI_", "PMIX_", "OMPI_COMM_", "SLURM_STEP_", "SLURM_PROCID")
# torch's own, when it first differentiates in forward mode
STRICT = ("-W", "error", "-W", "ignore:`torch.jit.script` is deprecated:DeprecationWarning")
OPEN_MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_btl": "^ofi",
    "OMPI_MCA_osc": "^ucx",
    "OMPI_MCA_mpi_yield_when_idle": "1",
}


@dataclass(frozen=True)
class Finished:
    """How a launch ended; `code` is None if it was killed for taking longer than its limit."""

    code: int | None
    stdout: str
    stderr: str
    seconds: float

    @property
    def complete(self) -> bool:
        """mpiexec may return 0 after ranks have died, so rank 0 says at the very end that all were there."""
        return self.code == 0 and DONE in self.stdout

    def describe(self) -> str:
        how = "was killed at its time limit" if self.code is None else f"ended with code {self.code}"
        return f"the launch {how} after {self.seconds:.0f} s\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


@cache
def mpiexec() -> tuple[str, bool]:
    """The mpiexec beside this Python, else the PATH's; and whether it is Open MPI's."""
    found = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
    if found is None:
        pytest.fail("there is no mpiexec beside this Python nor on PATH; pip install 'parampi[mpich]' brings one")
    told = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=60, env={**os.environ, **OPEN_MPI})
    return found, "Open MPI" in told.stdout + told.stderr


def on_ranks(ranks: int, *arguments: object, warm: bool = True) -> list[str]:
    """The command that runs `python ARGUMENTS` on ranks; `warm`: forked from the warm parent, else started."""
    python = warm_command(*arguments) if warm else [sys.executable, *map(str, arguments)]
    return [mpiexec()[0], "-n", str(ranks), *python]


def parampi_on(ranks: int, *arguments: object) -> list[str]:
    """The command that runs `parampi ARGUMENTS` on ranks, with progress in plain lines."""
    return on_ranks(ranks, "-m", "parampi", *arguments, "--progress", "lines")


def environment(limit: float) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(INHERITED)}
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    added = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths), LIMIT: str(limit), HOSTILE: "1"}
    return {**inherited, **added, **(OPEN_MPI if mpiexec()[1] else {})}


def launch(ranks: int, module: str, *arguments: str, timeout: float = 120) -> Finished:
    """Run a module's `main` on ranks under mpiexec; returns within the timeout and a few seconds, however it ends."""
    begin = time.monotonic()
    job = subprocess.Popen(
        on_ranks(ranks, *STRICT, "-m", "tests.ranks", module, *arguments), cwd=ROOT, env=environment(0.8 * timeout), text=True,
        start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        stdout, stderr = job.communicate(timeout=timeout)
        code: int | None = job.returncode
    except subprocess.TimeoutExpired:
        stdout, stderr = end(job)
        code = None
    return Finished(code, stdout, stderr, time.monotonic() - begin)


def end(job: "subprocess.Popen[str]") -> tuple[str, str]:
    """Ask mpiexec, which knows its ranks, to end them; then leave nothing of its process group."""
    for wish, patience in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        os.killpg(job.pid, wish)
        try:
            return job.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            continue
    return "", "mpiexec cannot be killed"


def run_on(ranks: int, module: str, *arguments: str, timeout: float = 120) -> str:
    """Rank 0's output; the test fails with every rank's traceback unless all ranks came to the end."""
    finished = launch(ranks, module, *arguments, timeout=timeout)
    if not finished.complete:
        pytest.fail(f"{module} on {ranks} ranks: {finished.describe()}", pytrace=False)
    return finished.stdout
