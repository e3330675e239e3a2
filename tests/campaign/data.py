"""One content in files of any legal form: the same conditions and the same statistics, whatever the form."""

import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray

from parampi.fields import Conditions, DatasetStatistics, FileSamples
from tests.campaign.tally import Tally

TIMES, HEIGHT, WIDTH = 8, 6, 8
LATITUDE, LONGITUDE = np.linspace(-75.0, 75.0, HEIGHT), np.arange(WIDTH) * 45.0
HOURS = 6.0 * np.arange(TIMES)
NAMES = ("t", "u")
UNITS = {"t": "K", "u": "m s-1"}
AXES = (("lat", "lon"), ("latitude", "longitude"), ("y", "x"), ("nj", "ni"), ("nav_lat", "nav_lon"))
FORMATS = (
    "NETCDF4",
    "NETCDF4",
    "NETCDF4_CLASSIC",
    "NETCDF3_CLASSIC",
    "NETCDF3_64BIT_OFFSET",
    "NETCDF3_64BIT_DATA",
    "zarr",
    "zarr2",
)
SPELLINGS = {
    "t": (("K", 1.0, 0.0), ("kelvin", 1.0, 0.0), ("degC", 1.0, -273.15), ("degrees Celsius", 1.0, -273.15), ("mK", 1e3, 0.0)),
    "u": (("m s-1", 1.0, 0.0), ("m/s", 1.0, 0.0), ("m s**-1", 1.0, 0.0), ("km h-1", 3.6, 0.0), ("cm s-1", 100.0, 0.0)),
}
CALENDARS = ("standard", "gregorian", "proleptic_gregorian", "Standard")
CLOCKS = (
    ("hours since 2001-01-01", 1.0, 0.0),
    ("days since 2001-01-01 00:00:00", 1 / 24, 0.0),
    ("minutes since 2000-12-31", 60.0, 1440.0),
    ("seconds since 2001-01-01T00:00:00Z", 3600.0, 0.0),
    ("", 1.0, 0.0),
)
"""Units of times with factor and offset from hours since 2001; "" for dates in letters."""
STORAGE = ("f8", "f4", ">f4", "i2", "i4", "u1", "f2")


def content(gaps: bool) -> dict[str, Any]:
    """Return fields (time, y, x), multiples of 1/4 so that packing and float32 hold them exactly, and some missing ones."""
    generator = np.random.default_rng(11)
    shape = (TIMES, HEIGHT, WIDTH)
    fields = {"t": 280.0 + generator.integers(-60, 60, shape) / 4, "u": generator.integers(-100, 100, shape) / 4}
    if gaps:
        fields["u"][generator.random(shape) < 0.1] = np.nan
    return fields


def reference(gaps: bool) -> DatasetStatistics:
    fields = np.stack([content(gaps)[name] for name in NAMES], 1)
    grid: dict[str, Any] = {"x": LONGITUDE, "y": LATITUDE, "x_units": "degrees_east", "y_units": "degrees_north"}
    units = [UNITS[name] for name in NAMES]
    return DatasetStatistics.from_samples(fields, NAMES, units, NAMES, axes=("lat", "lon"), missing="mean", **grid)


@dataclass(frozen=True)
class Form:
    """How a file says what it says."""

    format: str
    axes: tuple[str, str]
    order: tuple[int, ...]
    south_first: bool
    roll: int
    storage: str
    unit: int
    clock: int
    calendar: str
    chunked: bool
    packed_marker: str
    group: str
    unlimited: bool
    shifted: bool
    gaps: bool
    more: bool

    @property
    def error(self) -> float:
        """How far values may be off, in their units: rounding of the type, and of the conversion."""
        packing = {"f8": 1e-9, "i2": 1e-3, "i4": 1e-6, "u1": 0.15, "f2": 0.3}
        return packing.get(self.storage, 1e-3)

    @property
    def exact(self) -> bool:
        return self.unit < 1 and self.storage in ("f8", "f4", ">f4", "i2", "i4")


def draw(chance: random.Random, gaps: bool) -> Form:
    form = chance.choice(FORMATS)
    zarr = form.startswith("zarr")
    classic, modern = form.startswith("NETCDF3") or form.endswith("CLASSIC"), form in ("NETCDF4", "zarr", "zarr2")
    storage = [kind for kind in STORAGE if not (classic and kind in ("u1", "f2", ">f4")) and not (not zarr and kind == "f2")]
    chosen = chance.choice(storage)
    return Form(
        format=form,
        axes=chance.choice(AXES),
        order=tuple(chance.sample(range(3), 3)),
        south_first=chance.random() < 0.5,
        roll=chance.choice([0, 4, 3]),
        storage=chosen,
        unit=0 if chosen == "f2" else chance.randrange(5),
        clock=chance.randrange(len(CLOCKS)),
        calendar=chance.choice(CALENDARS),
        chunked=chance.random() < 0.5,
        packed_marker=chance.choice(["none", "_FillValue", "missing_value", "both"]),
        group=chance.choice(["", "", "forecast/surface"]) if modern and not zarr else "",
        unlimited=chance.random() < 0.3,
        shifted=chance.random() < 0.5,
        gaps=gaps,
        more=chance.random() < 0.5,
    )


def arranged(form: Form, values: Any) -> Any:
    """Turn fields (time, y, x) as the form has them."""
    values = values if form.south_first else values[:, ::-1]
    return np.roll(values, form.roll, axis=2).transpose(form.order)


def packed(form: Form, name: str, values: Any) -> tuple[Any, dict[str, Any]]:
    """Return stored values and the attributes of packing."""
    unit, factor, offset = SPELLINGS[name][form.unit]
    values = values * factor + offset
    attributes: dict[str, Any] = {"units": unit}
    if form.storage in ("i2", "i4", "u1"):
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        step = 0.25 if form.unit == 0 else (high - low) / {"u1": 250, "i2": 30000, "i4": 1e9}[form.storage]
        attributes |= {"scale_factor": step, "add_offset": low}
        values = np.rint((values - low) / step)
    mark = marker(form)
    if mark is not None:
        values = np.where(np.isnan(values), mark, values)
    return values.astype(form.storage), attributes


def write(path: Path, form: Form, rows: list[int]) -> Path:
    """Write some of the times."""
    return write_zarr(path, form, rows) if form.format.startswith("zarr") else write_netcdf(path, form, rows)


def coordinates(form: Form, rows: list[int]) -> dict[str, tuple[tuple[str, ...], Any, dict[str, Any]]]:
    y, x = form.axes
    units, factor, offset = CLOCKS[form.clock]
    longitude = np.roll(LONGITUDE, form.roll)
    if form.shifted:
        longitude = np.where(longitude >= 180, longitude - 360, longitude)
    names = ("latitude", "longitude") if form.axes in (("y", "x"), ("nj", "ni")) else ("", "")
    south, east = ({"standard_name": name} if name else {} for name in names)
    times: tuple[Any, dict[str, Any]] = (HOURS[rows] * factor + offset, {"units": units, "calendar": form.calendar})
    if not units:
        times = np.array([f"2001-01-{1 + int(hour) // 24:02d}T{int(hour) % 24:02d}:00Z" for hour in HOURS[rows]], "S17"), {}
    return {
        "time": (("time",), *times),
        y: ((y,), LATITUDE if form.south_first else LATITUDE[::-1], {"units": "degrees_north"} | south),
        x: ((x,), longitude, {"units": "degrees_east"} | east),
    }  # fmt: skip


def write_netcdf(path: Path, form: Form, rows: list[int]) -> Path:
    names = ("time", *form.axes)
    with netCDF4.Dataset(path, "w", format=form.format) as root:
        file = root.createGroup(form.group) if form.group else root
        for name, size in zip(names, (len(rows), HEIGHT, WIDTH), strict=True):
            root.createDimension(name, None if form.unlimited and name == "time" and form.order[0] == 0 else size)
        for name, (axes, values, attributes) in coordinates(form, rows).items():
            if values.dtype.kind == "S":
                root.createDimension("letters_of_time", 17)
                values, axes = netCDF4.stringtochar(values), (*axes, "letters_of_time")
            variable = root.createVariable(name, values.dtype if values.dtype.kind == "S" else "f8", axes)
            variable.setncatts(attributes)
            variable[:] = values
        if form.more:
            write_more(root)
        for name in NAMES:
            values, attributes = packed(form, name, arranged(form, content(form.gaps)[name][rows]))
            axes = tuple(names[axis] for axis in form.order)
            options: dict[str, Any] = (
                {"zlib": True, "complevel": 1, "shuffle": True} if form.chunked and "3" not in form.format else {}
            )
            mark = marker(form)
            fill = mark if form.packed_marker in ("_FillValue", "both") else None
            kind = np.dtype(form.storage)
            variable = file.createVariable(
                name,
                kind.newbyteorder("="),
                axes,
                fill_value=fill,
                endian="big" if form.storage == ">f4" else "native",
                **options,
            )
            variable.set_auto_maskandscale(False)
            if mark is not None and form.packed_marker != "_FillValue":  # as a double it is not exact in a float
                attributes["missing_value"] = np.float64(mark) if kind.kind == "f" else np.asarray(mark).astype(kind)
            variable.setncatts(attributes)
            variable[:] = values
    return path


def marker(form: Form) -> Any:
    """Return the mark of missing values; None where these are NaN."""
    integers = {"i2": -32768, "i4": -(2**31), "u1": 255}
    if form.storage in integers:
        return integers[form.storage]
    return None if form.packed_marker == "none" or form.storage == "f2" else -9999.9


def write_more(file: netCDF4.Dataset) -> None:
    """Write what files have beside: a map projection, bounds of times, names."""
    file.createVariable("crs", "i4", ()).grid_mapping_name = "latitude_longitude"
    file.createDimension("bnds", 2)
    file["time"].bounds = "time_bnds"
    file.createVariable("time_bnds", "f8", ("time", "bnds"))[:] = np.zeros((len(file.dimensions["time"]), 2))
    file.createDimension("letters", 5)
    file.createVariable("name", "S1", ("letters",))[:] = np.array(list("model"), "S1")


def write_zarr(path: Path, form: Form, rows: list[int]) -> Path:
    names = ("time", *form.axes)
    variables = {}
    for name in NAMES:
        values, attributes = packed(form, name, arranged(form, content(form.gaps)[name][rows]))
        if marker(form) is not None:
            attributes["missing_value"] = float(marker(form)) if form.storage[-2] == "f" else marker(form)
        variables[name] = (tuple(names[axis] for axis in form.order), values, attributes)
    path = path.with_suffix(".zarr")
    version: Any = 2 if form.format == "zarr2" else 3
    xarray.Dataset(variables, coordinates(form, rows)).to_zarr(path, consolidated=False, zarr_format=version)
    return path


def files(folder: Path, chance: random.Random) -> tuple[list[Path], list[Form]]:
    """Write the content into one to three files, each in a form of its own, its times in any order."""
    rows = list(range(TIMES))
    chance.shuffle(rows)
    cuts = sorted(chance.sample(range(1, TIMES), chance.randrange(3)))
    paths, forms, gaps = [], [], chance.random() < 0.3
    for number, (start, stop) in enumerate(zip([0, *cuts], [*cuts, TIMES], strict=True)):
        forms.append(draw(chance, gaps))
        part = rows[start:stop] if chance.random() < 0.5 else sorted(rows[start:stop])
        paths.append(write(folder / f"{number}.nc", forms[-1], part))
    return paths, forms


def judge(paths: list[Path], forms: list[Form]) -> str:
    """Return what is wrong with what is read; "" where all is right."""
    statistics, expected = reference(forms[0].gaps), content(forms[0].gaps)
    conditions = Conditions(paths, NAMES, statistics, missing="mean")
    if conditions.cases.indices != list(range(TIMES)):
        return f"cases are {conditions.cases.indices}"
    made = conditions(range(TIMES))
    error, exact = max(form.error for form in forms), all(form.exact for form in forms)
    for row, name in enumerate(NAMES):
        true = (expected[name] - statistics.mean[row]) / statistics.standard_deviation[row]
        off = float(np.abs(made[:, row] - np.where(np.isnan(true), 0.0, true)).max())
        if off > (0.0 if exact else error / statistics.standard_deviation[row]):
            return f"{name} is off by {off:.3g} standard deviations"
    with FileSamples(paths, NAMES, units=lambda names: [UNITS[name] for name in names]) as samples:
        measured = samples.statistics(missing="mean")
    for name in ("mean", "standard_deviation", "spectrum"):
        if not np.allclose(
            getattr(measured, name), getattr(statistics, name), rtol=1e-9 if exact else 5e-3, atol=1e-9 if exact else error
        ):
            return f"{name} is {getattr(measured, name)}, not {getattr(statistics, name)}"
    return ""


def campaign(folder: Path, count: int, seed: int) -> Tally:
    """Write and read `count` sets of files."""
    chance, tally = random.Random(seed), Tally()
    for number in range(count):
        home = folder / str(number)
        home.mkdir()
        paths, forms = files(home, chance)
        try:
            wrong = judge(paths, forms)
        except Exception as error:
            wrong = f"{type(error).__name__}: {error}"
        if wrong:
            tally.troubles.append(f"set {number}: {wrong}; {forms}")
        tally.outcomes["bit for bit" if all(form.exact for form in forms) else "within their packing"] += not wrong
        shutil.rmtree(home)
    return tally
