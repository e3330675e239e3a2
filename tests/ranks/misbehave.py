"""Ranks that go wrong, to test that launches show it and end."""

import os
import time


def main(comm, how):
    print(f"pid {os.getpid()}", flush=True)
    rank = comm.Get_rank()
    if how == "assert" and rank == 1:
        expected = 3
        assert rank == expected, "one rank disagrees"
    elif how == "quit" and rank == 1:
        os._exit(0)
    elif how == "wait" and rank == 1:
        time.sleep(600)
    comm.Barrier()
