"""Simulate the weather of model.py: 100 days, every 6 hours, from 2001-01-01 on.

python data.py data/series.nc
"""

import sys
from pathlib import Path

import numpy as np
import torch
import xarray
from model import SIZE, modes

TIMES = 400


def series(times: int = TIMES, seed: int = 0) -> np.ndarray:
    """Return temperatures (times, y, x) in K."""
    memory, fresh = modes()
    generator = torch.Generator().manual_seed(seed)
    noise = torch.fft.fft2(torch.randn(times, SIZE, SIZE, generator=generator, dtype=torch.float64))
    state, fields = (fresh / (1 - memory**2)).sqrt() * noise[0], []
    for shock in noise:
        state = memory * state + fresh.sqrt() * shock
        fields.append(torch.fft.ifft2(state).real)
    return 280 + 5 * torch.stack(fields).numpy()


def main() -> None:
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    place = np.arange(SIZE) * 100e3
    time = ("time", 6.0 * np.arange(TIMES), {"units": "hours since 2001-01-01", "standard_name": "time"})
    axes = {name: (name, place, {"units": "m", "axis": name.upper()}) for name in ("y", "x")}
    field = (("time", "y", "x"), series(), {"units": "K", "long_name": "temperature"})
    xarray.Dataset({"t2m": field}, {"time": time} | axes, {"Conventions": "CF-1.11"}).to_netcdf(target)


if __name__ == "__main__":
    main()
