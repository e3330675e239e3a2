"""Forecast with the simulator itself: how well an ensemble can do that knows the equations, but not the forcing to come.

    python twins.py --folder many --members 8        # minutes on one core

Starts ../01_turbulence/simulate.py from the fields of starts.nc, once for each member with noise of its own, and scores the
members as evaluate.py does. The fields of 64x64 points hold all wavenumbers that are solved for.
"""

import argparse
import importlib.util
import sys
from pathlib import Path

import netCDF4
import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import evaluate  # noqa: E402


def simulator():
    """The first example's simulator."""
    path = HERE.parent / "01_turbulence" / "simulate.py"
    spec = importlib.util.spec_from_file_location("turbulence_simulate", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SIMULATE = simulator()


def widen(fields, n):
    """States on n x n points of fields (B, m, m); what `truncate` undoes."""
    m = fields.shape[-1]
    modes = torch.fft.rfft2(fields.double()) * (n / m) ** 2
    state = modes.new_zeros(len(fields), n, n // 2 + 1)
    rows = torch.cat([torch.arange(m // 2), torch.arange(m // 2 + 1, m)])
    state[:, torch.where(rows < m // 2, rows, rows + n - m), : m // 2] = modes[:, rows, : m // 2]
    return state


def forecast(starts, members, seconds, seed):
    """Vorticity (member, start, lead time, y, x) of simulations from starts (start, y, x)."""
    model = SIMULATE.Turbulence(seed=seed)
    state = widen(torch.from_numpy(starts), model.n).repeat(members, 1, 1)
    fields = []
    for time in np.diff(seconds, prepend=0.0):
        state = model.advance(state, time)
        fields.append(SIMULATE.truncate(state, model.n, starts.shape[-1]))
    drawn = torch.stack(fields, 1).numpy()
    return drawn.reshape(members, len(starts), *drawn.shape[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=HERE, help="where starts.nc and truth.nc are")
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--every", type=int, default=1, help="take one of so many starts")
    parser.add_argument("--seed", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with netCDF4.Dataset(options.folder / "starts.nc") as first, netCDF4.Dataset(options.folder / "truth.nc") as after:
        starts, truth = (np.ma.filled(file["vorticity"][:], np.nan).astype(float) for file in (first, after))
        # each start and what followed it are in a row
        truth, times = truth.reshape(len(starts), -1, *truth.shape[1:]), after["time"][:].filled().reshape(len(starts), -1)
        starts, truth, seconds = starts[:: options.every], truth[:: options.every, 1:], (times - times[:, :1])[0, 1:]
    members = forecast(starts, options.members, seconds, options.seed)
    print(f"{options.members} members of the simulator, {len(starts)} starts")
    print(evaluate.table(evaluate.rows(members, starts, truth), seconds))


if __name__ == "__main__":
    main()
