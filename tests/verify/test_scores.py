"""Scores: right where the ensemble is the data, moved by as much as it is moved, and honest about their sampling errors."""

import numpy as np
import pytest

from parampi.errors import ConfigError, DataError
from parampi.fields import DatasetStatistics, MemberFacts, NetCDFStore
from parampi.verify import compare, compare_fields, kurtosis, quarter_of, spectrum_ratio
from tests.fields.schemas import schema_of


def test_the_data_against_itself(draw, statistics):
    scores = compare_fields(draw(2000, 0), statistics)
    for score in (scores.standard_deviation, scores.kurtosis, scores.spectrum):
        np.testing.assert_allclose(score.ratio, 1, rtol=1e-12)
    assert scores.worst_deviation[0] < 1e-12
    np.testing.assert_allclose(scores.mean.value, statistics.mean)
    assert scores.shells.tolist() == [1, 2, 3, 4] and quarter_of(statistics) == 4
    assert scores.spectrum.ratio.shape == (1, 4) and (scores.members, scores.samples) == (2000, 2000)


def test_a_change_of_scale_shows_as_much_as_it_is(draw, statistics):
    scores = compare_fields(draw(2000, 0) * 1.1 + 5, statistics)
    np.testing.assert_allclose(scores.standard_deviation.ratio, 1.1, rtol=1e-12)
    np.testing.assert_allclose(scores.spectrum.ratio, 1.21, rtol=1e-12)
    np.testing.assert_allclose(scores.kurtosis.ratio, 1, rtol=1e-10)
    np.testing.assert_allclose(scores.mean.value, 5, atol=1e-12)


def test_the_worst_shell_is_named(draw, statistics):
    fields = draw(2000, 0)
    modes = np.fft.rfft2(fields)
    k = np.rint(np.hypot(np.fft.fftfreq(16, 1 / 16)[:, None], np.fft.rfftfreq(16, 1 / 16)))
    modes[..., k == 3] *= np.sqrt(0.7)
    scores = compare_fields(np.fft.irfft2(modes), statistics)
    assert scores.worst_shell[0] == 3 and scores.worst_deviation[0] == pytest.approx(0.3, rel=1e-10)
    np.testing.assert_allclose(spectrum_ratio(np.fft.irfft2(modes), statistics)[0, 1:5], [1, 1, 0.7, 1], rtol=1e-10)


def test_standard_errors_are_those_of_repetition(draw, statistics):
    """Of 200 ensembles of 20 members: mean estimated variance against the variance between ensembles, whose own relative
    standard error is sqrt(2 / 199) = 10 %; 40 % is four of them."""
    comparisons = [compare_fields(draw(20, seed), statistics) for seed in range(1, 201)]
    for name in ("mean", "standard_deviation", "kurtosis", "spectrum"):
        scores = [getattr(comparison, name) for comparison in comparisons]
        estimated = np.mean([score.error**2 for score in scores], axis=0)
        between = np.var([score.value for score in scores], axis=0)
        np.testing.assert_allclose(estimated / between, 1, atol=0.4, err_msg=name)


def test_the_kurtosis_of_known_distributions():
    """One draw each; 4 standard errors are allowed (two-sided 6e-5 each): sqrt(24 / n) for normal values."""
    rng = np.random.default_rng(5)
    normal, uniform = rng.standard_normal((10, 1, 100, 100)), rng.random((10, 1, 100, 100))
    assert kurtosis(np.concatenate([normal, uniform], axis=1)) == pytest.approx([3.0, 1.8], abs=4 * np.sqrt(24 / 1e5))


def test_a_shell_in_which_the_data_holds_nothing_is_left_out(draw):
    flat = np.fft.rfft2(draw(50, 0))
    flat[..., 3:] = flat[..., 3:14, :] = 0
    data = np.fft.irfft2(flat)
    statistics = DatasetStatistics.from_samples(data, ["w"], ["1"], ["w"], x=range(16), y=range(16))
    scores = compare_fields(data + 0.01 * draw(50, 1), statistics, quarter=5)
    assert np.isnan(scores.spectrum.ratio[0]).tolist() == [False, False, False, True, True]
    assert np.isfinite(scores.worst_deviation[0]) and "nan" not in scores.table()


def test_one_member_has_no_standard_error(draw, statistics):
    scores = compare_fields(draw(1, 3), statistics)
    assert np.isnan(scores.kurtosis.error).all() and np.isfinite(scores.kurtosis.ratio).all()
    assert "+- 0" not in scores.table() and scores.table().startswith("1 member against 2000 samples")


@pytest.fixture
def ensemble(draw, statistics, tmp_path):
    with NetCDFStore(tmp_path / "e.nc", schema_of(statistics, range(6), 0)) as store:
        for member in range(5):
            store.write(member, draw(5, 9)[member], MemberFacts(0, 1, 1, 0.0))
    statistics.save(tmp_path / "s.nc")
    return tmp_path / "e.nc"


def test_files_score_as_their_finished_fields_do(ensemble, draw, statistics, tmp_path):
    scores, expected = compare(ensemble, tmp_path / "s.nc", quarter=6), compare_fields(draw(5, 9), statistics, 6)
    assert scores.members == 5 and scores.shells[-1] == 6
    np.testing.assert_allclose(scores.spectrum.ratio, expected.spectrum.ratio, rtol=1e-5)


def test_the_table_shows_every_shell_and_the_worst(ensemble, tmp_path):
    scores = compare(str(ensemble), str(tmp_path / "s.nc"))
    table = scores.table()
    lines = table.splitlines()
    assert lines[0].startswith("5 members against 2000 samples") and "s-1" in table
    assert [line.split()[1] for line in lines if line.startswith("  shell")] == ["1", "2", "3", "4"]
    assert f"{scores.kurtosis.ratio[0]:.3f} +- {scores.kurtosis.relative_error[0]:.3f}" in table
    assert f"{scores.worst_deviation[0]:.1%}" in lines[-1]


def test_what_does_not_belong_together_is_refused(ensemble, draw, statistics, tmp_path):
    with pytest.raises(ConfigError, match="quarter = 12"):
        compare(ensemble, tmp_path / "s.nc", quarter=12)
    small = DatasetStatistics.from_samples(draw(5, 0)[..., :8], ["w"], ["s-1"], ["w"], x=range(8), y=range(16))
    small.save(tmp_path / "small.nc")
    with pytest.raises(DataError, match=r"e\.nc: members have shape \(1, 16, 16\), the data of the statistics \(1, 16, 8\)"):
        compare(ensemble, tmp_path / "small.nc")
    with pytest.raises(DataError, match="does not exist"):
        compare(tmp_path / "none.nc", tmp_path / "s.nc")
