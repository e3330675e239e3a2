"""Start and end of ranks: all of them, or none."""

import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from parampi.errors import AfterwardsError, InterruptionError, LaunchError, NonFiniteError, UserError

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

SRUN = (
    "srun",
    "srun --mpi=pmi2 for MPICH and Intel MPI, --mpi=pmix for Open MPI (srun --mpi=list shows what there is)",
)
OTHERS = "the mpiexec of the MPI that mpi4py loads (parampi info names it)"
LAUNCHERS = {
    "SLURM_STEP_NUM_TASKS": SRUN,
    "SLURM_NTASKS": SRUN,
    "OMPI_COMM_WORLD_SIZE": ("Open MPI's mpiexec", OTHERS),
    "MV2_COMM_WORLD_SIZE": ("MVAPICH2's mpiexec", OTHERS),
    "FLUX_JOB_SIZE": ("flux run", "flux run -o mpi=..., or the MPI for which Flux is set up"),
    "PALS_SIZE": ("PALS's mpiexec", "the MPI for which PALS is set up"),
    "PMI_SIZE": ("mpiexec", OTHERS),
}
"""Launchers and what to do when they do not fit the MPI, by the variables in which they say how many ranks they started."""
NUMBERED = {
    "PMIX_RANK": ("the launcher (PMIx)", OTHERS),
    "PALS_RANKID": ("PALS's mpiexec", "the MPI for which PALS is set up"),
}
"""The same by variables that number ranks: rank 3 is one of at least 4."""
BATCH_STEPS = 2**32 - 16
"""Numbers from here on are of Slurm's steps that no srun started, such as the script of the job."""
SPOKEN = 0.2
"""Seconds between a rank's last words and the end of the job: launchers may throw away what they have not passed on by then."""
PATIENCE = 5.0
"""Seconds after which a rank ends itself whose MPI_Abort waits for the main thread; the launcher then ends the others."""


def launched_ranks(environment: Mapping[str, str] = os.environ) -> dict[int, tuple[str, str]]:
    """Return launcher and remedy by each number of ranks above 1 that a launcher says it started, the largest first.

    There may be several: a launcher inherits the variables of another in whose job it runs.
    """
    ignored = set() if in_step_of_srun(environment) else {"SLURM_NTASKS"}
    counts = {
        int(environment[variable]): launcher
        for variable, launcher in reversed(LAUNCHERS.items())
        if variable not in ignored and is_number(environment.get(variable, ""))
    }
    at_least = {
        int(environment[variable]) + 1: launcher
        for variable, launcher in NUMBERED.items()
        if is_number(environment.get(variable, ""))
    }
    if max(at_least, default=0) > max(counts, default=1):
        counts = at_least
    return {ranks: counts[ranks] for ranks in sorted(counts, reverse=True) if ranks > 1}


def is_number(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) < 10


def in_step_of_srun(environment: Mapping[str, str]) -> bool:
    """Return whether srun started this process. In the script of a job SLURM_NTASKS is what srun would start."""
    step = environment.get("SLURM_STEP_ID", "")
    return step.isascii() and step.isdigit() and int(step) < BATCH_STEPS


def world() -> "Comm | None":
    """Return all ranks of this job, or None for one process that no launcher started.

    Raises LaunchError where the ranks that a launcher started do not all see one another (each would do all the work and
    overwrite the others' files), and where it started several but there is no mpi4py.
    """
    launched = launched_ranks()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        for expected, (launcher, _) in launched.items():
            raise LaunchError(
                f"{launcher} started {expected} ranks but MPI cannot be loaded ({error}); pip install 'parampi[mpich]'"
            ) from None
        return None
    comm = MPI.COMM_WORLD
    check_size(comm.Get_size(), launched, MPI.get_vendor()[0])
    return comm if comm.Get_size() > 1 else None


def check_size(size: int, launched: Mapping[int, tuple[str, str]], library: str) -> None:
    """Raise LaunchError where MPI sees fewer ranks than a launcher started, and no other launcher so many within its job."""
    if size in launched or size > max(launched, default=0):
        return
    expected, (launcher, remedy) = next(iter(launched.items()))
    sight = "each sees itself alone" if size == 1 else f"each sees {size}"
    raise LaunchError(
        f"{launcher} started {expected} ranks but {sight}: the launcher and the MPI library "
        f"({library}) do not belong together. Use {remedy}"
    )


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
        message = f"{error}\n" if mistake else traceback.format_exc()
        sys.stdout.flush()
        end_job(comm, 2 if mistake else 1, f"{place_of(comm)} failed and ends the job\n{message}")


def place_of(comm: "Comm | None") -> str:
    """Return a rank's name for messages."""
    return "this process" if comm is None else f"rank {comm.Get_rank()} of {comm.Get_size()}"


def end_job(comm: "Comm | None", code: int, message: str) -> None:
    """Say why, and end all ranks of the job with an exit code. Any thread may call it; it does not return."""
    main = threading.current_thread() is threading.main_thread()
    if not main:
        last = threading.Timer(PATIENCE, os._exit, [code])  # also where nobody reads the message
        last.daemon = True
        last.start()
    sys.stderr.write(f"parampi: {message}")
    sys.stderr.flush()
    time.sleep(SPOKEN)
    if comm is not None and (main or threads_may_call_mpi()):
        comm.Abort(code)
    os._exit(code)  # MPICH's Abort returns, and whoever called must not go on


def threads_may_call_mpi() -> bool:
    """Return whether any thread may call MPI while another is in a call of its own."""
    from mpi4py import MPI

    return bool(MPI.Query_thread() == MPI.THREAD_MULTIPLE)


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
