"""Runs checks one after the other on all ranks and says which are done; one launch for many, since starting costs seconds."""

import time

from tests.ranks import check_parallel, check_rollout, check_sample, check_stencils

MODULES = {"parallel": check_parallel, "stencils": check_stencils, "sample": check_sample, "rollout": check_rollout}
NAMES = [(room, check.__name__) for room, module in MODULES.items() for check in module.CHECKS]


def done(name: str) -> str:
    return f"done: {name},"


def main(comm, *rooms):
    for room in rooms or MODULES:
        for check in MODULES[room].CHECKS:
            comm.Barrier()
            begin = time.perf_counter()
            check(comm)
            comm.Barrier()
            if comm.Get_rank() == 0:
                print(done(check.__name__), f"{time.perf_counter() - begin:.2f} s", flush=True)
