"""`mpiexec -n 4 python -m tests.ranks MODULE ...`: the module's `main(comm, ...)`; the first rank that raises ends the job."""

import faulthandler
import importlib
import os
import sys
import time
import traceback
from contextlib import nullcontext

from tests.hostile import hostile_library
from tests.ranks.launch import DONE, HOSTILE, LIMIT


def main() -> None:
    # Where everybody waits for somebody, this shows who for what, shortly before the launch is killed.
    faulthandler.dump_traceback_later(float(os.environ.get(LIMIT, "100")))
    # Imports take seconds; a rank that is already in MPI would take its core from those that still import.
    module = importlib.import_module(sys.argv[1])
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    try:
        # torch loads for a second before it differentiates, which only few ranks do, see cases.solvers_for
        kernels = hostile_library(comm.Get_size() <= 3) if HOSTILE in os.environ else nullcontext()
        with kernels:
            module.main(comm, *sys.argv[2:])
        comm.Barrier()
    except BaseException:
        sys.stderr.write(f"rank {comm.Get_rank()} of {comm.Get_size()}:\n{traceback.format_exc()}")
        sys.stderr.flush()
        sys.stdout.flush()
        time.sleep(0.2)  # a launcher may throw away what it has not passed on when the job is aborted
        comm.Abort(1)
        os._exit(1)  # MPICH's Abort returns
    if comm.Get_rank() == 0:
        print(DONE, flush=True)


if __name__ == "__main__":
    main()
