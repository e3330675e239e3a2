"""Numbers of a round that lie beside the fields, read all at once: a GPU is then waited for once."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Take = Callable[[NDArray[np.float64]], None]


class Readings:
    """Numbers that are asked for during a round, and who takes them at its end."""

    def __init__(self) -> None:
        self.asked: list[tuple[Tensor, Take]] = []

    def ask(self, numbers: Tensor, take: Take) -> None:
        """Ask for numbers (...), which `take` receives in their shape, as float64."""
        self.asked.append((numbers, take))

    def read(self) -> None:
        """Read all that was asked for, and hand it on in the order in which it was."""
        if not self.asked:
            return
        rest = torch.cat([numbers.flatten().double() for numbers, _ in self.asked]).cpu().numpy()
        for numbers, take in self.asked:
            own, rest = np.split(rest, [numbers.numel()])
            take(own.reshape(numbers.shape))
