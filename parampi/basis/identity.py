"""The basis of single points."""

from math import prod

import torch
from torch import Tensor

from parampi.basis.base import register
from parampi.basis.transform import F64, Transform, check_option, check_shape, per_channel


@register("identity")
class Identity(Transform):
    """Basis in which every point of a field is a mode, every channel a shell (`channels="own"`), or all of them one
    (`"shared"`)."""

    def __init__(self, shape: tuple[int, ...], channels: str = "own"):
        shape = check_shape("Identity", shape, 1)
        check_option("Identity", "channels", channels, ("own", "shared"))
        one = torch.zeros(prod(shape[1:]), dtype=torch.int64)
        shell = per_channel(one, shape[0], channels == "shared").flatten()
        ones = torch.ones(len(shell), dtype=F64)
        super().__init__(shape, shell, ones, ones.clone())

    def analyse(self, rows: Tensor) -> Tensor:
        return rows.flatten(1)

    def synthesise(self, rows: Tensor) -> Tensor:
        return rows.reshape(len(rows), *self.shape)
