"""A model's card: variables are matched with the network's channels by name, wherever they stand."""

import netCDF4
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from parampi.__main__ import main
from parampi.commands.main import USER_ERROR
from parampi.errors import ConfigError, DataError
from parampi.fields import DatasetStatistics
from parampi.run import card
from parampi.run.card import Card
from parampi.run.config import load
from parampi.run.inputs import read_inputs
from parampi.run.job import run
from parampi.run.rerun import rerun
from tests.small import write_project

NET = '''
import torch


class Levels(torch.nn.Module):
    """Draws channel k around (k + 1) / 10, of what is given minus twice the next of it."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(2))

    def forward(self, x, noise, condition=None):
        steps = torch.arange(1, x.shape[1] + 1, dtype=x.dtype)[:, None, None] / 10
        given = 0.0 if condition is None else condition[:, :1] - 2 * condition[:, 1:2]
        return steps + given + self.weight.sum() + 0 * x
'''


@pytest.fixture
def project(tmp_path):
    def make(names, told=None, **changes):
        config = write_project(
            tmp_path,
            model__network="levels.py:Levels",
            model__shape=[2, 8, 8],
            model__predicts="data",
            model__clock={"name": "linear"},
            model__probe=False,
            **changes,
        )
        (tmp_path / "levels.py").write_text(NET)
        means = {"u": 100.0, "T": 280.0, "q": 5.0}
        rng = np.random.default_rng(0)
        fields = np.stack([rng.normal(means[name], 1.0, (20, 8, 8)) for name in names], 1)
        axis = np.arange(8.0)
        DatasetStatistics.from_samples(fields, names, ["1"] * len(names), names, x=axis, y=axis).save(
            tmp_path / "statistics.nc"
        )
        save_file({"weight": torch.zeros(2)}, tmp_path / "weights.safetensors")
        if told:
            card.write(tmp_path / "weights.safetensors", told)
        return config

    return make


def drawn(folder):
    with netCDF4.Dataset(folder / "out" / "ensemble.nc") as file:
        return {name: np.ma.filled(file[name][:], np.nan) for name in ("T", "u")}


@pytest.mark.parametrize("names", [("T", "u"), ("u", "T"), ("u", "q", "T")])
def test_channels_are_matched_by_name(tmp_path, project, names):
    """The network draws T first: 0.1 standard deviations above its mean."""
    run(load(project(names, Card(("T", "u")))))
    found, statistics = drawn(tmp_path), DatasetStatistics.from_file(tmp_path / "statistics.nc").select(("T", "u"))
    for row, name in enumerate(("T", "u")):
        expected = statistics.mean[row] + 0.1 * (row + 1) * statistics.standard_deviation[row]
        assert np.allclose(found[name], expected, rtol=1e-4), name
    assert rerun(tmp_path / "out" / "ensemble.nc", 1).same


def write_given(path, names):
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", 2), ("y", 8), ("x", 8)):
            file.createDimension(name, size)
        for name in names:
            file.createVariable(name, "f8", ("time", "y", "x"))[:] = {"u": 101.0, "T": 283.0}[name]


@pytest.mark.parametrize("names", [["T", "u"], ["u", "T"]])
def test_conditions_are_matched_by_name(tmp_path, project, names):
    write_given(tmp_path / "c.nc", ["u", "T"])
    told = Card(("T", "u"), ("T", "u"))
    inputs = read_inputs(load(project(("u", "T"), told, condition__files="c.nc", condition__variables=names)))
    given = inputs.conditions([0])[0, :, 0, 0]
    statistics = DatasetStatistics.from_file(tmp_path / "statistics.nc").select(("T", "u"))
    assert np.allclose(given, (np.array([283.0, 101.0]) - statistics.mean) / statistics.standard_deviation)


@pytest.mark.parametrize(
    ("told", "changes", "words"),
    [
        (
            Card(("T", "v")),
            {},
            r"data.statistics = .*statistics\.nc has no v: it has u, T, and the network draws T, v \(the",
        ),
        (Card(predicts="edm"), {}, r"model.predicts = data, but the card in the network's weights says edm; put it right"),
        (
            Card(sigma_data=0.5),
            {"model__sigma_data": 1.0},
            r"model.sigma_data = 1.0, but the card in the network's weights says 0.5; put it right",
        ),
        (Card(condition=("u",)), {}, r"the network is given u \(the card in its weights\), but condition names nothing"),
        (
            Card(condition=("u", "q")),
            {"condition__files": "c.nc", "condition__variables": ["u"]},
            r"the network is given u, q \(the card in its weights\), but condition names u; name the same variables, in any",
        ),
        (Card(("u",)), {}, r"model.shape = \[2, 8, 8\] but the fields of data.statistics = .* are \[1, 8, 8\]"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, project, told, changes, words):
    write_given(tmp_path / "c.nc", ["u", "T"])
    with pytest.raises(ConfigError, match=words):
        run(load(project(("u", "T"), told, **changes)))


def test_a_damaged_card(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "w.safetensors", {"channels": "[1"})
    with pytest.raises(DataError, match=r"w\.safetensors: its card has channels = \[1; write it anew with parampi card"):
        card.read(tmp_path / "w.safetensors")


def test_the_command(tmp_path, capsys):
    path = tmp_path / "w.safetensors"
    save_file({"weight": torch.arange(2.0)}, path, {"steps": "8245"})
    assert main(["card", str(path)]) == 0
    assert capsys.readouterr().out == "no card\n"
    told = ["card", str(path), "--channel", "u", "--channel", "T", "--predicts", "edm", "--sigma-data", "0.5"]
    assert main(told) == 0
    assert capsys.readouterr().out == "channels: ('u', 'T')\npredicts: edm\nsigma_data: 0.5\n"
    with safe_open(path, "pt") as file:
        assert file.metadata()["steps"] == "8245" and torch.equal(file.get_tensor("weight"), torch.arange(2.0))
    assert main(["card", str(path), "--channel", "u", "--channel", "T", "--sigma-data", "0.5", "--sigma-data", "2"]) == 0
    assert "sigma_data: [0.5, 2.0]\n" in capsys.readouterr().out and card.read(path).sigma_data == [0.5, 2.0]
    assert main(["card", str(path), "--channel", "u", "--sigma-data", "0.5", "--sigma-data", "2"]) == USER_ERROR
    assert "sigma_data = [0.5, 2.0] for the channels u; give one number above 0, or one for each" in capsys.readouterr().err
    assert main(["card", str(tmp_path / "no")]) == USER_ERROR
    assert capsys.readouterr().err == f"parampi: there is no file {tmp_path / 'no'}\n"
