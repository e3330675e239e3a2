"""Ensembles as xarray data sets: files, and what `sample` returns."""

import numpy as np
import pytest
import torch
import xarray

import parampi
from parampi.errors import ConfigError, DataError
from parampi.fields import DatasetStatistics
from tests.verify.score_cases import draws, write_ensemble


def test_a_file_says_what_it_is_and_is_read_when_needed(tmp_path):
    members, _ = draws()
    opened = parampi.open(write_ensemble(tmp_path / "e.nc", members))
    assert repr(opened).splitlines() == [
        f"{tmp_path / 'e.nc'}: member 6, forecast_reference_time 3, lead_time 2; all fields finished",
        "  t 8 x 12",
    ]
    assert "<code>t 8 x 12</code>" in opened._repr_html_()
    with opened.to_xarray() as dataset:
        assert not dataset["t"].variable._in_memory
        np.testing.assert_array_equal(dataset["t"].sel(member=4).values, members[4])
        assert list(dataset.data_vars) == ["t"] and "complete" in dataset.coords
        assert dataset["valid_time"].values[0, 0] == np.datetime64("2001-01-01T06")


def test_another_file_is_refused(tmp_path):
    xarray.Dataset({"t": ("x", [1.0])}).to_netcdf(tmp_path / "x.nc")
    with pytest.raises(DataError, match=r"x\.nc is not an ensemble of members: it has no realization, complete; it has t"):
        parampi.open(tmp_path / "x.nc")


def drawn(shape, members=(3, 5), keep=None):
    def denoiser(x, sigma):
        return x / (1 + sigma.view(-1, *[1] * len(shape)) ** 2)

    return parampi.sample(denoiser, shape, members, parampi.sigmas.karras(6), keep=keep)


def test_what_was_drawn_becomes_a_data_set():
    ensemble = drawn((2, 4, 6))
    dataset = ensemble.to_xarray()
    assert dataset["field"].dims == ("member", "channel", "y", "x") and dataset["member"].values.tolist() == [3, 5]
    np.testing.assert_array_equal(dataset["field"].values, ensemble.fields.numpy())
    assert dataset["rounds"].values.tolist() == [one.rounds for one in ensemble.report.members]
    assert drawn((7,)).to_xarray()["field"].dims == ("member", "axis_0")
    assert repr(ensemble).startswith("Ensemble(fields 2 x 2 x 4 x 6; 2 members, ") and len(repr(ensemble)) < 100
    assert "Ensemble(fields" in ensemble._repr_html_()


def test_with_statistics_there_are_variables_in_physical_units(tmp_path):
    samples = np.random.default_rng(0).normal(280, 5, (9, 2, 4, 6))
    names = ["t@500", "t@850"]
    statistics = DatasetStatistics.from_samples(samples, names, ["K"] * 2, names, y=np.arange(4.0), x=np.arange(6.0))
    statistics.save(tmp_path / "s.nc")
    ensemble = drawn((2, 4, 6))
    for one in (statistics, tmp_path / "s.nc"):
        dataset = ensemble.to_xarray(one)
        assert dataset["t"].dims == ("member", "level_of_t", "y", "x") and dataset["t"].attrs["units"] == "K"
        np.testing.assert_array_equal(dataset["t"].values, statistics.restore(ensemble.fields.numpy()))
    with pytest.raises(ConfigError, match=r"have fields of shape \(1, 4, 6\), the statistics are of \(2, 4, 6\); give those"):
        drawn((1, 4, 6)).to_xarray(statistics)


def test_a_roll_out_has_lead_times_after_members():
    def denoiser(x, sigma, condition):
        return condition + (x - condition) / (1 + sigma.view(-1, 1, 1, 1) ** 2)

    sigmas = parampi.sigmas.karras(6)
    ensemble = parampi.rollout(denoiser, torch.zeros(2, 1, 3, 4), (1, 3, 4), 3, sigmas=sigmas, members=2)
    dataset = ensemble.to_xarray()
    assert dataset["field"].dims[:2] == ("member", "lead_time") and dataset["rounds"].dims == ("member", "lead_time")
    np.testing.assert_array_equal(dataset["field"].values[1, 2], ensemble.fields[2, 1].numpy())


def test_fields_that_went_elsewhere_are_not_here():
    ensemble = drawn((1, 3, 4), keep=lambda *_: None)
    with pytest.raises(
        ConfigError, match="this ensemble holds no fields: they are on rank 0, or went to `keep`; open the file"
    ):
        ensemble.to_xarray()
