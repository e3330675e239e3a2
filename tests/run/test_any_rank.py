"""Fields of other than two axes: series, cells, the faces of HEALPix, volumes."""

import math

import netCDF4
import numpy as np
import pytest
import torch

from parampi.errors import ConfigError
from parampi.fields import DatasetStatistics
from parampi.run.config import load
from parampi.run.inputs import read_inputs
from parampi.run.job import run
from parampi.run.rerun import rerun
from tests.small import write_project

NET = '''
import torch


class Cells(torch.nn.Module):
    """Fields whose cells are Gaussian about their number in the first axis after the channels."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(2))

    def forward(self, x, sigma, condition=None):
        level = sigma.view(-1, *[1] * (x.ndim - 1))
        mean = torch.arange(x.shape[2]).to(x).view(1, 1, -1, *[1] * (x.ndim - 3)) / 10
        if condition is not None:
            assert condition.shape[2:] == x.shape[2:]
            mean = condition
        return (x * 0.01 + mean * level**2) / (0.01 + level**2) + self.weight.sum()
'''
SHAPES = {"series": [1, 12], "faces": [1, 12, 2, 2], "volume": [2, 3, 4, 2]}


def project(folder, shape, **changes):
    (folder / "cells.py").write_text(NET)
    path = write_project(
        folder, model__network="cells.py:Cells", model__shape=shape, model__predicts="denoiser", model__sigma_data=0.5,
        output__figure="report.png", **changes,
    )  # fmt: skip
    grid = math.prod(shape[1:-1]), shape[-1]
    names = ["a", "b"][: shape[0]]
    statistics = DatasetStatistics.of_moments(names, [5.0] * len(names), [2.0] * len(names), grid)
    statistics.save(folder / "statistics.nc")
    return path


@pytest.mark.parametrize("solver", ["picard", "spectral"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_they_are_drawn_and_written(tmp_path, shape, solver, capsys):
    run(load(project(tmp_path, shape, sampling__solver={"name": solver})))
    with netCDF4.Dataset(tmp_path / "out" / "ensemble.nc") as file:
        fields = np.asarray(file["a"][:])
        assert file["a"].dimensions == ("member", *(("x",) if len(shape) == 2 else ("z", "y", "x")))
    assert fields.shape == (4, *shape[1:])
    mean = np.arange(shape[1]).reshape(-1, *[1] * (len(shape) - 2)) / 10
    assert np.abs((fields.mean(0) - 5) / 2 - mean).max() < 0.3
    assert "no figure: the statistics hold no sample to show beside the members" in capsys.readouterr().out
    assert rerun(tmp_path / "out" / "ensemble.nc", 1).same


@pytest.mark.parametrize("sizes", [{"y": 6, "x": 2}, {"face": 3, "y": 2, "x": 2}], ids=["folded", "named"])
def test_their_conditions_have_their_axes(tmp_path, sizes):
    with netCDF4.Dataset(tmp_path / "c.nc", "w") as file:
        for name, size in {"time": 2, **sizes}.items():
            file.createDimension(name, size)
        file.createVariable("a", "f8", ("time", *sizes))[:] = 7.0
    condition = {"condition__files": "c.nc", "condition__variables": ["a"]}
    if len(sizes) > 2:
        condition["data__field_axes"] = list(sizes)
    run(load(project(tmp_path, [1, 3, 2, 2], **condition, sampling__members=2)))
    with netCDF4.Dataset(tmp_path / "out" / "ensemble.nc") as file:
        assert np.abs(np.asarray(file["a"][:]) - 7.0).max() < 1.0


def test_another_grid_is_refused(tmp_path):
    path = project(tmp_path, [1, 3, 2, 2])
    words = r"model\.shape = \[1, 3, 4, 2\] but the fields of data\.statistics = .* are \[1, 6, 2\] \(channels, y, x\)"
    with pytest.raises(ConfigError, match=words):
        read_inputs(load(path, ["model.shape=[1,3,4,2]"]))


def test_the_network_has_its_own_axes(tmp_path):
    from parampi.run.any_rank import as_drawn, folded

    assert folded([1, 12]) == (1, 1, 12) and folded([2, 3, 4, 5]) == (2, 12, 5)
    assert as_drawn(torch.zeros(7, 3, 1, 12), [1, 12]).shape == (7, 3, 12)
    assert as_drawn(torch.zeros(7, 3, 4, 4), [1, 12]).shape == (7, 3, 4, 4)
