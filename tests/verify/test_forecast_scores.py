"""Scores of forecasts: against closed forms, the library, and a second implementation in plain loops; matching; refusals."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import scoringrules
import xarray
from click.testing import CliRunner
from scipy.stats import chi2, norm

from parampi.basis.sphere_grid import latitudes
from parampi.commands.score import score as score_command
from parampi.errors import ConfigError, DataError
from parampi.fields import Geometry, geometry_of
from parampi.verify.field_parts import fair_crps, field_parts
from parampi.verify.forecast_scores import ScoreRequest, prepare, score, table
from parampi.verify.resampling import draws as redraws
from parampi.verify.resampling import estimate, interval, replicate
from tests.verify.score_cases import DEGREES, LEADS, STARTS, draws, write_both, write_ensemble, write_truth

AREAS = np.polynomial.legendre.leggauss(8)[1][:, None] * np.ones(12) / 24  # sum 1
FEW = ScoreRequest(replicates=20)


def scored(folder, asked=FEW, **both):
    ensemble, truth, *_ = write_both(folder, **both)
    return score(ensemble, [truth], asked)


def plainly(members, truth, level):
    """One start and lead time, (M, 8, 12) and (8, 12), by loops over members and points."""
    count, result = len(members), dict.fromkeys(("crps", "square", "variance", "bias", "brier"), 0.0)
    ranks = np.zeros(count + 1)
    for y, x in np.ndindex(8, 12):
        drawn, true, area = members[:, y, x].astype(float), float(truth[y, x]), AREAS[y, x]
        apart = sum(abs(a - b) for a in drawn for b in drawn) / (count * (count - 1))
        result["crps"] += area * (sum(abs(a - true) for a in drawn) / count - apart / 2)
        result["square"] += area * (sum(drawn) / count - true) ** 2
        result["variance"] += area * sum((a - sum(drawn) / count) ** 2 for a in drawn) / (count - 1)
        result["bias"] += area * (sum(drawn) / count - true)
        result["brier"] += area * (sum(a > level for a in drawn) / count - (true > level)) ** 2
        ranks[sum(a < true for a in drawn)] += area
    norms = [np.sqrt((AREAS * (a.astype(float) - truth) ** 2).sum()) for a in members]
    between = [np.sqrt((AREAS * (a.astype(float) - b) ** 2).sum()) for a in members for b in members]
    result["energy"] = sum(norms) / count - sum(between) / (count * (count - 1)) / 2
    return result, ranks


def test_scores_are_those_of_plain_loops_to_1e_10(tmp_path):
    _, _, members, truth = write_both(tmp_path)
    found = scored(tmp_path, ScoreRequest(thresholds={"t": (281.0,)}, replicates=20)).channels[0].values
    for lead in range(2):
        several = [plainly(members[:, s, lead], truth[s, lead], 281.0) for s in range(3)]
        mean = {name: np.mean([one[name] for one, _ in several]) for name in several[0][0]}
        expected = {"crps": mean["crps"], "rmse": mean["square"] ** 0.5, "spread": (mean["variance"] * 7 / 6) ** 0.5}
        expected |= {"bias": mean["bias"], "energy": mean["energy"]}
        for name, value in expected.items():
            assert found[name][lead] == pytest.approx(value, rel=1e-10), name
        assert found["spread_skill"][lead] == pytest.approx(expected["spread"] / expected["rmse"], rel=1e-10)
        assert found["brier"][lead] == pytest.approx([mean["brier"]], rel=1e-10)
        np.testing.assert_allclose(found["ranks"][lead], np.mean([ranks for _, ranks in several], 0), atol=1e-12)


def test_scores_are_those_of_the_library_to_1e_10(tmp_path):
    _, _, members, truth = write_both(tmp_path)
    found = scored(tmp_path).channels[0].values
    drawn, true = np.moveaxis(members.astype(float), 0, -1), truth.astype(float)  # (S, L, y, x, M)
    fair = scoringrules.crps_ensemble(true, drawn, estimator="fair", backend="numpy")
    np.testing.assert_allclose(found["crps"], (fair * AREAS).sum((2, 3)).mean(0), rtol=1e-10)
    root = np.sqrt(AREAS).ravel()
    vectors = members.reshape(6, 3, 2, -1).transpose(1, 2, 0, 3) * root
    energy = scoringrules.es_ensemble(true.reshape(3, 2, -1) * root, vectors, estimator="fair", backend="numpy")
    np.testing.assert_allclose(found["energy"], energy.mean(0), rtol=1e-10)


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (1.5, 0.5), (-1.0, 2.0)])
def test_crps_of_gaussian_members_is_the_closed_form(mean, deviation):
    """Fair: its expectation over members is the score of their law, with 5 members as with 50."""
    z = (0.3 - mean) / deviation
    expected = deviation * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    for count in (5, 50):
        members = np.random.default_rng(count).normal(mean, deviation, (count, 20000))
        values = fair_crps(members, np.full(20000, 0.3))
        assert abs(values.mean() - expected) < 4 * values.std() / np.sqrt(20000)


def test_ranks_of_exchangeable_members_are_uniform():
    """Pearson's chi-square over 38400 points that are independent, equal areas; significance 0.001, both tails."""
    lot = np.random.default_rng(1)
    both = lot.standard_normal((10, 160, 240))
    ranks = field_parts(both[1:], both[0], Geometry((160, 240)), (), lot)["ranks"] * 38400
    statistic = ((ranks - 3840) ** 2 / 3840).sum()
    assert chi2.ppf(0.0005, 9) < statistic < chi2.ppf(0.9995, 9)
    wide = field_parts(1.2 * both[1:], both[0], Geometry((160, 240)), (), lot)["ranks"] * 38400
    assert ((wide - 3840) ** 2 / 3840).sum() > chi2.ppf(0.9995, 9)


def test_equal_members_and_truth_are_ranked_by_lot():
    zeros = np.zeros((4, 100, 100))
    ranks = field_parts(zeros, zeros[0], Geometry((100, 100)), (), np.random.default_rng(0))["ranks"]
    np.testing.assert_allclose(ranks, 0.2, atol=0.02)


def many_parts(members, truth, geometry):
    """Parts (S, 1, ...) of members (M, S, H, W) and the truth (S, H, W)."""
    lot = np.random.default_rng(0)
    single = [field_parts(members[:, s], truth[s], geometry, (), lot) for s in range(len(truth))]
    return {name: np.stack([one[name] for one in single])[:, None] for name in single[0]}


def test_a_perfect_ensemble_has_spread_over_error_1_within_its_interval():
    """In 60 trials the 90% intervals hold the truth (1, and the CRPS's closed form) as often as they say: 45 to 60 times."""
    lot, geometry, hits = np.random.default_rng(7), Geometry((6, 8)), {"spread_skill": 0, "crps": 0, "bias": 0}
    values = []
    exact = {"spread_skill": 1.0, "crps": 1 / np.sqrt(np.pi), "bias": 0.0}
    for trial in range(60):
        both = lot.standard_normal((9, 12, 6, 8))
        parts = many_parts(both[1:], both[0], geometry)
        found, drawn = estimate(parts, 0), replicate(parts, 0, redraws(12, 8, 200, trial))
        values.append(found["spread_skill"])
        for name, value in exact.items():
            low, high = interval(found[name], drawn[name], 0.9)
            hits[name] += low <= value <= high
    assert abs(np.mean(values) - 1) < 4 * np.std(values) / np.sqrt(60)
    assert all(45 <= count <= 60 for count in hits.values()), hits


def test_a_wrong_area_weight_is_caught():
    """An error that is 1 K at the poles' side of 45 degrees and 0 elsewhere has the mean of that area."""
    latitude = np.linspace(-88, 88, 45)
    longitude = np.arange(4) * 90.0
    geometry = geometry_of(latitude, longitude, units=("degrees_north", "degrees_east"))
    truth = np.zeros((45, 4))
    members = np.stack([truth + (np.abs(latitude) > 45)[:, None]] * 2)
    assert geometry.spherical
    error = field_parts(members, truth, geometry, (), np.random.default_rng(0))["error"][0]
    plane = field_parts(members, truth, Geometry((45, 4)), (), np.random.default_rng(0))["error"][0]
    assert error == pytest.approx(1 - np.sin(np.pi / 4), abs=0.02) and plane > 0.45


@pytest.mark.parametrize("family", ["gauss-legendre", "equiangular", "equiangular-poles"])
def test_a_perfect_ensemble_on_the_globe_has_flat_ranks_spread_over_error_1_and_the_scores_of_its_law(family):
    """Noise that grows as |sin(latitude)|: its CRPS is 1 / (2 sqrt(pi)) by area, 27 % more if points counted alike. 4 standard
    errors, from 60 starts: wrong once in 16 000 for each number."""
    lot, latitude = np.random.default_rng(3), latitudes(family, 16)
    geometry = geometry_of(latitude, np.arange(32) * 11.25, units=("degrees_north", "degrees_east"))
    both = lot.standard_normal((9, 60, 16, 32)) * np.sin(np.deg2rad(latitude))[:, None]
    parts = many_parts(both[1:], both[0], geometry)
    ranks = parts["ranks"][:, 0]
    assert (np.abs(ranks.mean(0) - 1 / 9) < 4 * ranks.std(0, ddof=1) / 60**0.5).all() and ranks.std(0).max() < 0.05
    crps = parts["crps"][:, 0]
    error = 4 * crps.std(ddof=1) / 60**0.5
    # rings are sums for the integral of |sin|, which has a corner: right to 1 %
    assert abs(crps.mean() - 0.5 / np.sqrt(np.pi)) < error + 0.003 and error < 0.02
    drawn = replicate(parts, 0, redraws(60, 8, 400, 0))["spread_skill"]
    found = estimate(parts, 0)
    assert abs(found["spread_skill"] - 1) < 4 * drawn.std() and drawn.std() < 0.02
    assert found["rmse"] == pytest.approx(np.sqrt(9 / 8 / 3), rel=0.03)
    plane = many_parts(both[1:], both[0], Geometry((16, 32)))["crps"].mean()
    assert plane > 1.15 * crps.mean()


def turned(folder, _):
    with xarray.open_dataset(folder / "t.nc", decode_times=False) as file:
        file.load().isel(time=slice(None, None, -1), lat=slice(None, None, -1)).to_netcdf(folder / "other.nc")


def converted(folder, _):
    with xarray.open_dataset(folder / "t.nc", decode_times=False) as file:
        other = file.load()
    other["t"] = (other["t"].dims, other["t"].values.astype(float) - 273.15, {"units": "degC"})
    days = {"units": "days since 2000-12-31", "calendar": "proleptic_gregorian", "standard_name": "time"}
    other.assign_coords(time=("time", other["time"].values / 24 + 1, days)).to_netcdf(folder / "other.nc")


def longer(folder, truth):
    extra = np.concatenate([truth, np.full((1, 2, 8, 12), 1e9, np.float32)])
    write_truth(folder / "other.nc", extra, starts=[*STARTS, 1000.0])


def rolled(folder, _):
    with xarray.open_dataset(folder / "t.nc", decode_times=False) as file:
        file.load().roll(lon=5, roll_coords=True).to_netcdf(folder / "other.nc")


@pytest.mark.parametrize("change", [turned, converted, longer, rolled])
def test_truth_is_matched_by_times_and_coordinates(tmp_path, change):
    ensemble, truth, _, fields = write_both(tmp_path)
    change(tmp_path, fields)
    found, same = (score(ensemble, [path], FEW).channels[0].values for path in (tmp_path / "other.nc", truth))
    for name in ("crps", "rmse", "bias", "energy", "spectrum_truth"):
        np.testing.assert_allclose(found[name], same[name], rtol=1e-6, atol=1e-5)


def test_levels_are_channels(tmp_path):
    (a, x), (b, y) = draws(seed=0), draws(seed=1)
    write_ensemble(tmp_path / "l.nc", np.stack([a, b], 3))
    write_truth(tmp_path / "lt.nc", np.stack([x, y], 2))
    both = score(tmp_path / "l.nc", [tmp_path / "lt.nc"], FEW)
    assert [one.channel.name for one in both.channels] == ["t@500", "t@850"]
    for seed, one in enumerate(both.channels):
        alone = scored(tmp_path, seed=seed).channels[0]
        np.testing.assert_array_equal(one.values["crps"], alone.values["crps"])
    only = score(tmp_path / "l.nc", [tmp_path / "lt.nc"], ScoreRequest(("t@850",), replicates=5))
    np.testing.assert_array_equal(only.channels[0].values["rmse"], both.channels[1].values["rmse"])


def test_shares_of_several_processes_are_those_of_one(tmp_path):
    ensemble, truth, *_ = write_both(tmp_path)
    asked = ScoreRequest(reference="climatology", replicates=20)

    def rows(rank, size):
        kept = []
        team = SimpleNamespace(rank=rank, size=size, add=lambda work: kept.append(work()) or kept[0])
        with prepare(ensemble, [truth], asked) as scoring:
            scoring.scores(team)
        return kept[0]

    np.testing.assert_array_equal(sum(rows(rank, 3) for rank in range(3)), rows(0, 1))


def test_references(tmp_path):
    ensemble, truth, members, fields = write_both(tmp_path)
    before = fields[:, 0] + 3
    write_truth(tmp_path / "p.nc", fields, before=before)
    persistence = score(ensemble, [tmp_path / "p.nc"], ScoreRequest(reference="persistence", replicates=20)).channels[0].values
    gone = (np.abs(before[:, None].astype(float) - fields) * AREAS).sum((2, 3)).mean(0)
    np.testing.assert_allclose(persistence["reference_crps"], gone, rtol=1e-10)
    np.testing.assert_allclose(persistence["skill"], 1 - persistence["crps"] / gone, rtol=1e-10)
    write_ensemble(tmp_path / "other.nc", members[:2])
    pair = score(ensemble, [truth], ScoreRequest(reference=str(tmp_path / "other.nc"), replicates=20)).channels[0].values
    two = score(tmp_path / "other.nc", [truth], FEW).channels[0].values
    np.testing.assert_allclose(pair["reference_crps"], two["crps"], rtol=1e-10)
    np.testing.assert_allclose(pair["reference_rmse"], two["rmse"], rtol=1e-10)
    climate = score(ensemble, [truth], ScoreRequest(reference="climatology", replicates=20)).channels[0].values
    others = [np.delete(fields.reshape(6, 8, 12), 2 * s, 0) for s in range(3)]  # without the field itself
    values = [
        (fair_crps(np.array(one, float).reshape(5, -1), fields[s, 0].ravel()) * AREAS.ravel()).sum()
        for s, one in enumerate(others)
    ]
    assert climate["reference_crps"][0] == pytest.approx(np.mean(values), rel=1e-10)


def test_points_without_values_are_left_out(tmp_path):
    members, truth = draws()
    truth[:, :, :2], members[:, :, :, 7] = np.nan, np.nan
    write_ensemble(tmp_path / "e.nc", members)
    found = score(tmp_path / "e.nc", [write_truth(tmp_path / "t.nc", truth)], FEW)
    area = AREAS[2:7] / AREAS[2:7].sum()
    bias = ((members[..., 2:7, :].astype(float).mean(0) - truth[..., 2:7, :]) * area).sum((2, 3)).mean(0)
    np.testing.assert_allclose(found.channels[0].values["bias"], bias, rtol=1e-10, atol=1e-9)
    assert any("points without values are left out (up to" in line for line in found.notes)


def test_one_member_has_an_error_and_no_spread(tmp_path):
    _, _, members, truth = write_both(tmp_path)
    write_ensemble(tmp_path / "one.nc", members[:1])
    values = score(tmp_path / "one.nc", [tmp_path / "t.nc"], FEW).channels[0].values
    expected = (np.abs(members[0].astype(float) - truth) * AREAS).sum((2, 3)).mean(0)
    np.testing.assert_allclose(values["crps"], expected, rtol=1e-10)
    assert np.isnan(values["spread_skill"]).all()


def call(*arguments):
    return CliRunner().invoke(score_command, [str(one) for one in arguments], catch_exceptions=False)


def test_the_verb_writes_a_table_a_file_and_pictures(tmp_path):
    ensemble, truth, *_ = write_both(tmp_path)
    done = call(
        ensemble,
        "--truth",
        truth,
        "--threshold",
        281,
        "--output",
        tmp_path / "s.nc",
        "--figures",
        tmp_path / "f",
        "--replicates",
        20,
    )
    assert "lead time (hours)  fair CRPS" in done.output and "brier>281" in done.output
    assert "note: the grid is latitude and longitude around the globe, means weighted by area" in done.output
    with xarray.open_dataset(tmp_path / "s.nc", decode_timedelta=False) as file:
        assert file["t_crps"].dims == ("lead_time",) and file["t_crps"].attrs["units"] == "K" and file.attrs["Conventions"]
        assert file["t_ranks"].dims == ("lead_time", "rank") and file["t_brier"].dims == ("lead_time", "t_threshold")
        assert file["t_crps_interval"].dims == ("bound", "lead_time") and file["t_spectrum_error"].attrs["units"] == "(K)2"
        low, high = file["t_crps_interval"].values
        assert (low < file["t_crps"]).all() and (file["t_crps"] < high).all()
        np.testing.assert_allclose(file["t_ranks"].sum("rank"), 1)
    pictures = {path.name for path in (tmp_path / "f").iterdir()}
    assert pictures == {
        f"{name}.png"
        for name in ("crps", "spread", "spread_skill", "bias", "energy", "ranks", "spectra", "reliability", "brier")
    }


def undated(folder, members, truth):
    write_truth(folder / "t.nc", truth)
    with xarray.open_dataset(folder / "t.nc", decode_times=False) as file:
        file.load().drop_vars("time").to_netcdf(folder / "u.nc")
    (folder / "u.nc").rename(folder / "t.nc")


def other_grid(folder, members, truth):
    with xarray.open_dataset(folder / "t.nc", decode_times=False) as file:
        coarse = file.load().isel(lat=slice(0, 4))
    coarse.to_netcdf(folder / "t.nc")


def unfinished(folder, members, truth):
    with xarray.open_dataset(folder / "e.nc", decode_times=False, decode_timedelta=False) as file:
        half = file.load()
    half["complete"][:, 0, 0] = 0
    half.to_netcdf(folder / "e.nc")


def no_leads(folder, members, truth):
    data = {"t": (("member", "lat", "lon"), members[:, 0, 0], {"units": "K"}), "complete": ("member", np.ones(6, "i1"))}
    xarray.Dataset(data | {"realization": ("member", np.arange(6))}, DEGREES).to_netcdf(folder / "e.nc")


@pytest.mark.parametrize(
    ("change", "asked", "words"),
    [
        (lambda folder, members, truth: write_truth(folder / "t.nc", truth[:2], STARTS[:2]), FEW,
         r"t\.nc has no field for 2001-01-21 06:00:00 .*: 6 hours after 2001-01-21 00:00:00 .* and for 1 others; its 4"),
        (undated, FEW, r"t\.nc has no dates, by which fields are matched; give its times units such as"),
        (other_grid, FEW, r"t\.nc has fields of 4 x 12 points, .*e\.nc of 8 x 12; bring both onto one grid, such as with cdo"),
        (unfinished, FEW, r"e\.nc has no member that is finished at all starts and lead times; finish the run"),
        (no_leads, FEW, r"e\.nc has the axes \(member\), and no times by which the truth is found; score an"),
        (lambda folder, members, truth: write_truth(folder / "t.nc", truth, name="T"), FEW, r"has no variable t; it has T"),
        (lambda folder, members, truth: write_truth(folder / "t.nc", truth, units="Pa"), FEW, r"t\.nc: t is in 'Pa', .*'K'"),
        (lambda folder, members, truth: write_truth(folder / "t.nc", truth * np.nan), FEW,
         r"e\.nc: t for 2001-01-01 06:00:00 .*: there is no point where the truth and all members have values; leave"),
        (None, ScoreRequest(("q",)), r"e\.nc has no channel q; it has t"),
        (None, ScoreRequest(thresholds={"q": (1.0,)}), r"a threshold of q is for none of the channels t; give such as t=0\.5"),
        (
            None,
            ScoreRequest(reference="nowhere.nc"),
            r"the reference 'nowhere\.nc' is no file; give climatology, persistence, or",
        ),
        (None, ScoreRequest(reference="persistence"), r"t\.nc has no field for the start 2001-01-01 00:00:00 .* of a forecast"),
    ],
)  # fmt: skip
def test_what_does_not_match_is_refused(tmp_path, change, asked, words):
    _, _, members, truth = write_both(tmp_path)
    if change:
        change(tmp_path, members, truth)
    with pytest.raises(DataError, match=words):
        score(tmp_path / "e.nc", [tmp_path / "t.nc"], asked)


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [("nc", r"ncks -d lead_time,0,0"), ("zarr", r"xarray\.open_zarr\('.*e\.zarr'\)\.isel\(lead_time=slice\(1\)\)")],
)
def test_what_does_without_a_lead_time_reads_the_ensemble(tmp_path, kind, remedy):
    path, _, _, truth = write_both(tmp_path)
    write_truth(tmp_path / "t.nc", truth[:, :1], leads=LEADS[:1])
    if kind == "zarr":
        with xarray.open_dataset(path, decode_times=False, decode_timedelta=False) as file:
            file.assign_attrs(parampi_complete=1).to_zarr(tmp_path / "e.zarr", consolidated=False)
    with pytest.raises(DataError, match=rf"no field for 2001-01-01 12:00:00 .* and for 2 others; .* without \({remedy}\)"):
        score(tmp_path / f"e.{kind}", [tmp_path / "t.nc"], FEW)


def test_references_of_other_times_are_refused(tmp_path):
    ensemble, truth, members, _ = write_both(tmp_path)
    write_ensemble(tmp_path / "other.nc", members, starts=STARTS + 6)
    with pytest.raises(
        DataError, match=r"other\.nc is for other times than .*e\.nc \(2001-01-01 12:00:00.*; give an ensemble of the same"
    ):
        score(ensemble, [truth], ScoreRequest(reference=str(tmp_path / "other.nc")))


@pytest.mark.parametrize(
    ("options", "words"), [({"confidence": 1.0}, "confidence = 1.0; give"), ({"replicates": 1}, "replicates = 1; give")]
)
def test_odd_numbers_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        ScoreRequest(**options)


def test_a_threshold_that_is_no_number_is_refused(tmp_path):
    ensemble, truth, *_ = write_both(tmp_path)
    with pytest.raises(ConfigError, match=r"--threshold t=warm: 'warm' is no number; give such as t2m=273\.15"):
        call(ensemble, "--truth", truth, "--threshold", "t=warm")


def test_without_the_library_the_message_says_what_to_install(tmp_path, monkeypatch):
    ensemble, truth, *_ = write_both(tmp_path)
    monkeypatch.setitem(sys.modules, "scoringrules", None)
    with pytest.raises(ConfigError, match=r"scores need scoringrules, .*install it: pip install 'parampi\[scores\]'"):
        score(ensemble, [truth], FEW)


def test_the_table_says_what_it_is(tmp_path):
    lines = table(scored(tmp_path, ScoreRequest(confidence=0.8, replicates=20))).splitlines()
    assert lines[0].startswith("6 members, 3 starts, against ") and "half of the 80% interval" in lines[0]
    assert lines[3] == "t (K)" and lines[5].split()[0] == f"{LEADS[0]:g}" and "+-" in lines[5]
