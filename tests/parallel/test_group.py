"""A group of one, and the way of tensors to MPI: buffers, staging, GPU awareness."""

import numpy as np
import pytest
import torch

from parampi.parallel import SerialGroup, Transport, as_group, gpu_aware


class OneRank:
    def Get_size(self):
        return 1


@pytest.mark.parametrize("comm", [None, OneRank()], ids=["none", "one rank"])
def test_one_rank_needs_no_messages(comm):
    group = as_group(comm)
    assert isinstance(group, SerialGroup) and (group.rank, group.size, group.seconds) == (0, 1, 0.0)
    numbers = np.arange(3.0)
    assert group.sum_to_root(numbers) is numbers and group.broadcast(numbers) is numbers
    assert group.rows_to_root(numbers, [3]) is numbers
    group.exchange([], [])
    with pytest.raises(ValueError, match="nobody to talk to"):
        group.exchange([(0, torch.zeros(1))], [])


@pytest.mark.parametrize(
    ("environment", "aware"),
    [
        ({}, False),
        ({"PARAMPI_GPU_AWARE": "1"}, True),
        ({"MPICH_GPU_SUPPORT_ENABLED": "1"}, True),
        ({"OMPI_MCA_opal_cuda_support": "true"}, True),
        ({"OMPI_MCA_opal_cuda_support": "TRUE"}, True),
        ({"MPIR_CVAR_ENABLE_GPU": "0"}, False),
        ({"MPICH_GPU_SUPPORT_ENABLED": "1", "PARAMPI_GPU_AWARE": "0"}, False),
    ],
    ids=str,
)
def test_whether_mpi_takes_device_pointers(environment, aware):
    assert gpu_aware(environment) == aware


class Elsewhere(Transport):
    """Treats memory of this process as if it lay on a device that MPI cannot read."""

    def direct(self, tensor):
        return False


def test_what_lies_in_memory_is_sent_and_received_in_place():
    tensor = torch.arange(6.0)
    transport = Transport(staged=True)
    assert transport.leaving(tensor) is tensor and transport.landing(tensor) is tensor
    assert transport.buffer(tensor).ctypes.data == tensor.data_ptr()


def test_what_lies_elsewhere_goes_through_a_copy():
    tensor = torch.arange(6.0).view(2, 3)
    transport = Elsewhere()
    leaving, landing = transport.leaving(tensor), transport.landing(tensor)
    assert torch.equal(leaving, tensor) and leaving.data_ptr() != tensor.data_ptr()
    assert landing.shape == tensor.shape and landing.dtype == tensor.dtype
    transport.land(landing.copy_(leaving * 2), tensor)
    assert torch.equal(tensor, leaving * 2)


def test_a_strided_message_is_refused():
    """MPI would send it in memory order."""
    with pytest.raises(ValueError, match="contiguous"):
        Transport().buffer(torch.zeros(3, 4).T)


def test_a_message_that_requires_gradients_is_detached():
    Transport().buffer(torch.zeros(3, requires_grad=True))
