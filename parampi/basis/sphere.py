"""Spherical harmonics of fields on global latitude-longitude grids."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi
from typing import Self

import torch
from torch import Tensor

from parampi.basis.base import Device, Points, register
from parampi.basis.harmonics import HarmonicTransform, LibraryTransform, TableTransform
from parampi.basis.sphere_grid import SphereGrid
from parampi.basis.transform import F64, Transform, check_option, check_shape, per_channel
from parampi.errors import ConfigError

SMALL = 1 << 16  # points of a grid for which one analysis per ring costs nothing
MOST = 1 << 26  # numbers in tables (512 MiB in float64) that are worth their memory on a device


@dataclass(frozen=True)
class SphereModes:
    """The modes of a sphere as they are stored; see `Transform` and `SphericalHarmonics`. `coefficients`: K, of a channel."""

    shell: Tensor
    weight: Tensor
    noise: Tensor
    coefficients: int
    degree_of_shell: Tensor


@register("spherical_harmonics")
class SphericalHarmonics(Transform):
    """Coefficients c_lm (m >= 0, real and imaginary parts) of every channel, then the rest of the field that they leave.

    Shells are the degrees l = 0 ... degree of a channel, then its rest; `channels`: "own" shells for every channel, channel by
    channel, or "shared" ones. `degree_of_shell` (S,) int64 has the degree of each, -1 for a rest.

    `grid`: "equiangular" (rings in the middle of cells), "equiangular-poles", "driscoll-healy" (north pole only) or
    "gauss-legendre"; `ascending`: the first ring is the southernmost; or `latitude` (H,) in degrees, from which both follow.
    `degree`: the highest one; that which the grid determines exactly if not given. Orders go up to that or to columns / 2.
    `transform`: "library" (ducc0, on the CPU), "tables" (products on the device of the fields) or "auto": the library on a CPU,
    tables elsewhere unless they are larger than 512 MiB.

    `sum(weight z^2)` is the sum of squares over the grid's points in which each counts by its area, in units of the mean area:
    exactly on a Gauss-Legendre grid, where the harmonics are orthogonal, and about so on others. White noise on the points is
    not quite white in these modes; `noise` has its mean over all orders where there are more than 65536 points, and its mean
    over all points for the rest.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        grid: str | None = None,
        latitude: Sequence[float] | None = None,
        ascending: bool | None = None,
        degree: int | None = None,
        channels: str = "own",
        transform: str = "auto",
    ):
        shape = check_shape("SphericalHarmonics", shape, 3, most=3, axes="(C, latitudes, longitudes)")
        check_option("SphericalHarmonics", "channels", channels, ("own", "shared"))
        check_option("SphericalHarmonics", "transform", transform, ("auto", "library", "tables"))
        self.grid = SphereGrid.of(shape, family=grid, latitude=latitude, ascending=ascending, degree=degree)
        self.transform, self.library = transform, LibraryTransform(self.grid)
        self.harmonics: HarmonicTransform = TableTransform(self.library) if transform == "tables" else self.library
        modes = number_modes(self.grid, self.library, shape[0], shared=channels == "shared")
        super().__init__(shape, modes.shell, modes.weight, modes.noise)
        self.coefficients, self.degree_of_shell = modes.coefficients, modes.degree_of_shell
        self.areas = self.weight[2 * self.coefficients * shape[0] :].reshape(shape)

    def squares(self, fields: Tensor) -> Tensor:
        """Return the sums of squares (...) of fields (..., *shape), in which points count by their areas, as `weight` has
        them."""
        return super().squares(fields * self.areas.to(fields).sqrt())

    def smoothing(self, points: Points) -> Tensor | None:
        """Return the factors (M,) of a Gaussian average over neighbouring points, as wide as so many rings; 0 for the rest of a
        field."""
        if not isinstance(points, int | float):
            raise ConfigError(f"SphericalHarmonics average over {points} points; give one number, of rings")
        degree, width = self.degree_of_shell.to(self.shell.device)[self.shell], points * pi / self.grid.rings
        return torch.where(degree >= 0, torch.exp(-0.5 * degree * (degree + 1) * width**2), 0.0).to(F64)

    def to(self, device: Device = None, dtype: torch.dtype | None = None) -> Self:
        moved = super().to(device, dtype)
        if self.transform == "auto":
            moved.harmonics = self.chosen(torch.device(device) if device is not None else self.shell.device)
        moved.harmonics = moved.harmonics.to(device, dtype)
        return moved

    def chosen(self, device: torch.device) -> HarmonicTransform:
        if device.type == "cpu" or TableTransform.size(self.grid) > MOST:
            return self.library
        return self.harmonics if isinstance(self.harmonics, TableTransform) else TableTransform(self.library)

    def analyse(self, rows: Tensor) -> Tensor:
        maps = rows.flatten(0, 1)
        coefficients = self.harmonics.analysis(maps)
        rest = maps - self.harmonics.synthesis(coefficients)
        return torch.cat([coefficients.reshape(len(rows), -1), rest.reshape(len(rows), -1)], dim=1)

    def synthesise(self, rows: Tensor) -> Tensor:
        count = 2 * self.coefficients * self.shape[0]
        coefficients = rows[:, :count].reshape(-1, self.coefficients, 2)
        return self.harmonics.synthesis(coefficients).reshape(len(rows), *self.shape) + rows[:, count:].reshape(-1, *self.shape)


def number_modes(grid: SphereGrid, library: LibraryTransform, channels: int, *, shared: bool) -> SphereModes:
    """Return shells, weights and noise of the coefficients (C, K, 2) and then of the rests (C, H, W)."""
    degree, order = (torch.from_numpy(n) for n in grid.numbers())
    points = grid.rings * grid.columns
    areas = library.areas()[:, None].expand(-1, grid.columns).flatten()
    real, variance = order == 0, noise_of_coefficients(grid, library, areas)
    weight = torch.where(real, 1.0, 2.0).to(F64)[:, None].expand(-1, 2) * (points / (4 * pi))
    noise = torch.stack([torch.where(real, 1.0, 0.5), torch.where(real, 0.0, 0.5)], dim=-1) * variance[:, None]
    left = max(1 - float((weight * noise).sum()) / points, 0.0)
    parts = degree.long().repeat_interleave(2)
    shell = per_channel(torch.cat([parts, torch.full((points,), grid.degree + 1)]), channels, shared)
    degrees = torch.cat([torch.arange(grid.degree + 1), torch.tensor([-1])])
    return SphereModes(
        shell=arranged(shell[:, : len(parts)], shell[:, len(parts) :]),
        weight=arranged(weight.reshape(1, -1).expand(channels, -1), areas.expand(channels, -1)),
        noise=arranged(noise.reshape(1, -1).expand(channels, -1), torch.full((channels, points), left, dtype=F64)),
        coefficients=len(degree),
        degree_of_shell=degrees.repeat(1 if shared else channels),
    )


def noise_of_coefficients(grid: SphereGrid, library: LibraryTransform, areas: Tensor) -> Tensor:
    """Return the variance (K,) of c_lm of white noise; on large grids its mean over orders, by the addition theorem."""
    points = grid.rings * grid.columns
    if points <= SMALL:
        return library.rows().square().sum(1) * grid.columns
    return torch.full((len(grid.numbers()[0]),), float((areas**2).mean()) * 4 * pi / points, dtype=F64)


def arranged(coefficients: Tensor, rest: Tensor) -> Tensor:
    """Return modes (M,) from (C, 2 K) and (C, H W)."""
    return torch.cat([coefficients.flatten(), rest.flatten()])
