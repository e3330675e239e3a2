"""The standard deviation of the data: one number, or one for each channel."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from parampi.errors import ConfigError

SigmaData = float | Sequence[float] | Tensor
"""As users give it: a number, or a list or tensor of one for each channel, the first axis of a field."""


class ChannelScales(float):
    """Standard deviations of the data by channel. As a number it is their root mean square, that of a whole field, which
    norms and scalar models need. What works point by point takes `along`."""

    channels: tuple[float, ...]

    def __new__(cls, channels: Iterable[float]) -> "ChannelScales":
        """Return them as one number."""
        values = tuple(channels)
        scales = super().__new__(cls, math.sqrt(math.fsum(value**2 for value in values) / len(values)))
        scales.channels = values
        return scales

    def __getnewargs__(self) -> tuple[tuple[float, ...]]:  # type: ignore[override]
        """Return what copies and pickles are made of."""
        return (self.channels,)


def as_scale(sigma_data: Any) -> float:
    """Return a standard deviation as a number, or several as `ChannelScales`. Raises ConfigError unless all are positive and
    finite."""
    if isinstance(sigma_data, ChannelScales):
        return sigma_data
    values = sigma_data.tolist() if hasattr(sigma_data, "tolist") else sigma_data
    several = isinstance(values, list | tuple)
    numbers = list(values) if isinstance(values, list | tuple) else [values]
    if not numbers or not all(is_scale(number) for number in numbers):
        raise ConfigError(
            f"sigma_data = {sigma_data!r}; the standard deviation of the data must be positive and finite: a number, or a list "
            "with one for each channel"
        )
    return ChannelScales(map(float, numbers)) if several else float(numbers[0])


def is_scale(number: Any) -> bool:
    """Return whether it is a positive and finite number."""
    if isinstance(number, bool | str | bytes):
        return False
    try:
        return 0 < float(number) < math.inf
    except (TypeError, ValueError, RuntimeError):
        return False


def along(scale: float, x: Tensor) -> float | Tensor:
    """Return a standard deviation as it goes with fields x (B, C, ...): a number, or (C, 1, ...). Raises ConfigError for other
    channels than x has."""
    if not isinstance(scale, ChannelScales):
        return scale
    check_channels(scale, x.shape[1:])
    return torch.tensor(scale.channels, dtype=x.dtype, device=x.device).view(-1, *(1 for _ in x.shape[2:]))


def check_channels(scale: float, shape: Sequence[int]) -> None:
    """Raise ConfigError unless there are as many standard deviations as fields of this shape have channels."""
    if isinstance(scale, ChannelScales) and len(scale.channels) != shape[0]:
        raise ConfigError(
            f"sigma_data has {len(scale.channels)} numbers, and fields of shape {tuple(shape)} have {shape[0]} channels (their "
            "first axis); give one for each, or one for all"
        )


def each(scale: float) -> tuple[float, ...]:
    """Return the standard deviations of all channels; one where they are the same."""
    return scale.channels if isinstance(scale, ChannelScales) else (scale,)
