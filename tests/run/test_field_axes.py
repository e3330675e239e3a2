"""Fields that are no maps, from the files of data to those of ensembles: lines, cells, faces of a sphere, volumes."""

import numpy as np
import pytest
import torch
import xarray
import yaml

import parampi
from parampi.__main__ import main
from parampi.errors import DataError
from parampi.fields import DatasetStatistics, FieldDimensions, FileSamples, read_forecasts
from parampi.run.any_rank import described

NETWORK = """
import torch

class Network(torch.nn.Module):
    def forward(self, x, sigma, condition=None):
        gain = (1 / (1 + sigma**2)).reshape(-1, *[1] * (x.ndim - 1))
        return gain * x if condition is None else gain * x + 0.5 * (1 - gain) * condition
"""
KINDS = {
    "line": (("x",), (32,), ["--field-axes", "x"]),
    "cells": (("cell",), (24,), []),
    "faces": (("face", "y", "x"), (12, 4, 4), ["--field-axes", "face,y,x"]),
    "volume": (("z", "y", "x"), (3, 6, 8), ["--field-axes", "z,y,x"]),
}
DEGREES = {"latitude": "degrees_north", "longitude": "degrees_east"}


def data(path, kind):
    """A file of samples at dated times."""
    axes, sizes, _ = KINDS[kind]
    generator = np.random.default_rng(3)
    values = 280 + 3 * generator.standard_normal((6, *sizes))
    coordinates = {"time": ("time", 6.0 * np.arange(6), {"units": "hours since 2000-01-01"})}
    if kind in ("cells", "faces"):
        for name, top in (("latitude", 90), ("longitude", 180)):
            places = generator.uniform(-top, top, sizes)
            coordinates[name] = (axes, places, {"units": DEGREES[name], "standard_name": name})
    else:
        coordinates["x"] = ("x", 2.0 * np.arange(sizes[-1]), {"units": "km"})
    if kind == "volume":
        coordinates["z"] = ("z", [10.0, 100.0, 900.0], {"units": "m", "positive": "up", "standard_name": "height"})
    field = (("time", *axes), values, {"units": "K", "long_name": "temperature"})
    xarray.Dataset({"t": field}, coordinates).to_netcdf(path)
    return path


def project(folder, kind, **sections):
    _, sizes, options = KINDS[kind]
    data(folder / "data.nc", kind)
    assert main(["stats", str(folder / "data.nc"), "--output", str(folder / "statistics.nc"), *options]) == 0
    (folder / "model.py").write_text(NETWORK)
    grid = {"schedule": "karras", "steps": 6, "sigma_min": 0.05, "sigma_max": 10.0}
    sampling = {"members": 2, "sigmas": grid, "sampler": {"name": "heun"}, "solver": {"name": "spectral"}, "tolerance": 1e-4}
    config = {
        "model": {"network": "model.py:Network", "predicts": "denoiser", "shape": [1, *sizes]},
        "data": {"statistics": "statistics.nc"},
        "sampling": sampling,
        "output": {"directory": "output", "summary": ["mean", "quantiles"]},
        **sections,
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    return folder / "run.yaml"


@pytest.mark.parametrize("kind", KINDS)
def test_files_name_the_axes(tmp_path, capsys, kind):
    """Axes and coordinates are those of the data in every file that is made of them, and values are in their places."""
    axes, sizes, _ = KINDS[kind]
    assert main(["run", str(project(tmp_path, kind))]) == 0
    output = tmp_path / "output" / "ensemble.nc"
    assert main(["check", str(output)]) == 0
    assert main(["rerun", str(output), "--member", "1"]) == 0
    assert main(["verify", str(output), "--statistics", str(tmp_path / "statistics.nc")]) == 0
    assert main(["merge", str(output), "--output", str(tmp_path / "merged.nc")]) == 0
    assert (tmp_path / "output" / "report.png").stat().st_size > 20000
    statistics = DatasetStatistics.from_file(tmp_path / "statistics.nc")
    drawn = parampi.sample(
        lambda x, sigma: x / (1 + sigma**2).reshape(-1, *[1] * (x.ndim - 1)),
        (1, *sizes), 2, parampi.sigmas.karras(6, 0.05, 10.0), parampi.samplers.Heun(), solver=parampi.solvers.Serial(),
    )  # fmt: skip
    expected = drawn.to_xarray(statistics=statistics)
    with xarray.open_dataset(tmp_path / "data.nc") as source, xarray.open_dataset(tmp_path / "merged.nc") as merged:
        for file in (expected, merged, xarray.open_dataset(output)):
            assert file["t"].dims == ("member", *axes) and file["t"].shape == (2, *sizes)
            for name, coordinate in source["t"].isel(time=0, drop=True).coords.items():
                np.testing.assert_allclose(file[name], coordinate)
                assert file[name].dims == coordinate.dims and file[name].attrs["units"] == coordinate.attrs["units"]
        np.testing.assert_allclose(merged["t"], expected["t"], atol=3 * 1e-3)
        np.testing.assert_allclose(merged["t_mean"], expected["t"].mean("member"), atol=3 * 1e-3)
        np.testing.assert_allclose(merged["t_quantiles"][1], expected["t"].median("member"), atol=3 * 1e-3)


@pytest.mark.parametrize("kind", ["cells", "volume"])
def test_conditions_and_scores_of_such_fields(tmp_path, capsys, kind):
    """A roll-out whose states are read from a file with these axes, and scores against another."""
    axes, sizes, _ = KINDS[kind]
    condition = {"files": "data.nc", "variables": ["t"], "select": [0, 2], "lead_times": 2}
    config = project(tmp_path, kind, condition=condition)
    order = {"cells": "time_first", "volume": "member_first"}[kind]
    assert main(["run", str(config), f"output.order={order}"]) == 0
    output = tmp_path / "output" / "ensemble.nc"
    assert main(["check", str(output)]) == 0
    assert main(["rerun", str(output), "--member", "0", "--case", "2"]) == 0
    assert main(["score", str(output), "--truth", str(tmp_path / "data.nc")]) == 0
    assert "12 " in capsys.readouterr().out and read_forecasts(output).dimensions.names == axes
    assert main(["merge", str(output), "--split", "member", "--output", str(tmp_path / "split")]) == 0
    with xarray.open_dataset(next((tmp_path / "split").iterdir())) as one:
        assert one["t"].dims == ("time", *axes) and one["t"].shape == (2, *sizes)


def test_other_points_are_refused(tmp_path):
    """Cells in another order, as a condition of cells."""
    project(tmp_path, "cells")
    with xarray.open_dataset(tmp_path / "data.nc", decode_times=False) as file:
        file.isel(cell=slice(None, None, -1)).to_netcdf(tmp_path / "turned.nc")
    own = DatasetStatistics.from_file(tmp_path / "statistics.nc").dimensions
    with pytest.raises(DataError, match=r"its latitude differs by up to .* give fields of the same points, in the same order"):
        FileSamples([tmp_path / "turned.nc"], ["t"], dimensions=own)
    with pytest.raises(DataError, match=r"t has the axes \(time, cell\), and not face of field_axes = face; name those that"):
        FileSamples([tmp_path / "data.nc"], ["t"], field_axes=["face"])


def test_levels_of_cells(tmp_path):
    """Channels such as t@500 of variables (time, level, cell)."""
    path = data(tmp_path / "data.nc", "cells")
    with xarray.open_dataset(path, decode_times=False) as file:
        two = xarray.concat([file["t"], file["t"] + 10], "level").assign_coords(level=("level", [500.0, 850.0]))
        two["level"].attrs["units"] = "hPa"
        two.transpose("time", "level", "cell").to_dataset(name="t").to_netcdf(tmp_path / "levels.nc")
    with FileSamples([tmp_path / "levels.nc"], ["t@*"]) as samples:
        assert samples.names == ("t@500", "t@850") and samples.shape == (6, 2, 1, 24)
        assert np.diff(samples.statistics().mean) == pytest.approx(10)


def test_statistics_without_axes_take_those_of_the_configuration(tmp_path):
    """Files of means and deviations alone, and of earlier versions, have two axes."""
    bare = DatasetStatistics.of_moments(["u"], [0.0], [1.0], (12 * 4, 4))
    named = described(bare, [1, 12, 4, 4], ["face", "y", "x"], tmp_path)
    assert named.dimensions == FieldDimensions(("face", "y", "x"), (12, 4, 4)) and not named.geometry.has_modes
    assert described(bare, [1, 12, 4, 4], [], tmp_path).axis_names == ("z", "y", "x")
    named.save(tmp_path / "named.nc")
    again = DatasetStatistics.from_file(tmp_path / "named.nc")
    assert again.dimensions == named.dimensions and again.geometry == named.geometry
    fields = np.random.default_rng(0).standard_normal((2, 1, 12, 4, 4))
    np.testing.assert_array_equal(again.normalise(fields), fields)
    for names, words in (
        (["face", "cell"], "name each axis once"),
        (["face", "member", "x"], "give each axis a name of its own"),
        (["y", "y", "x"], "give each axis a name of its own"),
    ):
        with pytest.raises(DataError, match=words):
            described(bare, [1, 12, 4, 4], names, tmp_path)


def test_spectra_along_one_to_three_axes():
    """Shells are those of Fourier modes of the same fields, and sums are the mean squares."""
    from parampi.basis import make_basis
    from parampi.fields import radial_spectrum, wavenumbers

    for sizes in ((9,), (6, 8), (3, 5, 4)):
        fields = np.random.default_rng(1).standard_normal((2, *sizes))
        spectra, basis = radial_spectrum(fields, len(sizes)), make_basis("fourier", (1, *sizes))
        power = basis.shell_sums(basis.forward(torch.from_numpy(fields[:, None])).square()) / np.prod(sizes)
        np.testing.assert_allclose(spectra, power, rtol=1e-11, atol=1e-14)
        assert spectra.shape[-1] == len(wavenumbers(*sizes))
        np.testing.assert_allclose(spectra.sum(-1), np.square(fields).reshape(2, -1).mean(1))


def test_spectral_knows_cells_by_patterns_of_their_samples(tmp_path):
    """Empirical orthogonal functions, kept in a file of statistics."""
    project(tmp_path, "cells")
    own = DatasetStatistics.from_file(tmp_path / "statistics.nc")
    with xarray.open_dataset(tmp_path / "data.nc") as file:
        fields = torch.from_numpy(own.normalise(file["t"].values[:, None]))
    parampi.Statistics.from_samples(fields, basis="eof", samples=fields, rank=3).save(tmp_path / "patterns.nc")
    assert main(["run", str(tmp_path / "run.yaml"), f"sampling.solver.statistics={tmp_path / 'patterns.nc'}"]) == 0
