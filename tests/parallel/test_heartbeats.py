"""Signs of life where there is no memory for them."""

import sys
from types import SimpleNamespace

from parampi.parallel import heartbeats
from parampi.parallel.heartbeats import heartbeats_of


class MPIError(Exception):
    """In the place of mpi4py's."""


def test_a_node_without_memory_to_share_is_said_and_the_run_goes_on(monkeypatch, capsys):
    def full(comm, node):
        raise MPIError("Other MPI error, error stack:\nunable to allocate shared memory")

    mpi = SimpleNamespace(Exception=MPIError, Get_processor_name=lambda: "n7", COMM_TYPE_SHARED=0)
    freed = []
    comm = SimpleNamespace(Get_rank=lambda: 0, Free=lambda: freed.append(1), Split_type=lambda kind, key: comm)
    monkeypatch.setitem(sys.modules, "mpi4py", SimpleNamespace(MPI=mpi))
    monkeypatch.setattr(heartbeats, "Heartbeats", full)
    assert heartbeats_of(comm) is None and freed
    reason = "unable to allocate shared memory; is /dev/shm full?"
    assert capsys.readouterr().err.startswith(f"parampi: n7 has no memory for signs of life ({reason})")
