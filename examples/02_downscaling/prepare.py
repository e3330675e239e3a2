"""Make the example's coarse fields and the fine ones they come from, out of trajectories that were not trained on.

    python prepare.py turbulence.nc

Writes coarse.nc, means over 4x4 cells (16x16), and truth.nc (64x64): ten times, far apart, of the two trajectories held out.
"""

import argparse
from pathlib import Path

import netCDF4
import numpy as np

FACTOR, CASES, HELD_OUT = 4, 10, 2


def write(path, fields, x, y):
    with netCDF4.Dataset(path, "w") as file:
        file.setncatts({"Conventions": "CF-1.11", "title": "Vorticity of forced two-dimensional turbulence"})
        for name, values in (("time", np.arange(len(fields)) * 12.5), ("y", y), ("x", x)):
            file.createDimension(name, len(values))
            variable = file.createVariable(name, "f8", (name,))
            variable.setncatts({"units": "m", "axis": name.upper(), "long_name": f"{name} coordinate"})
            variable[:] = values
        file["time"].setncatts({"units": "seconds since 2000-01-01", "standard_name": "time", "axis": "T", "long_name": "time"})
        file["time"].setncattr("calendar", "standard")
        variable = file.createVariable("vorticity", "f4", ("time", "y", "x"), compression="zlib")
        variable.setncatts({"units": "s-1", "long_name": "relative vorticity", "cell_methods": "y: x: mean"})
        variable[:] = fields


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    with netCDF4.Dataset(options.data) as file:
        data = np.ma.filled(file["vorticity"][-HELD_OUT:], np.nan)
        x, y = file["x"][:], file["y"][:]
    times = np.linspace(0, data.shape[1] - 1, CASES // HELD_OUT).round().astype(int)
    fields = data[:, times].reshape(CASES, *data.shape[2:])
    cells = fields.reshape(CASES, len(y) // FACTOR, FACTOR, len(x) // FACTOR, FACTOR)
    write(Path("truth.nc"), fields, x, y)
    write(Path("coarse.nc"), cells.mean((2, 4)), x.reshape(-1, FACTOR).mean(1), y.reshape(-1, FACTOR).mean(1))


if __name__ == "__main__":
    main()
