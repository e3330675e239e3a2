"""Forecasts with dates on a small globe, in files: members and truth are draws of one law."""

import numpy as np
import xarray

from parampi.basis.sphere_grid import latitudes

LATITUDE, LONGITUDE = latitudes("gauss-legendre", 8), np.arange(12) * 30.0
STARTS, LEADS = np.array([0.0, 240.0, 480.0]), np.array([6.0, 12.0])
UNITS = "hours since 2001-01-01"
DEGREES = {"lat": ("lat", LATITUDE, {"units": "degrees_north"}), "lon": ("lon", LONGITUDE, {"units": "degrees_east"})}


def draws(members=6, starts=3, leads=2, seed=0):
    """Members (M, S, L, 8, 12) and the truth (S, L, 8, 12) about the same unknown means; errors grow with the lead time."""
    lot = np.random.default_rng(seed)
    means = 280 + 5 * lot.standard_normal((starts, leads, 8, 12))
    noise = lot.standard_normal((members + 1, starts, leads, 8, 12)) * (1 + np.arange(leads))[:, None, None]
    both = (means + noise).astype(np.float32)
    return both[1:], both[0]


def write_ensemble(path, members, starts=STARTS, leads=LEADS, name="t", **attributes):
    """Members (M, S, L, 8, 12), or (M, S, L, levels, 8, 12)."""
    times, hours = np.asarray(starts), np.asarray(leads)
    axes = ("member", "forecast_reference_time", "lead_time")
    levels = {} if members.ndim == 5 else {"plev": ("plev", [500.0, 850.0], {"units": "hPa", "axis": "Z"})}
    data = {
        name: ((*axes, *levels, "lat", "lon"), members, {"units": "K", "long_name": "temperature"} | attributes),
        "realization": ("member", np.arange(len(members), dtype="i4")),
        "complete": (axes, np.ones(members.shape[:3], "i1")),
        "valid_time": (axes[1:], times[:, None] + hours, {"units": UNITS, "calendar": "standard"}),
        "forecast_reference_time": (axes[1], times, {"units": UNITS, "calendar": "standard"}),
        "lead_time": ("lead_time", hours, {"units": "hours", "standard_name": "forecast_period"}),
    }
    xarray.Dataset(data, levels | DEGREES).to_netcdf(path)
    return path


def write_truth(path, truth, starts=STARTS, leads=LEADS, name="t", before=None, **attributes):
    """Truth (S, L, 8, 12), and fields (S, 8, 12) at the starts, as one series of times."""
    times = (np.asarray(starts)[:, None] + np.asarray(leads)).ravel()
    fields = truth.reshape(-1, *truth.shape[2:])
    if before is not None:
        times, fields = np.concatenate([starts, times]), np.concatenate([before, fields])
    order = np.argsort(times)
    levels = {} if fields.ndim == 3 else {"plev": ("plev", [500.0, 850.0], {"units": "hPa", "axis": "Z"})}
    time = ("time", times[order], {"units": UNITS, "calendar": "standard", "standard_name": "time"})
    data = {name: (("time", *levels, "lat", "lon"), fields[order], {"units": "K"} | attributes)}
    xarray.Dataset(data, {"time": time} | levels | DEGREES).to_netcdf(path)
    return path


def write_both(folder, members=6, seed=0):
    drawn, truth = draws(members, seed=seed)
    return write_ensemble(folder / "e.nc", drawn), write_truth(folder / "t.nc", truth), drawn, truth
