"""What a process learns from its launcher's variables, and how it ends. The parts that need ranks are in tests/ranks/."""

import os
import subprocess
import sys
from contextlib import nullcontext

import pytest

from parampi.errors import ConfigError, LaunchError, NonFiniteError
from parampi.parallel.launch import abort_on_error, check_size, launched_ranks


@pytest.mark.parametrize(
    ("environment", "ranks", "launcher"),
    [
        ({}, [], ""),
        ({"PMI_SIZE": "4"}, [4], "mpiexec"),
        ({"OMPI_COMM_WORLD_SIZE": "8"}, [8], "Open MPI's mpiexec"),
        ({"MV2_COMM_WORLD_SIZE": "8"}, [8], "MVAPICH2's mpiexec"),
        ({"FLUX_JOB_SIZE": "8"}, [8], "flux run"),
        ({"PALS_SIZE": "8"}, [8], "PALS's mpiexec"),
        ({"PALS_RANKID": "3"}, [4], "PALS's mpiexec"),
        ({"PMIX_RANK": "3"}, [4], "the launcher (PMIx)"),
        ({"PMIX_RANK": "0"}, [], ""),
        ({"PMIX_RANK": "3", "OMPI_COMM_WORLD_SIZE": "8"}, [8], "Open MPI's mpiexec"),
        ({"SLURM_STEP_NUM_TASKS": "16"}, [16], "srun"),
        ({"SLURM_STEP_NUM_TASKS": "16", "PMI_SIZE": "16"}, [16], "srun"),
        ({"SLURM_STEP_NUM_TASKS": "1", "PMI_SIZE": "4"}, [4], "mpiexec"),
        ({"SLURM_STEP_NUM_TASKS": "16", "PMI_SIZE": "2"}, [16, 2], "srun"),
        ({"SLURM_NTASKS": "16"}, [], ""),
        ({"SLURM_NTASKS": "16", "SLURM_STEP_ID": "0"}, [16], "srun"),
        ({"SLURM_NTASKS": "16", "SLURM_STEP_ID": "4294967291"}, [], ""),
        ({"PMI_SIZE": "many"}, [], ""),
        ({"PMI_SIZE": "9" * 5000}, [], ""),
        ({"PMI_SIZE": ""}, [], ""),
    ],
    ids=lambda value: str(value)[:60],
)
def test_numbers_of_ranks_that_launchers_started(environment, ranks, launcher):
    launched = launched_ranks(environment)
    assert list(launched) == ranks
    assert [name for name, _ in launched.values()][:1] == [launcher][: len(ranks)]
    assert all(remedy for _, remedy in launched.values())


@pytest.mark.parametrize(("size", "fits"), [(1, False), (2, True), (4, False), (16, True), (32, True)])
def test_mpi_must_see_one_of_these_numbers(size, fits):
    launched = launched_ranks({"SLURM_STEP_NUM_TASKS": "16", "PMI_SIZE": "2"})
    with nullcontext() if fits else pytest.raises(LaunchError, match=r"srun started 16 ranks but each sees (itself alone|4):"):
        check_size(size, launched, "MPICH")
    check_size(size, {}, "MPICH")


def test_a_rank_that_is_numbered_knows_of_those_below_it_only():
    launched = launched_ranks({"PMIX_RANK": "3", "SLURM_STEP_NUM_TASKS": "2"})
    check_size(8, launched, "MPICH")
    with pytest.raises(LaunchError, match=r"the launcher \(PMIx\) started 4 ranks but each sees 2"):
        check_size(2, launched, "MPICH")


class OneRank:
    def Get_size(self):
        return 1


class Ranks:
    """Records the end of a job of three ranks."""

    aborted = None

    def Get_size(self):
        return 3

    def Get_rank(self):
        return 2

    def Abort(self, code):
        self.aborted = code


@pytest.mark.parametrize("comm", [None, OneRank()], ids=["alone", "one rank"])
@pytest.mark.parametrize(
    "error", [ConfigError("no"), NonFiniteError(1, 2, 0.5, 3), RuntimeError("broken"), KeyboardInterrupt()], ids=repr
)
def test_one_process_ends_as_usual(comm, error):
    with pytest.raises(type(error)) as caught, abort_on_error(comm):
        raise error
    assert caught.value is error


class Ended(BaseException):
    """Instead of the end of this process."""


@pytest.fixture
def ending(monkeypatch):
    """MPICH's Abort returns: the process must end itself, or the caller would go on."""

    def end(code):
        raise Ended(code)

    monkeypatch.setattr("parampi.parallel.launch.os._exit", end)


@pytest.mark.parametrize(
    "error", [RuntimeError("broken"), KeyboardInterrupt(), SystemExit(4), AssertionError("3 != 4")], ids=repr
)
def test_the_unforeseen_on_one_rank_ends_the_job_with_its_traceback(error, ending, capsys):
    comm = Ranks()
    with pytest.raises(Ended), abort_on_error(comm):
        raise error
    assert comm.aborted == 1
    told = capsys.readouterr().err
    assert "rank 2 of 3 failed and ends the job" in told
    assert "Traceback" in told and type(error).__name__ in told and str(error) in told and "test_launch.py" in told


ALIKE = [ConfigError("no"), NonFiniteError(1, 2, 0.5, 3)]


@pytest.mark.parametrize("error", ALIKE, ids=repr)
def test_what_all_ranks_raise_alike_ends_no_job(error, ending):
    comm = Ranks()
    with pytest.raises(type(error)), abort_on_error(comm):
        raise error
    assert comm.aborted is None


def test_a_user_s_mistake_that_one_rank_alone_finds_ends_the_job_in_one_line(ending, capsys):
    comm = Ranks()
    with pytest.raises(Ended), abort_on_error(comm, alike=False):
        raise ConfigError("batch = 0; give more")
    assert comm.aborted == 2
    assert capsys.readouterr().err == "parampi: rank 2 of 3 failed and ends the job\nbatch = 0; give more\n"


def test_nothing_happens_when_nothing_happens(capsys):
    comm = Ranks()
    with abort_on_error(comm):
        pass
    assert comm.aborted is None and capsys.readouterr().err == ""


def test_a_message_that_nobody_reads_does_not_keep_a_job_from_its_end():
    """The standard error is full, and the main thread waits in it."""
    code = """
import threading
from parampi.parallel import launch
launch.PATIENCE = 0.3
threading.Thread(target=lambda: launch.end_job(None, 7, "no")).start()
while True:
    import sys; sys.stderr.write("x" * 10_000)
"""
    reading, writing = os.pipe()
    try:
        assert subprocess.run([sys.executable, "-c", code], stderr=writing, timeout=30).returncode == 7
    finally:
        os.close(reading)
        os.close(writing)
