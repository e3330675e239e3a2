"""Start and end of ranks: all of them, or none."""

import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from parampi.errors import AfterwardsError, InterruptionError, LaunchError, NonFiniteError, UserError

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

LAUNCHERS = {
    "SLURM_STEP_NUM_TASKS": (
        "srun",
        "srun --mpi=pmi2 for MPICH and Intel MPI, --mpi=pmix for Open MPI (srun --mpi=list shows what there is)",
    ),
    "OMPI_COMM_WORLD_SIZE": ("Open MPI's mpiexec", "the mpiexec of the MPI that mpi4py loads (parampi info names it)"),
    "PMI_SIZE": ("mpiexec", "the mpiexec of the MPI that mpi4py loads (parampi info names it)"),
}
SPOKEN = 0.2
"""Seconds between a rank's last words and the end of the job: launchers may throw away what they have not passed on by then."""


def launched_ranks(environment: Mapping[str, str] = os.environ) -> tuple[int, str, str]:
    """Return (ranks, launcher, remedy) that the launcher says it started; 1 rank where no launcher is at work."""
    for variable, (launcher, remedy) in LAUNCHERS.items():
        value = environment.get(variable, "")
        if value.isdigit():
            return int(value), launcher, remedy
    return 1, "", ""


def world() -> "Comm | None":
    """Return all ranks of this job, or None for one process that no launcher started.

    Raises LaunchError where a launcher started several processes that do not see one another (each would do all the work and
    overwrite the others' files), and where it started several but there is no mpi4py.
    """
    expected, launcher, remedy = launched_ranks()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        if expected > 1:
            raise LaunchError(
                f"{launcher} started {expected} ranks but MPI cannot be loaded ({error}); pip install 'parampi[mpich]'"
            ) from None
        return None
    comm = MPI.COMM_WORLD
    if comm.Get_size() == 1 and expected > 1:
        raise LaunchError(
            f"{launcher} started {expected} ranks but each sees itself alone: the launcher and the MPI library "
            f"({MPI.get_vendor()[0]}) do not belong together. Use {remedy}"
        )
    return comm if comm.Get_size() > 1 else None


def mpi_version() -> str:
    """Return name and version of the MPI library, for reports."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError):
        return "none"
    name, version = MPI.get_vendor()
    return f"{name} {'.'.join(map(str, version))}"


@contextmanager
def abort_on_error(comm: "Comm | None", alike: bool = True) -> Iterator[None]:
    """End the whole job when one rank fails alone, for the rest would wait for its messages for ever.

    A UserError passes through where all ranks raise it `alike`; elsewhere it is printed as one line. Of any other exception the
    traceback is printed. NonFiniteError, AfterwardsError and InterruptionError are always raised alike, and pass.
    """
    try:
        yield
    except (NonFiniteError, AfterwardsError, InterruptionError):
        raise
    except BaseException as error:
        mistake = isinstance(error, UserError)
        if comm is None or comm.Get_size() == 1 or (mistake and alike):
            raise
        place = f"rank {comm.Get_rank()} of {comm.Get_size()}"
        message = f"{error}\n" if mistake else traceback.format_exc()
        sys.stdout.flush()
        sys.stderr.write(f"parampi: {place} failed and ends the job\n{message}")
        sys.stderr.flush()
        time.sleep(SPOKEN)
        comm.Abort(2 if mistake else 1)
        os._exit(2 if mistake else 1)  # MPICH's Abort returns, and whoever called must not go on


def place_on_node(comm: "Comm | None") -> tuple[int, int]:
    """Return this rank's number among those that share its node's memory, and so its cores and GPUs; and how many they are."""
    if comm is None:
        return 0, 1
    from mpi4py import MPI

    node = comm.Split_type(MPI.COMM_TYPE_SHARED, key=comm.Get_rank())
    place = node.Get_rank(), node.Get_size()
    node.Free()
    return place


def fair_threads(ranks_here: int, environment: Mapping[str, str] = os.environ) -> int | None:
    """Return threads for each rank of a node: its cores shared evenly; None (leave it alone) where OMP_NUM_THREADS decides.

    A launcher that binds ranks to cores has shared them already, and one rank's cores are then all it may use.
    """
    if environment.get("OMP_NUM_THREADS"):
        return None
    mine, all_cores = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    return mine if mine < all_cores else max(1, mine // ranks_here)
