"""Simulate forced two-dimensional turbulence and write its vorticity to NetCDF.

    python simulate.py --out turbulence.nc            # 16 trajectories x 250 snapshots, about 15 minutes on one core

Solves the vorticity equation on the periodic square [0, 2 pi m]^2,

    d omega/dt + u . grad omega = f - mu omega + nu laplace omega,      u = (-d psi/dy, d psi/dx), laplace psi = omega,

pseudo-spectrally with the 2/3 rule, linear drag `mu` and viscosity `nu`. The forcing `f` is white in time, isotropic, on the
shell 3 <= |k| <= 5 and injects energy at the rate `epsilon` (Alvelius, Phys. Fluids 11, 1880, 1999, without the correction for
correlation). The drift is stepped by the fourth-order exponential Runge-Kutta scheme ETDRK4 (Cox and Matthews, J. Comput. Phys.
176, 430, 2002; coefficients by the contour integral of Kassam and Trefethen, SIAM J. Sci. Comput. 26, 1214, 2005); the kicks of
the noise stand between the steps (Strang splitting, weak order two). Solved on 96x96 points, where the 2/3 rule keeps all
wavenumbers up to 32, and written on 64x64 by Fourier truncation.
"""

import argparse
import math
from pathlib import Path

import netCDF4
import numpy as np
import torch

VISCOSITY = 1.5e-3  # m2 s-1
DRAG = 0.1  # s-1
INJECTION = 0.1  # m2 s-3, energy per area and time
FORCED = (3.0, 5.0)  # rad m-1


class Turbulence:
    """The vorticity equation on an n x n periodic grid; states are rfft2 coefficients (batch, n, n//2+1)."""

    def __init__(self, n=96, dt=0.0125, viscosity=VISCOSITY, drag=DRAG, injection=INJECTION, seed=0, dtype=torch.float64):
        self.n, self.dt, self.dtype = n, dt, dtype
        self.rng = torch.Generator().manual_seed(seed)
        ky = torch.fft.fftfreq(n, 1 / n, dtype=dtype)[:, None]
        kx = torch.fft.rfftfreq(n, 1 / n, dtype=dtype)[None]
        k2 = kx**2 + ky**2
        inverse = torch.where(k2 > 0, 1 / k2.clamp(min=1), 0)
        self.kept = (kx < n / 3) & (ky.abs() < n / 3)
        # four inverse transforms per evaluation: u, v, d omega/dx, d omega/dy
        self.derivatives = torch.stack([1j * ky * inverse, -1j * kx * inverse, 1j * kx.expand_as(k2), 1j * ky.expand_as(k2)])
        linear = -drag - viscosity * k2
        self.set_exponential(linear)
        shell = (k2 >= FORCED[0] ** 2) & (k2 <= FORCED[1] ** 2)
        # white noise of unit variance per grid point becomes a forcing of energy rate `injection`
        multiplicity = torch.where((kx == 0) | (kx == n // 2), 1.0, 2.0).expand_as(k2)
        per_unit = (shell * multiplicity * inverse).sum() / 2 / n**2
        self.forcing = shell * (injection / per_unit).sqrt()

    def set_exponential(self, linear, points=32):
        """ETDRK4's functions of `linear * dt`, averaged over a circle to avoid cancellation near zero."""
        z = linear * self.dt
        circle = torch.exp(1j * math.pi * (torch.arange(points, dtype=self.dtype) + 0.5) / points)
        w = z[..., None] + circle
        e = torch.exp(w)
        self.full, self.half = torch.exp(z), torch.exp(z / 2)
        mean = lambda f: self.dt * f.mean(-1).real  # noqa: E731
        self.q = mean((torch.exp(w / 2) - 1) / w)
        self.f1 = mean((-4 - w + e * (4 - 3 * w + w**2)) / w**3)
        self.f2 = mean((2 + w + e * (w - 2)) / w**3)
        self.f3 = mean((-4 - 3 * w - w**2 + e * (4 - w)) / w**3)

    def advection(self, state):
        """-u . grad omega, dealiased."""
        u, v, wx, wy = torch.fft.irfft2(self.derivatives[:, None] * state, s=(self.n, self.n))
        return -torch.fft.rfft2(u * wx + v * wy) * self.kept

    def step(self, state):
        n0 = self.advection(state)
        a = self.half * state + self.q * n0
        na = self.advection(a)
        b = self.half * state + self.q * na
        nb = self.advection(b)
        c = self.half * a + self.q * (2 * nb - n0)
        nc = self.advection(c)
        return self.full * state + self.f1 * n0 + 2 * self.f2 * (na + nb) + self.f3 * nc

    def kick(self, state):
        white = torch.randn(state.shape[0], self.n, self.n, generator=self.rng, dtype=self.dtype)
        return state + math.sqrt(self.dt) * self.forcing * torch.fft.rfft2(white)

    def advance(self, state, time):
        for _ in range(round(time / self.dt)):
            state = self.kick(self.step(state))
        if not torch.isfinite(torch.view_as_real(state)).all():
            raise FloatingPointError(f"the simulation blew up; use a time step smaller than {self.dt} s")
        return state


def truncate(state, n, m):
    """The field on m x m points of a state on n x n points, by Fourier truncation."""
    rows = torch.cat([torch.arange(m // 2), torch.arange(n - m // 2, n)])
    kept = state[:, rows, : m // 2 + 1].clone()
    kept[:, m // 2] = 0
    kept[..., m // 2] = 0
    return torch.fft.irfft2(kept, s=(m, m)) * (m / n) ** 2


def create(path, trajectories, snapshots, m, interval):
    """An empty CF file; one trajectory is one chunk row, so that writing streams."""
    file = netCDF4.Dataset(path, "w")
    file.setncatts(
        {
            "Conventions": "CF-1.11",
            "title": "Forced two-dimensional turbulence on a periodic square",
            "source": "examples/01_turbulence/simulate.py of parampi",
            "viscosity_m2_s-1": VISCOSITY,
            "drag_s-1": DRAG,
            "energy_injection_m2_s-3": INJECTION,
            "forced_wavenumbers_rad_m-1": FORCED,
        }
    )
    for name, size in (("trajectory", trajectories), ("time", snapshots), ("y", m), ("x", m)):
        file.createDimension(name, size)
    axis = np.arange(m) * 2 * np.pi / m
    coordinates = {
        "trajectory": (np.arange(trajectories, dtype="i4"), {"long_name": "independent simulation", "units": "1"}),
        "time": (np.arange(snapshots) * interval, {"long_name": "time since the end of spin-up", "units": "s"}),
        "y": (axis, {"long_name": "y coordinate", "units": "m", "axis": "Y"}),
        "x": (axis, {"long_name": "x coordinate", "units": "m", "axis": "X"}),
    }
    for name, (values, attributes) in coordinates.items():
        variable = file.createVariable(name, values.dtype, (name,))
        variable.setncatts(attributes)
        variable[:] = values
    variable = file.createVariable("vorticity", "f4", ("trajectory", "time", "y", "x"), chunksizes=(1, 1, m, m))
    variable.setncatts({"long_name": "relative vorticity", "units": "s-1"})
    return file


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("turbulence.nc"))
    parser.add_argument("--trajectories", type=int, default=16)
    parser.add_argument("--snapshots", type=int, default=250, help="per trajectory")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between snapshots")
    parser.add_argument("--spin-up", type=float, default=60.0, help="seconds thrown away first (six drag times)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = Turbulence(seed=options.seed)
    state = model.advance(torch.zeros(options.trajectories, 96, 49, dtype=torch.complex128), options.spin_up)
    with create(options.out, options.trajectories, options.snapshots, 64, options.interval) as file:
        for index in range(options.snapshots):
            field = truncate(state, model.n, 64)
            file["vorticity"][:, index] = field.float().numpy()
            if index % 10 == 0:
                kurtosis = (field**4).mean() / (field**2).mean() ** 2
                print(f"t = {index * options.interval:7.1f} s  rms {field.std():.3f} s-1  kurtosis {kurtosis:.3f}", flush=True)
            state = model.advance(state, options.interval)


if __name__ == "__main__":
    main()
