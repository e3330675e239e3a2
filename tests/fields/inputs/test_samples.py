"""Statistics of samples that lie in files."""

import netCDF4
import numpy as np
import pytest

from parampi.errors import DataError
from parampi.fields import DatasetStatistics, FileSamples

GENERATOR = np.random.default_rng(0)
A, B = GENERATOR.standard_normal((2, 5, 3, 8, 6))


def write(path, rows, variables=("u", "v"), missing=False):
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("run", len(rows)), ("time", 3), ("y", 8), ("x", 6)):
            file.createDimension(name, size)
        file.createVariable("x", "f8", ("x",))[:] = np.arange(6) * 0.5
        file["x"].units = "m"
        for name in variables:
            variable = file.createVariable(name, "f8", ("run", "time", "y", "x"), fill_value=-999.0)
            variable.units, variable.long_name = "m s-1", f"wind {name}"
            variable[:] = (A if name == "u" else 2 * B)[rows]
        if missing:
            file[variables[0]][0, 1, 2, 3] = np.ma.masked
    return path


def test_files_give_the_statistics_of_their_samples(tmp_path):
    paths = [write(tmp_path / "a.nc", [0, 1]), write(tmp_path / "b.nc", [2, 3, 4])]
    with FileSamples(paths) as samples:
        assert samples.shape == (15, 2, 8, 6)
        measured = samples.statistics()
    fields = np.stack([A, 2 * B], axis=2).reshape(15, 2, 8, 6)
    expected = DatasetStatistics.from_samples(
        fields, ["u", "v"], ["m s-1"] * 2, ["wind u", "wind v"], x=np.arange(6) * 0.5, y=np.arange(8.0), x_units="m"
    )
    for name, value in vars(expected).items():
        np.testing.assert_array_equal(getattr(measured, name), value, err_msg=name)


def test_channels_are_chosen_by_name_and_in_that_order(tmp_path):
    with FileSamples([write(tmp_path / "a.nc", [0, 1])], ["v", "u"]) as samples:
        assert np.array_equal(samples[4:5][0, 0], 2 * B[1, 1]) and samples.statistics().names == ("v", "u")


@pytest.mark.parametrize(
    ("make", "names", "words"),
    [
        (lambda folder: write(folder / "a.nc", [0]), ["w"], "has no variable w; it has u, v, x"),
        (lambda folder: write(folder / "a.nc", [0]), ["x"], r"x has shape \(6,\); expected samples \(..., y, x\)"),
        (lambda folder: write(folder / "a.nc", [0], ()), [], r"has no variable of samples \(..., y, x\); it has x; --field"),
        (lambda folder: folder / "gone.nc", [], "does not exist"),
        (
            lambda folder: write(folder / "a.nc", [0], missing=True),
            [],
            "sample 1 of the fields holds NaN, Inf or missing values",
        ),
    ],
)
def test_mistakes(tmp_path, make, names, words):
    with pytest.raises(DataError, match=words), FileSamples([make(tmp_path)], names) as samples:
        samples.statistics()


def test_grids_must_agree(tmp_path):
    first = write(tmp_path / "a.nc", [0])
    with netCDF4.Dataset(tmp_path / "b.nc", "w") as file:
        for name, size in (("time", 2), ("y", 4), ("x", 6)):
            file.createDimension(name, size)
        for name in ("u", "v"):
            file.createVariable(name, "f8", ("time", "y", "x"))[:] = 1.0
            file[name].units = "m s-1"
    with pytest.raises(DataError, match="fields of 4 x 6 points"), FileSamples([first, tmp_path / "b.nc"]):
        pass


def test_samples_of_an_ensemble_are_the_fields_of_its_members(tmp_path):
    """Not its counts of members, starts and lead times, nor means over members."""
    axes, sizes = ("member", "forecast_reference_time", "lead_time"), (2, 3, 4)
    fields = np.random.default_rng(0).normal(size=(*sizes, 8, 8))
    with netCDF4.Dataset(tmp_path / "e.nc", "w") as file:
        for name, size in zip((*axes, "y", "x"), fields.shape, strict=True):
            file.createDimension(name, size)
        for name, dimensions in {"realization": axes[:1], "rounds": axes, "complete": axes}.items():
            file.createVariable(name, "i4", dimensions)[:] = 1
        file.createVariable("u_mean", "f8", (*axes[1:], "y", "x"))[:] = fields.mean(0)
        file.createVariable("u", "f8", (*axes, "y", "x"))[:] = fields
    with FileSamples([tmp_path / "e.nc"]) as samples:
        assert samples.names == ("u",) and samples.shape == (24, 1, 8, 8)
        np.testing.assert_allclose(samples[0:24][:, 0], fields.reshape(24, 8, 8), rtol=1e-6)
