"""Make the example's starts and what followed them, out of simulations that were not trained on.

    python prepare.py forecast-5.nc                                    # the files that are shipped: 4 starts
    python prepare.py forecast-5.nc --starts 8 --folder many           # 32 starts, for the model card

Writes starts.nc, the vorticity at the start of each forecast, and truth.nc, that at the start and at the 24 lead times after
it, by the time that it is of; both are packed into 16 bits.
"""

import argparse
from pathlib import Path

import netCDF4
import numpy as np

HELD_OUT, LEAD_TIMES = 4, 24
PACKED = 1e-3  # s-1
TIMES = {"units": "seconds since 2000-01-01", "calendar": "standard", "axis": "T"}


def create(path, title, x, y, times, meaning):
    file = netCDF4.Dataset(path, "w")
    file.setncatts({"Conventions": "CF-1.11", "title": title})
    for name, values in (("y", y), ("x", x), ("time", times)):
        file.createDimension(name, len(values))
        file.createVariable(name, "f8", (name,))[:] = values
    for name in ("y", "x"):
        file[name].setncatts({"units": "m", "axis": name.upper(), "long_name": f"{name} coordinate"})
    file["time"].setncatts(TIMES | {"standard_name": "time", "long_name": meaning})
    return file


def add_vorticity(file, fields):
    variable = file.createVariable("vorticity", "i2", ("time", "y", "x"), compression="zlib", complevel=9)
    variable.setncatts({"units": "s-1", "long_name": "relative vorticity", "scale_factor": PACKED})
    variable[:] = fields


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--starts", type=int, default=1, help="per simulation")
    parser.add_argument("--folder", type=Path, default=Path())
    options = parser.parse_args()
    with netCDF4.Dataset(options.data) as file:
        data = np.ma.filled(file["vorticity"][-HELD_OUT:], np.nan)
        x, y, seconds = file["x"][:], file["y"][:], file["time"][: LEAD_TIMES + 1]
    last = data.shape[1] - LEAD_TIMES - 1
    first = np.linspace(0, last, options.starts).round().astype(int) if options.starts > 1 else np.array([last // 2])
    fields = np.stack([run[at : at + LEAD_TIMES + 1] for run in data for at in first])
    # times only tell the starts apart, far enough that no forecast reaches the next
    starts = np.arange(len(fields)) * 100.0
    options.folder.mkdir(exist_ok=True)
    title, start = "Vorticity of forced two-dimensional turbulence", "start of the forecast"
    with create(options.folder / "starts.nc", title, x, y, starts, start) as file:
        add_vorticity(file, fields[:, 0])
    times = (starts[:, None] + (seconds - seconds[0])).ravel()
    with create(options.folder / "truth.nc", "What followed the starts of forecasts", x, y, times, "time of the field") as file:
        add_vorticity(file, fields.reshape(-1, *fields.shape[2:]))


if __name__ == "__main__":
    main()
