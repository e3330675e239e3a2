"""Write the statistics file of the simulated fields: mean, standard deviation, spectrum and 16 reference fields.

    python summarise.py turbulence.nc --out statistics.nc        # a few seconds

Training leaves out the last two trajectories; the statistics are those of all of them.
"""

import argparse
from pathlib import Path

import netCDF4

from parampi.fields import DatasetStatistics


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("statistics.nc"))
    options = parser.parse_args()
    with netCDF4.Dataset(options.data) as file:
        vorticity, x, y = file["vorticity"], file["x"], file["y"]
        fields = vorticity[:].filled(float("nan")).reshape(-1, 1, *vorticity.shape[2:])
        statistics = DatasetStatistics.from_samples(
            fields, ["vorticity"], [vorticity.units], [vorticity.long_name], x=x[:], y=y[:], x_units=x.units, y_units=y.units
        )
    statistics.save(options.out)
    print(f"{statistics.samples} fields, standard deviation {statistics.standard_deviation[0]:.4f} {statistics.units[0]}")


if __name__ == "__main__":
    main()
