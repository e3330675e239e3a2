"""CorrDiff: a regression network predicts a mean, and the diffusion network what is left (Mardani et al. 2025, Commun. Earth
Environ. 6, 124). For `model.prepare` and `model.finish`."""

from pathlib import Path

import torch
from torch import Tensor, nn

from parampi.errors import ConfigError
from parampi.networks.mdlus import arguments_of, check_classes, check_weights


class Mean(nn.Module):
    """The mean of a regression module (.mdlus), for a condition (1, channels, y, x).

    channels           how many the fields have
    mean_conditioning  whether the diffusion network reads the mean too, before the condition

    Raises DataError for a file that is none, and ConfigError where physicsnemo is not installed.
    """

    def __init__(self, regression: str, channels: int, mean_conditioning: bool = True):
        super().__init__()
        path = Path(regression)
        check_classes(path, arguments_of(path))
        check_weights(path)
        try:
            from physicsnemo.core import Module
        except ImportError as error:
            raise ConfigError(
                f"{path} is a module of physicsnemo, which is not installed ({error}); pip install nvidia-physicsnemo"
            ) from None
        self.network = Module.from_checkpoint(str(path))
        self.channels, self.mean_conditioning = channels, mean_conditioning

    def forward(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the diffusion network reads, and the mean."""
        nothing = condition.new_zeros(1, self.channels, *condition.shape[2:])
        mean: Tensor = self.network(x=nothing, img_lr=condition)
        return torch.cat([mean, condition], 1) if self.mean_conditioning else condition, mean


def add(field: Tensor, prepared: tuple[Tensor, Tensor]) -> Tensor:
    """Return the mean and what the diffusion network drew of the rest."""
    return prepared[1] + field
