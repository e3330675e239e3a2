"""Runs checks one after the other on all ranks and says which are done; one launch for many, since starting costs seconds."""

import time

from tests.ranks import check_parallel

MODULES = {"parallel": check_parallel}


def names(module):
    return [check.__name__ for check in MODULES[module].CHECKS]


def main(comm, *modules):
    for name in modules:
        for check in MODULES[name].CHECKS:
            comm.Barrier()
            begin = time.perf_counter()
            check(comm)
            comm.Barrier()
            if comm.Get_rank() == 0:
                print(f"done {check.__name__} {time.perf_counter() - begin:.2f} s", flush=True)
