"""Forecast with the simulator itself: how well an ensemble can do that knows the equations, but not the storms to come.

    python twins.py            # of output/ensemble.nc, into output/twins.nc; half a minute on one core
    parampi score output/twins.nc --truth truth.nc

Starts simulate.py from the fields at the starts of an ensemble, once for each member with kicks of its own, and writes what
comes at its lead times as an ensemble file. It is a reference, too: `parampi score output/ensemble.nc --reference
output/twins.nc`. The fields of 32 x 64 points hold all degrees that are solved for.
"""

import argparse
from pathlib import Path

import numpy as np
import xarray
from simulate import DEPTH, GRAVITY, VARIABLES, WRITTEN, Planet, fields_of

HERE = Path(__file__).resolve().parent
TIME = "forecast_reference_time"


def state_of(fields, ground):
    """The state of height and winds (3, RINGS, COLUMNS), what `fields_of` undoes."""
    height, east, north = fields
    vorticity, divergence = WRITTEN.curl_and_divergence(np.stack([-north, east]))
    return np.stack([vorticity, divergence, WRITTEN.modes(GRAVITY * (height - DEPTH - ground))])


def forecast(start, members, lead_times, step, seed):
    """Heights and winds (member, lead time, 3, RINGS, COLUMNS) of simulations from one start (3, RINGS, COLUMNS)."""
    planet, drawn = Planet(seed), []
    ground = WRITTEN.field(planet.grid.modes(planet.ground)) / GRAVITY
    for _ in range(members):
        state = state_of(start, ground)
        for _ in range(lead_times):
            state = planet.advance(state, step)
            drawn.append(fields_of(state, ground))
    return np.stack(drawn).reshape(members, lead_times, *start.shape)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ensemble", type=Path, default=HERE / "output" / "ensemble.nc", help="whose starts and lead times")
    parser.add_argument("--truth", type=Path, default=HERE / "truth.nc")
    parser.add_argument("--out", type=Path, default=HERE / "output" / "twins.nc")
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1000)
    options = parser.parse_args()
    with xarray.open_dataset(options.ensemble, decode_timedelta=False) as like, xarray.open_dataset(options.truth) as truth:
        hours = like["lead_time"].values
        drawn = [
            forecast(
                np.stack([truth[name].sel(time=time).values for name in VARIABLES]).astype(float),
                options.members, len(hours), float(hours[0]) * 3600, options.seed + number,
            )
            for number, time in enumerate(like[TIME].values)
        ]  # fmt: skip
        axes = ("member", TIME, "lead_time")
        fields = np.stack(drawn, 1).astype("f4")
        variables = {name: ((*axes, "lat", "lon"), fields[..., row, :, :]) for row, name in enumerate(VARIABLES)}
        variables |= {"realization": ("member", np.arange(options.members, dtype="i4"))}
        variables |= {"complete": (axes, np.ones(fields.shape[:3], "i1"))}
        kept = {name: like[name] for name in (TIME, "lead_time", "valid_time", "lat", "lon")}
        file = xarray.Dataset(variables).assign_coords(kept)
        for name in VARIABLES:
            file[name].attrs = VARIABLES[name][2]
        file.to_netcdf(options.out)
    print(f"{options.members} members of the simulator, {fields.shape[1]} starts, {fields.shape[2]} lead times: {options.out}")


if __name__ == "__main__":
    main()
