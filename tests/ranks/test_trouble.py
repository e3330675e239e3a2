"""One rank failing ends the job at once with the error of that rank, never a hang; and ranks that do not see one another."""

import os
import subprocess
import sys

import pytest

from tests.ranks.launch import ROOT, launch

pytestmark = pytest.mark.mpi

SECONDS = 30


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("network", ["rank 1 of 3 failed and ends the job", "Traceback", "trouble.py", "RuntimeError: the device was lost"]),
        ("network of the last rank", ["rank 2 of 3 failed and ends the job", "RuntimeError: the device was lost"]),
        ("keep", ["rank 0 of 3 failed and ends the job", "Traceback", "ValueError: an array of another shape"]),
        ("shape", ["of 3 failed and ends the job", "denoiser returned (2, 1, 8, 3) for fields of shape (2, 1, 8, 8)"]),
    ],
)
def test_one_rank_in_trouble_ends_the_job(how, told):
    finished = launch(3, "tests.ranks.trouble", how, timeout=60)
    assert finished.code not in (0, None), finished.describe()
    assert finished.seconds < SECONDS and "the call returned" not in finished.stdout
    for text in told:
        assert text in finished.stderr, finished.describe()


ALONE = """
import os
from parampi import LaunchError
from parampi.parallel.launch import world

for variable in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"):
    os.environ[variable] = "4"
    try:
        world()
        print("accepted")
    except LaunchError as error:
        print(error)
    os.environ[variable] = "1"
    assert world() is None
    del os.environ[variable]
assert world() is None
"""


def test_ranks_that_came_up_alone_are_refused_with_the_remedy():
    """What a wrong mpiexec or srun leaves: several processes that each believe to be the only one."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PMI", "OMPI_", "SLURM_"))}
    job = [sys.executable, "-W", "error", "-c", ALONE]
    done = subprocess.run(job, cwd=ROOT, env={**inherited, "PMI_SIZE": "4"}, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    plain, openmpi, slurm = done.stdout.strip().splitlines()
    for told, launcher in ((plain, "mpiexec"), (openmpi, "Open MPI's mpiexec"), (slurm, "srun")):
        assert told.startswith(f"{launcher} started 4 ranks but each sees itself alone") and "Use " in told
    assert "--mpi=pmi2" in slurm and "--mpi=pmix" in slurm
