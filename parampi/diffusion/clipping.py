"""Denoised fields that are kept within a range, as the pipelines of image models do it."""

import math

import torch
from torch import Tensor

from parampi.diffusion.denoisers import Denoiser
from parampi.diffusion.guidance import Guided, column
from parampi.errors import ConfigError


class Clipped(Guided):
    """A denoiser whose fields are cut off at `-limit` and `limit`: `clip_sample` and `clip_sample_range` of diffusers.

    Where sigma is 0 the field is as the denoiser leaves it. Raises ConfigError for a limit that is not positive and finite.
    """

    def __init__(self, denoiser: Denoiser, limit: float = 1.0):
        super().__init__(denoiser)
        if not 0 < limit < math.inf:
            raise ConfigError(f"limit = {limit} must be positive and finite: the largest number that a clean field holds")
        self.limit = float(limit)

    def forward(self, x: Tensor, sigma: Tensor, *condition: Tensor) -> Tensor:
        """Return D(x, sigma), or D(x, sigma, condition), cut off."""
        clean: Tensor = self.denoiser(x, sigma, *condition)
        return torch.where(column(sigma, clean) == 0, clean, clean.clamp(-self.limit, self.limit))


class Thresholded(Guided):
    """A denoiser whose fields are cut off at a quantile s of their own numbers' sizes and divided by it, where s is above 1:
    dynamic thresholding (Saharia et al. 2022, arXiv 2205.11487), `thresholding` of diffusers.

    quantile  `dynamic_thresholding_ratio` of diffusers
    largest   most that s can be, `sample_max_value` of diffusers, where it is 1 by default: cutting off at 1

    Where sigma is 0 the field is as the denoiser leaves it. Raises ConfigError for options out of range.
    """

    def __init__(self, denoiser: Denoiser, quantile: float = 0.995, largest: float = 1.0):
        super().__init__(denoiser)
        if not (0 < quantile <= 1 and largest >= 1):
            raise ConfigError(f"quantile = {quantile}, largest = {largest}: expected 0 < quantile <= 1 and largest at least 1")
        self.quantile, self.largest = float(quantile), float(largest)

    def forward(self, x: Tensor, sigma: Tensor, *condition: Tensor) -> Tensor:
        """Return D(x, sigma), or D(x, sigma, condition), cut off and divided."""
        clean: Tensor = self.denoiser(x, sigma, *condition)
        sizes = clean.flatten(1).abs().to(torch.promote_types(clean.dtype, torch.float32))
        size = column(quantiles(sizes, self.quantile).clamp(1.0, self.largest), clean).to(clean.dtype)
        return torch.where(column(sigma, clean) == 0, clean, clean.clamp(-size, size) / size)


def quantiles(rows: Tensor, quantile: float) -> Tensor:
    """Return the quantile of each row, between its neighbours in order; of rows of any length, which torch's own is not."""
    place = quantile * (rows.shape[1] - 1)
    low = math.floor(place)
    ordered = rows.sort(dim=1).values
    return torch.lerp(ordered[:, low], ordered[:, min(low + 1, rows.shape[1] - 1)], place - low)
