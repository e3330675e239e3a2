"""What a process learns from its launcher's variables, and how it ends. The parts that need ranks are in tests/ranks/."""

import pytest

from parampi.errors import ConfigError, NonFiniteError
from parampi.parallel.launch import abort_on_error, launched_ranks


@pytest.mark.parametrize(
    ("environment", "ranks", "launcher"),
    [
        ({}, 1, ""),
        ({"PMI_SIZE": "4"}, 4, "mpiexec"),
        ({"OMPI_COMM_WORLD_SIZE": "8"}, 8, "Open MPI's mpiexec"),
        ({"SLURM_STEP_NUM_TASKS": "16"}, 16, "srun"),
        ({"SLURM_STEP_NUM_TASKS": "16", "PMI_SIZE": "16"}, 16, "srun"),
        ({"SLURM_NTASKS": "16"}, 1, ""),
        ({"PMI_SIZE": "many"}, 1, ""),
        ({"PMI_SIZE": ""}, 1, ""),
    ],
    ids=str,
)
def test_number_of_ranks_the_launcher_started(environment, ranks, launcher):
    found, name, remedy = launched_ranks(environment)
    assert (found, name) == (ranks, launcher)
    assert bool(remedy) == bool(launcher)


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
