"""The choice of what is written of an ensemble: statistics over members against NumPy's, subsets, compression, sizes."""

import h5py
import netCDF4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parampi.errors import OutputError
from parampi.fields import PER_CASE, Cases, Content, DatasetStatistics, NetCDFStore
from parampi.fields.stores.base import MemberFacts
from parampi.fields.stores.summary import RunningMoments
from tests.fields.schemas import schema_of

RNG = np.random.default_rng(0)
EVERYTHING = ("mean", "standard_deviation", "minimum", "maximum", "quantiles")
NUMPY = {
    "mean": np.mean,
    "standard_deviation": lambda a, axis: np.std(a, axis=axis, ddof=1),
    "minimum": np.min,
    "maximum": np.max,
}


@pytest.fixture(scope="module")
def statistics():
    fields = RNG.normal(size=(20, 2, 6, 5))
    return DatasetStatistics.from_samples(
        fields, ["u", "t"], ["m s-1", "K"], ["wind", "temperature"], x=np.arange(5.0), y=np.arange(6.0)
    )


def stored(path, statistics, content, cases=None, left_out=()):
    numbers = list(range(7)) if cases is None else [c * PER_CASE + m for c in cases.indices for m in range(7)]
    made = {number: RNG.normal(280.0, 3.0, (2, 6, 5)).astype(np.float32) for number in numbers}
    with NetCDFStore(path, schema_of(statistics, numbers, 1, cases=cases, content=content)) as store:
        for number in reversed(numbers):
            if number not in left_out:
                store.write(number, made[number], MemberFacts(1, 2, 2, 0.5))
    return made


def test_statistics_over_members(tmp_path, statistics):
    made = stored(tmp_path / "e.nc", statistics, Content(summary=EVERYTHING, quantiles=(0.0, 0.3, 1.0)))
    fields = np.stack(list(made.values())).astype(np.float64)
    with netCDF4.Dataset(tmp_path / "e.nc") as file:
        for channel, name in enumerate(("u", "t")):
            for kind, function in NUMPY.items():
                assert np.allclose(file[f"{name}_{kind}"][:], function(fields[:, channel], axis=0), rtol=1e-6)
                assert "realization: " in file[f"{name}_{kind}"].cell_methods
            assert np.allclose(file[f"{name}_quantiles"][:], np.quantile(fields[:, channel], [0, 0.3, 1], axis=0), rtol=1e-6)
        assert file["quantile"][:].tolist() == [0.0, 0.3, 1.0] and file["u"].shape == (7, 6, 5)


def test_of_finished_members_alone(tmp_path, statistics):
    made = stored(tmp_path / "e.nc", statistics, Content(summary=("mean", "quantiles"), quantiles=(0.5,)), left_out=(2, 5))
    fields = np.stack([made[k][0] for k in (0, 1, 3, 4, 6)]).astype(np.float64)
    with netCDF4.Dataset(tmp_path / "e.nc") as file:
        assert np.allclose(file["u_mean"][:], fields.mean(0)) and np.allclose(file["u_quantiles"][0], np.median(fields, 0))


def test_per_time(tmp_path, statistics):
    cases = Cases("time", np.array([0.0, 1.0]), {"units": "days since 2001-01-01"}, [4, 2])
    made = stored(tmp_path / "e.nc", statistics, Content(summary=("maximum", "quantiles"), quantiles=(0.25,)), cases)
    with netCDF4.Dataset(tmp_path / "e.nc") as file:
        for column, case in enumerate((4, 2)):
            fields = np.stack([made[case * PER_CASE + m][1] for m in range(7)]).astype(np.float64)
            assert np.allclose(file["t_maximum"][column], fields.max(0))
            assert np.allclose(file["t_quantiles"][0, column], np.quantile(fields, 0.25, axis=0))


def test_instead_of_members_and_of_some_channels(tmp_path, statistics):
    made = stored(tmp_path / "e.nc", statistics, Content(("t",), members=False, summary=("mean",)))
    with netCDF4.Dataset(tmp_path / "e.nc") as file:
        assert "t" not in file.variables and "u_mean" not in file.variables and file.parampi_complete == 1
        assert np.allclose(file["t_mean"][:], np.mean([one[1] for one in made.values()], axis=0))


def test_a_member_written_again_counts_once(tmp_path, statistics):
    with NetCDFStore(tmp_path / "e.nc", schema_of(statistics, [0, 1], 1, content=Content(summary=("mean",)))) as store:
        for value, member in ((1.0, 0), (1.0, 0), (4.0, 1)):
            store.write(member, np.full((2, 6, 5), value, np.float32), MemberFacts(1, 2, 2, 0.5))
    with netCDF4.Dataset(tmp_path / "e.nc") as file:
        assert np.allclose(file["u_mean"][:], 2.5)


def test_compression_loses_nothing(tmp_path, statistics):
    made = stored(tmp_path / "e.nc", statistics, Content(compression=4))
    with netCDF4.Dataset(tmp_path / "e.nc") as file:
        assert file["u"].filters()["complevel"] == 4
        assert np.array_equal(file["u"][:], np.stack([one[0] for one in made.values()]))


def test_fewer_digits_make_smaller_files_that_are_nearly_the_same(tmp_path, statistics):
    for digits in (None, 3):
        RNG.bit_generator.state = np.random.default_rng(4).bit_generator.state
        made = stored(tmp_path / f"{digits}.nc", statistics, Content(compression=4, digits=digits))
    sizes = {}
    for digits in (None, 3):
        with h5py.File(tmp_path / f"{digits}.nc") as file:
            sizes[digits] = file["u"].id.get_storage_size()
    with netCDF4.Dataset(tmp_path / "3.nc") as file:
        rounded, exact = file["u"][:], np.stack([one[0] for one in made.values()])
        assert file["u"].quantization() == (3, "GranularBitRound")
    assert sizes[3] < sizes[None] and 0 < np.abs(rounded / exact - 1).max() < 5e-3


def test_sizes():
    assert Content().size(10, 2, 3, 100) == 4 * 10 * 2 * 3 * 100
    assert Content(summary=("mean", "quantiles")).size(10, 1, 1, 100) == 4 * (10 + 1 + 3) * 100
    assert Content(members=False, summary=("mean",)).size(10, 2, 1, 100) == 4 * 2 * 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"members": False}, "neither members nor a summary would be written; leave output.members true"),
        ({"members": False, "summary": ("quantiles",)}, "quantiles need the members in the file"),
        ({"quantiles": (0.5, 0.1)}, r"quantiles = \[0\.5, 0\.1\]; give increasing numbers from 0 to 1"),
        ({"digits": 3}, r"output\.digits = 3 without output\.compression makes fields less exact but no file smaller"),
        ({"quantiles": (0.5, 1.5)}, "give increasing numbers from 0 to 1"),
    ],
)
def test_what_makes_no_sense(options, message):
    with pytest.raises(OutputError, match=message):
        Content(**options)


def test_unknown_channels(tmp_path, statistics):
    with pytest.raises(OutputError, match=r"output\.variables names q; there are u, t"):
        NetCDFStore(tmp_path / "e.nc", schema_of(statistics, [0], 1, content=Content(("q",))))


def moments_of(parts, shift):
    """Moments by `RunningMoments` of values that came in several places."""
    first, *others = [RunningMoments((1, 1, 1), np.array([shift])) for _ in parts]
    for running, values in zip((first, *others), parts, strict=True):
        for value in values:
            running.add(np.array([[[value]]]))
    for other in others:
        first.merge(other.count, other.table)
    return {kind: first.value(kind)[0, 0, 0] for kind in ("mean", "standard_deviation", "minimum", "maximum")}


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20), st.floats(-10, 10))
def test_running_moments(values, shift):
    moments = moments_of([values], shift)
    scale = max(map(abs, [*values, shift])) + 1e-12
    assert abs(moments["mean"] - np.mean(values)) <= 1e-12 * scale
    assert abs(moments["standard_deviation"] - np.std(values, ddof=1)) <= 1e-7 * scale
    assert moments["minimum"] == min(values) and moments["maximum"] == max(values)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=12), st.randoms(), st.integers(0, 12))
def test_order_and_place_change_no_bit(values, random, cut):
    shuffled = random.sample(values, len(values))
    assert moments_of([values], 1.0) == moments_of([shuffled[:cut], shuffled[cut:]], 1.0)
