"""The spectral prior: mean of the data, and the variance of every mode of a basis, known before any are drawn."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from parampi.basis import Basis, make_basis, mode_variance, variance
from parampi.diffusion.channel_scales import ChannelScales, check_channels
from parampi.errors import ConfigError, DataError

if TYPE_CHECKING:
    from parampi.fields import DatasetStatistics

F64 = torch.float64
ORDER = "rfftn"
"""Order in which files have the variances of Fourier modes; earlier files do not say theirs, which was another."""


@dataclass(frozen=True, eq=False, repr=False)
class SpectralPrior:
    """Mean and spectrum of fields as the network sees them, that is normalised.

    mean      a number, or a field (*shape) or what broadcasts to one
    spectrum  variances per shell (S,) or per mode (M,) of the basis, or one number; None where it is unknown. In units of what
              white noise of unit variance has there, so that they compare with sigma^2, as `parampi.basis.variance` and
              `mode_variance` return them. For orthonormal bases that is the variance of a coefficient (its real and imaginary
              part summed).
    basis     its name, and `options`, for `parampi.basis.make_basis`; or a basis
    shape     of the fields that these are of, to be used for no others: a spectrum of another grid may have as many shells.
              None where it is unknown
    modes     order of the variances of Fourier modes along two axes or three, where there is one per mode: that of `rfftn`

    Raises ConfigError for a spectrum that is negative or not finite, or that does not fit the basis.
    """

    mean: Any = 0.0
    spectrum: Any = None
    basis: str | Basis = "fourier"
    options: Mapping[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None
    modes: str = ORDER

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", torch.as_tensor(self.mean, dtype=F64))
        if self.spectrum is not None:
            object.__setattr__(self, "spectrum", torch.as_tensor(self.spectrum, dtype=F64))
            if not bool((self.spectrum.isfinite() & (self.spectrum >= 0)).all()):
                raise ConfigError("a spectrum of Statistics has entries that are negative or not finite; give variances")

    def __repr__(self) -> str:
        known = "no spectrum" if self.spectrum is None else f"{self.spectrum.numel()} variances"
        return f"Statistics({known}, {self.basis if isinstance(self.basis, str) else type(self.basis).__name__})"

    @classmethod
    def from_samples(
        cls, fields: Any, basis: str | Basis = "fourier", *, per_mode: bool = False, mean: str = "field", **options: Any
    ) -> "SpectralPrior":
        """Return the prior of samples (N, *shape), N >= 2, normalised as the network sees them.

        `per_mode`: a variance for every mode, which takes many samples to be known, rather than for every shell. `mean`:
        "field", that of every point, or "none" where it is known to be 0; `options` are those of the basis.
        """
        fields = torch.as_tensor(fields)
        if fields.ndim < 2 or len(fields) < 2:
            raise ConfigError(f"statistics need fields (N, *shape) with N >= 2, got shape {tuple(fields.shape)}")
        if mean not in ("field", "none"):
            raise ConfigError(f"mean = {mean!r} of Statistics.from_samples is neither 'field' nor 'none'")
        modes = chosen(basis, fields.shape[1:], options)
        measured = (mode_variance if per_mode else variance)(modes, fields)
        return cls(measured.mean if mean == "field" else 0.0, measured.variance, basis, options, tuple(fields.shape[1:]))

    def known(self, shape: Sequence[int], sigma_data: float) -> tuple[Basis, Tensor, Tensor]:
        """Return the basis for fields of this shape, and variance and mean (M,) of its modes; sigma_data^2 where none is
        known."""
        require_shape(self.shape or shape, shape)
        basis = chosen(self.basis, shape, self.options)
        require_shape(basis.shape, shape)
        try:
            mean = self.mean.expand(*shape)
        except RuntimeError:
            raise ConfigError(
                f"the mean of Statistics has shape {tuple(self.mean.shape)}, which does not broadcast to fields {tuple(shape)}"
            ) from None
        return basis, self.spread(basis, sigma_data), basis.forward(mean)

    def spread(self, basis: Basis, sigma_data: float) -> Tensor:
        """Return the variances (M,) of all modes."""
        if self.spectrum is None and isinstance(sigma_data, ChannelScales):
            return variances_of_channels(basis, sigma_data)
        spectrum = torch.tensor(sigma_data**2, dtype=F64) if self.spectrum is None else self.spectrum
        if spectrum.ndim == 0:
            return spectrum.expand(basis.modes).clone()
        if spectrum.shape == (basis.modes,):
            if self.modes != ORDER and getattr(basis, "together", False) and len(basis.shape) > 2:
                raise ConfigError(
                    "these statistics have a variance per mode in the order of an earlier version of parampi; make them anew: "
                    "parampi.Statistics.from_samples(fields, per_mode=True).save(path)"
                )
            return torch.as_tensor(spectrum)
        if spectrum.shape != (basis.shells,):
            raise ConfigError(
                f"a spectrum of shape {tuple(spectrum.shape)} does not fit the basis {type(basis).__name__} of fields "
                f"{tuple(basis.shape)}; give {basis.shells} variances of shells or {basis.modes} of modes"
            )
        return basis.spread(spectrum)

    @classmethod
    def of_data(cls, described: "DatasetStatistics", **options: Any) -> "SpectralPrior":
        """Return the prior of a data set's fields, normalised by its mean and standard deviation: a variance per shell and
        channel of the modes of its spectrum. `options` are more of those of their basis.

        Raises ConfigError for options whose shells are not those of the data's spectrum.
        """
        geometry = described.geometry
        shape = (len(described.names), *described.sizes)
        basis = make_basis(geometry.basis, shape, **{**geometry.options, **options})
        require_shells(geometry.basis, {"channels": "own", "shells": "radial", **geometry.options}, options)
        power = torch.from_numpy(described.spectrum).to(F64).clone()
        power[:, 0] -= torch.from_numpy(described.mean) ** 2
        power /= torch.from_numpy(described.standard_deviation)[:, None] ** 2
        power = lowered(power, basis.shells // len(power))
        freedom = basis.shell_sums(basis.noise).reshape(power.shape)
        variances = torch.where(freedom > 0, power.clamp(min=0) * math.prod(described.sizes) / freedom, 0.0)
        return cls(0.0, variances.flatten(), geometry.basis, {**geometry.options, **options}, shape=shape)

    @classmethod
    def from_file(cls, path: str | Path) -> "SpectralPrior":
        """Read what `save` wrote, or a statistics file of a data set. Raises DataError."""
        from parampi.fields import DatasetStatistics, read_spectrum

        content = read_spectrum(path)
        if content is None:
            described = DatasetStatistics.from_file(path)
            described.require_spectrum(path)
            return cls.of_data(described)
        mean, spectrum, basis = content
        try:
            named = json.loads(basis)
            name, options, shape = str(named["basis"]), dict(named["options"]), named.get("shape")
            shape = None if shape is None else tuple(map(int, shape))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: its basis {basis!r} cannot be understood; write the file anew") from error
        try:
            return cls(mean, spectrum, name, options, shape, str(named.get("modes", "unknown")))
        except ConfigError as error:
            raise DataError(f"{path}: {error}") from error

    def save(self, path: str | Path) -> None:
        """Write a NetCDF-4 file, in place of one that exists. Raises ConfigError for a basis that has no name."""
        from parampi.fields import write_spectrum

        if not isinstance(self.basis, str):
            raise ConfigError(
                f"statistics in a {type(self.basis).__name__} that was made by hand cannot be saved; name the basis"
            )
        spectrum = None if self.spectrum is None else self.spectrum.numpy()
        basis = json.dumps({"basis": self.basis, "options": listed(self.options), "shape": self.shape, "modes": self.modes})
        write_spectrum(path, self.mean.numpy(), spectrum, basis)


def require_shells(basis: str, usual: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Raise ConfigError for options of a basis that change which shells it has: the data's spectrum has one for each channel
    and wavenumber."""
    free = ("degree", "transform") if basis == "spherical_harmonics" else ()
    changed = {name: value for name, value in options.items() if name not in free and usual.get(name) != value}
    if changed:
        raise ConfigError(
            f"the statistics of the data have a variance for each channel and wavenumber, not for the shells of the basis "
            f"{basis!r} with {changed}; leave that out, or give statistics of these shells: parampi.Statistics.from_samples"
        )


def lowered(power: Tensor, shells: int) -> Tensor:
    """Return mean squares per channel and shell (C, K) for fewer shells: harmonics above the highest degree are of the rest."""
    if shells == power.shape[1]:
        return power
    return torch.cat([power[:, : shells - 1], power[:, shells - 1 :].sum(1, keepdim=True)], dim=1)


def require_shape(own: Sequence[int], shape: Sequence[int]) -> None:
    """Raise ConfigError unless fields of `shape` are what the statistics are of."""
    if tuple(own) != tuple(shape):
        raise ConfigError(
            f"these statistics are of fields of shape {tuple(own)}, not {tuple(shape)}; take those of the same "
            f"channels and grid"
        )


def chosen(basis: str | Basis, shape: Sequence[int], options: Mapping[str, Any]) -> Basis:
    """Return the basis itself, or the one of that name for fields of this shape."""
    if isinstance(basis, str):
        return make_basis(basis, shape, **options)
    if not callable(getattr(basis, "forward", None)):
        raise ConfigError(f"basis = {basis!r} is no basis; give its name, such as 'fourier', or a basis")
    return basis


def listed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as JSON has them."""
    return {name: value.tolist() if hasattr(value, "tolist") else value for name, value in options.items()}


def variances_of_channels(basis: Basis, scales: ChannelScales) -> Tensor:
    """Return the variances (M,) of the modes of white noise whose channels have these standard deviations: that of a mode's
    channel, and of a mode that several channels have a part in, the mean of its shell by their parts."""
    check_channels(scales, basis.shape)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(basis.shape, generator=generator, dtype=F64)
    count = len(scales.channels)
    squares = basis.forward(torch.eye(count, dtype=F64).view(count, count, *(1 for _ in basis.shape[1:])) * noise) ** 2
    total = squares.sum(0)
    variance = torch.tensor(scales.channels, dtype=F64) ** 2
    alone = bool((squares.amax(0) > (1 - 1e-9) * total).all())
    parts = squares / total if alone else basis.spread(basis.shell_sums(squares) / basis.shell_sums(total))
    return torch.where(total > 0, torch.tensordot(variance, parts.nan_to_num(), dims=1), float(scales) ** 2)
