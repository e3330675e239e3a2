"""Spherical harmonic transforms of real maps (R, rings, columns), coefficients (R, K, 2) being real and imaginary parts.

    c_lm = integral x conj(Y_lm),        x = sum_l (c_l0 Y_l0 + 2 Re sum_{m > 0} c_lm Y_lm)

with orthonormal Y_lm that have the Condon-Shortley phase. `synthesis` after `analysis` is a projection.
"""

import importlib
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from parampi.basis.base import Device
from parampi.basis.sphere_grid import SphereGrid
from parampi.errors import ConfigError

LARGE = 1 << 15  # points of a map for which threads pay


class LibraryTransform:
    """Transforms by ducc0 (M. Reinecke; Reinecke, Belkacem, Platz 2023, arXiv:2304.10431), map by map on the CPU, whatever
    their device.

    A map's bits do not depend on the others, nor on the number of threads.
    """

    def __init__(self, grid: SphereGrid):
        self.grid, self.sht = grid, load_library()
        self.options = {"spin": 0, "lmax": grid.degree, "mmax": grid.order, "geometry": grid.geometry}
        self.south_first = slice(None, None, -1 if grid.ascending else 1)

    def to(self, device: Device, dtype: torch.dtype | None) -> Self:
        return self

    def threads(self) -> int:
        return torch.get_num_threads() if self.grid.rings * self.grid.columns >= LARGE else 1

    def analysis(self, maps: Tensor) -> Tensor:
        values = maps.detach().cpu().numpy()[:, None, self.south_first]
        done = [self.sht.analysis_2d(map=one, nthreads=self.threads(), **self.options)[0] for one in values]
        return torch.view_as_real(torch.from_numpy(np.stack(done))).to(maps.device)

    def synthesis(self, coefficients: Tensor) -> Tensor:
        values = torch.view_as_complex(coefficients.detach().cpu().contiguous()).numpy()
        size = {"ntheta": self.grid.rings, "nphi": self.grid.columns}
        done = [self.sht.synthesis_2d(alm=one[None], nthreads=self.threads(), **size, **self.options)[0] for one in values]
        return torch.from_numpy(np.stack(done)[:, self.south_first].copy()).to(coefficients.device)

    def rows(self) -> Tensor:
        """Return the coefficients (K, rings), float64, of a 1 at longitude 0 of each ring; at others their phase differs
        only."""
        answers = []
        for ring in range(self.grid.rings):
            unit = torch.zeros(1, self.grid.rings, self.grid.columns, dtype=torch.float64)
            unit[0, ring, 0] = 1
            answers.append(self.analysis(unit)[0, :, 0])
        return torch.stack(answers, dim=1)

    def areas(self) -> Tensor:
        """Return the area (rings,), float64, that a point of each ring stands for, in units of the mean."""
        weights = self.sht.get_gridweights(self.grid.geometry, self.grid.rings)[self.south_first]
        return torch.from_numpy(np.asarray(weights * (self.grid.rings / weights.sum())))


class TableTransform:
    """Transforms by Fourier transforms along rings and one product with a table per order m, many maps at once on any device.

    The tables are read off the library's answers to unit maps and unit coefficients. A map's last bits depend on how many
    others there are, as products of other shapes round differently.
    """

    def __init__(self, library: LibraryTransform):
        self.grid = library.grid
        degree, order = (torch.from_numpy(n).long() for n in self.grid.numbers())
        self.kept = order * (self.grid.degree + 1) + degree
        # (m, l, ring) and (m, ring, l); a 1 at longitude 0 has the same Fourier coefficients of all orders
        self.forward_table, self.inverse_table = self.dense(library.rows()), self.synthesis_table(library)

    @staticmethod
    def size(grid: SphereGrid) -> int:
        """Return how many numbers the tables have."""
        return 2 * (grid.order + 1) * (grid.degree + 1) * grid.rings

    def dense(self, coefficients: Tensor) -> Tensor:
        """Return (K, N) as (order + 1, degree + 1, N), zero where l < m."""
        full = coefficients.new_zeros((self.grid.order + 1) * (self.grid.degree + 1), coefficients.shape[1])
        full[self.kept.to(full.device)] = coefficients
        return full.reshape(self.grid.order + 1, self.grid.degree + 1, -1)

    def synthesis_table(self, library: LibraryTransform) -> Tensor:
        """Return (m, ring, l): the Fourier coefficients of the sum over m of Y_lm, for each l."""
        degree = torch.from_numpy(self.grid.numbers()[0])
        columns = []
        for shell in range(self.grid.degree + 1):
            one = torch.stack([(degree == shell).double(), torch.zeros_like(degree)], dim=-1)
            waves = torch.fft.rfft(library.synthesis(one[None])[0], norm="forward")
            columns.append(waves.real[:, : self.grid.order + 1].T)
        return torch.stack(columns, dim=-1).contiguous()

    def to(self, device: Device, dtype: torch.dtype | None) -> Self:
        moved = object.__new__(type(self))
        moved.grid, moved.kept = self.grid, self.kept.to(device)
        target = dtype or self.forward_table.dtype
        moved.forward_table, moved.inverse_table = self.forward_table.to(device, target), self.inverse_table.to(device, target)
        return moved

    def analysis(self, maps: Tensor) -> Tensor:
        waves = torch.view_as_real(torch.fft.rfft(maps, dim=-1)[..., : self.grid.order + 1])
        columns = waves.permute(2, 1, 0, 3).reshape(self.grid.order + 1, self.grid.rings, -1)
        dense = torch.bmm(self.forward_table.to(maps), columns).flatten(0, 1)
        return dense[self.kept.to(maps.device)].reshape(-1, len(maps), 2).transpose(0, 1)

    def synthesis(self, coefficients: Tensor) -> Tensor:
        dense = self.dense(coefficients.transpose(0, 1).flatten(1))
        columns = torch.bmm(self.inverse_table.to(coefficients), dense)
        waves = columns.reshape(self.grid.order + 1, self.grid.rings, -1, 2).permute(2, 1, 0, 3).contiguous()
        maps: Tensor = torch.fft.irfft(torch.view_as_complex(waves), n=self.grid.columns, dim=-1, norm="forward")
        return maps


HarmonicTransform = LibraryTransform | TableTransform


def load_library() -> Any:
    """Return ducc0's spherical harmonic transforms."""
    try:
        return importlib.import_module("ducc0").sht
    except ImportError as error:
        raise ConfigError(
            f"spherical harmonics need ducc0, which cannot be imported ({error}); install it: pip install 'parampi[sphere]'; "
            f"or take latitude and longitude for a plane (parampi stats --plane)"
        ) from error
