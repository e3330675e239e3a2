"""Ways of a tensor to MPI: as it lies in memory, also on the GPU where MPI can read it there, else through host memory."""

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

AWARE = {"MPICH_GPU_SUPPORT_ENABLED": "1", "MPIR_CVAR_ENABLE_GPU": "1", "OMPI_MCA_opal_cuda_support": "true"}


def gpu_aware(environment: os._Environ[str] | dict[str, str] = os.environ) -> bool:
    """Return whether MPI takes device pointers. `PARAMPI_GPU_AWARE=0|1` decides; else the MPI's own variables do.

    MPI offers no portable question for this, and a device pointer that an MPI cannot read ends in a segmentation
    fault; hence the answer is no unless somebody said yes.
    """
    if said := environment.get("PARAMPI_GPU_AWARE"):
        return said == "1"
    return any(environment.get(name, "").lower() == value for name, value in AWARE.items())


@dataclass(frozen=True)
class Transport:
    """`staged`: CUDA tensors travel through pinned host memory."""

    staged: bool = True

    @classmethod
    def detect(cls) -> "Transport":
        return cls(staged=not gpu_aware())

    def direct(self, tensor: Tensor) -> bool:
        return tensor.device.type == "cpu" or not self.staged

    def landing(self, tensor: Tensor) -> Tensor:
        """Return where a message for `tensor` is received: the tensor itself, or a host copy's place."""
        if self.direct(tensor):
            return tensor
        return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)

    def leaving(self, tensor: Tensor) -> Tensor:
        """Return the tensor to send for `tensor`, after all work queued on its device is finished."""
        if not self.direct(tensor):
            tensor = self.landing(tensor).copy_(tensor)
        elif tensor.is_cuda:
            torch.cuda.current_stream(tensor.device).synchronize()
        return tensor

    def land(self, landed: Tensor, tensor: Tensor) -> None:
        if landed is not tensor:
            tensor.copy_(landed)

    @staticmethod
    def buffer(tensor: Tensor) -> Any:
        """Return a buffer for an uppercase mpi4py call. A strided tensor would be sent in memory order, so it is refused."""
        if not tensor.is_contiguous():
            raise ValueError(f"a message must be contiguous, not of strides {tensor.stride()}")
        return tensor.detach().numpy() if tensor.device.type == "cpu" else tensor.detach()
