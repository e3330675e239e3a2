"""Files whose times come first: every store writes them, and they are read as all others are."""

import itertools

import netCDF4
import numpy as np
import pytest

import parampi
from parampi.commands.main import commands
from parampi.errors import ConfigError, DataError
from parampi.fields import STORES, Cases, EnsembleAxes, EnsembleSchema, Leads, MemberFacts, StoreTarget, open_ensemble
from parampi.fields.stores.check import check
from parampi.fields.stores.content import Content
from parampi.fields.stores.member_order import TurnedVariable
from parampi.fields.stores.reader import opened_file
from parampi.run.config import load
from parampi.run.job import run
from parampi.run.output import EnsembleOutput
from parampi.run.rerun import rerun
from tests.fields.stores.test_contract import write_alone
from tests.small import write_conditions, write_project

TIMES = ("forecast_reference_time", "lead_time")
CASES = Cases("forecast_reference_time", np.array([0.0, 6.0]), {"units": "hours since 2001-01-01"}, [0, 1])
LEADS = Leads((6.0, 12.0, 18.0), "hours")
NUMBERS = [4, 0, 7, 65536 + 4, 65536, 65536 + 7]


class Stored:
    """A variable as the libraries of files have it."""

    def __init__(self, values, dimensions):
        self.values, self.dimensions, self.shape, self.ndim = values, dimensions, values.shape, values.ndim

    def __getitem__(self, index):
        return self.values[index]

    def __setitem__(self, index, value):
        self.values[index] = value


@pytest.mark.parametrize("place", [1, 2])
def test_a_turned_variable_takes_indices_as_if_members_were_first(place):
    plain = np.random.default_rng(0).normal(size=(4, 2, 3, 5))
    names = ["member", "a", "b", "x"]
    turned = TurnedVariable(Stored(np.moveaxis(plain, 0, place).copy(), (*names[1 : place + 1], "member", *names[place + 1 :])))
    assert turned.dimensions == tuple(names) and turned.shape == plain.shape
    choices = [..., 1, slice(None), slice(1, None)]
    for index in itertools.chain(choices, itertools.product(choices, repeat=2), itertools.product(choices[1:], repeat=4)):
        if not isinstance(index, tuple) or index.count(...) < 2:
            np.testing.assert_array_equal(turned[index], plain[index], err_msg=str(index))
            turned[index] = new = plain[index] + 1
            plain[index] = new
            np.testing.assert_array_equal(turned[...], plain)


def write(path, mode, order, statistics, samples):
    axes = EnsembleAxes(NUMBERS, CASES, LEADS, order)
    content = Content(summary=("mean", "maximum", "quantiles"))
    schema = EnsembleSchema(statistics, axes, seed=11, content=content, attributes={"parampi_ensemble": path.stem * 8})
    target = StoreTarget(path, schema, path.stem * 8)
    with EnsembleOutput(target, mode) as output:
        for row, (number, lead) in enumerate(itertools.product(NUMBERS[:5], range(3))):
            output.write(number, samples[row], MemberFacts(11, row, 2 * row, 0.1 * row), lead)
    return path


def contents(path):
    with open_ensemble(path) as file:
        return {name: (v.dimensions, np.ma.filled(v[...], -1).tobytes()) for name, v in file.variables.items()}


@pytest.mark.parametrize("mode", STORES)
def test_every_store_writes_both_orders_and_they_are_read_alike(mode, statistics, samples, tmp_path, monkeypatch):
    if STORES[mode].collective:
        write_alone(monkeypatch, STORES[mode])
    names = [f"{name}{STORES[mode].ending}" for name in "ab"]
    usual = write(tmp_path / names[0], mode, "member_first", statistics, samples)
    first = write(tmp_path / names[1], mode, "time_first", statistics, samples)
    assert contents(first) == contents(usual)
    with opened_file(first) as file:
        assert file["u"].dimensions[:3] == file["rounds"].dimensions == (*TIMES, "member")
        np.testing.assert_array_equal(file["u"][1, 2, 1], samples[14, 0])
        assert file["u_mean"].dimensions[:2] == TIMES and file.parampi_complete == 0
    findings = check(first)
    assert (
        findings.facts[0] == f"{first}: {'T, u' if mode == 'zarr' else 'u, T'}; 15 of 18 fields finished"
        and len(findings.problems) == 1
    )
    assert dict(parampi.open(first).axes) == {"member": 3, "forecast_reference_time": 2, "lead_time": 3}


def test_merging_keeps_the_order_or_turns_it(statistics, samples, tmp_path):
    first = write(tmp_path / "a.nc", "virtual", "time_first", statistics, samples)
    for name, options, axes in [
        ("kept", [], (*TIMES, "member")), ("turned", ["--member-first"], ("member", *TIMES)),
        ("again", ["--time-first"], (*TIMES, "member")),
    ]:  # fmt: skip
        target = tmp_path / f"{name}.nc"
        commands.main(["merge", str(first), "--output", str(target), *options], standalone_mode=False)
        assert contents(target) == contents(first)
        with netCDF4.Dataset(target) as file:
            assert file["T"].dimensions[:3] == axes and file["seed"].dimensions == ("member",)


def test_members_between_other_axes_are_refused(tmp_path):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        for name in ("time", "member", "lead_time"):
            file.createDimension(name, 2)
        file.createVariable("realization", "i4", ("member",))
        file.createVariable("complete", "i1", ("time", "member", "lead_time"))
    with pytest.raises(DataError, match=r"complete has the axes \(time, member, lead_time\); expected member as the first or"):
        parampi.open(tmp_path / "a.nc")


def test_a_run_with_times_first(tmp_path):
    write_conditions(tmp_path / "cond.nc")
    config = load(write_project(
        tmp_path, condition__files="cond.nc", condition__variables=["vorticity"], condition__select=[1, 0],
        condition__lead_times=2, sampling__members=3, parallel__mode="bitwise", output__order="time_first",
    ))  # fmt: skip
    run(config)
    path = tmp_path / "out" / "ensemble.nc"
    with netCDF4.Dataset(path) as file:
        assert file["vorticity"].dimensions == (*TIMES, "member", "y", "x") and file["vorticity"].shape[:3] == (2, 2, 3)
    assert rerun(path, 2, 0).same


def test_times_that_there_are_not_are_not_put_first(tmp_path):
    with pytest.raises(
        ConfigError, match=r"output\.order = time_first, and without conditions there are no times; leave it out"
    ):
        load(write_project(tmp_path, output__order="time_first"))
