"""Mean and spectrum of data: from samples, from a data set's statistics file, to a file and back; and what is refused."""

import json

import netCDF4
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from parampi import ConfigError, DataError, Statistics, fields
from parampi.basis import Fourier, Identity
from parampi.diffusion.exact import FieldMixture
from parampi.fields.prior_files import BASIS
from parampi.solvers import Spectral

F64 = torch.float64
SAMPLES = FieldMixture(n=8).sample(600)


def described(samples):
    """The statistics file's content for samples (N, C, H, W)."""
    channels, height, width = samples.shape[1:]
    return fields.DatasetStatistics.from_samples(
        samples.numpy(), [f"c{i}" for i in range(channels)], ["1"] * channels, ["a field"] * channels,
        x=np.arange(width, dtype=float), y=np.arange(height, dtype=float),
    )  # fmt: skip


def test_samples_have_the_spectrum_they_were_drawn_from():
    """Variance of a mean of chi^2 variables: within five standard deviations in every shell."""
    basis, variance, mean = Statistics.from_samples(SAMPLES, mean="none").known((1, 8, 8), 1.0)
    rows, columns = Fourier((1, 8, 8)).wavevector.long()
    true = FieldMixture(n=8).spectrum[torch.where(columns < 0, -rows, rows) % 8, columns.abs()]
    freedom = basis.shell_sums(basis.noise)
    expected = basis.shell_sums(basis.noise * true) / freedom
    found = basis.shell_sums(basis.noise * variance) / freedom
    # spectra vary within shells, which makes the mean less certain than that of equal ones
    assert (found / expected - 1).abs().max() < 5 * (2 / len(SAMPLES)) ** 0.5
    assert not mean.any()


def test_a_data_sets_file_says_the_same_as_its_normalised_samples():
    samples = 3 * SAMPLES.repeat(1, 2, 1, 1) * torch.tensor([1.0, 50.0]).view(1, 2, 1, 1) + 7
    about = described(samples)
    normal = torch.from_numpy(about.normalise(samples.numpy()))
    _, expected, _ = Statistics.from_samples(normal).known((2, 8, 8), 1.0)
    _, found, mean = Statistics.of_data(about).known((2, 8, 8), 1.0)
    # one takes the mean of every point off, the other that of all points
    assert_close(found, expected, rtol=0.02, atol=1e-6)
    assert not mean.any()


@pytest.mark.parametrize("spectrum", [None, 2.0, torch.arange(6.0), torch.arange(40.0)], ids=["none", "one", "shells", "modes"])
def test_a_file_keeps_everything(tmp_path, spectrum):
    basis = Fourier((1, 6, 6))
    size = None if spectrum is None or isinstance(spectrum, float) else {6: basis.shells, 40: basis.modes}[len(spectrum)]
    given = Statistics(torch.ones(6, 6), spectrum if size is None else torch.rand(size, dtype=F64))
    given.save(tmp_path / "known.nc")
    found = Statistics.from_file(tmp_path / "known.nc")
    for ours, theirs in zip(given.known((1, 6, 6), 0.5)[1:], found.known((1, 6, 6), 0.5)[1:], strict=True):
        assert torch.equal(ours, theirs)
    assert repr(found).startswith("Statistics(")


@pytest.mark.parametrize(("size", "refused"), [("modes", True), ("shells", False)])
def test_variances_of_modes_in_an_earlier_order_are_refused(tmp_path, size, refused):
    basis = Fourier((1, 6, 6))
    Statistics(0.0, torch.rand(getattr(basis, size), dtype=F64)).save(tmp_path / "known.nc")
    with netCDF4.Dataset(tmp_path / "known.nc", "a") as file:
        said = json.loads(file.getncattr(BASIS))
        assert said.pop("modes") == "rfftn"
        file.setncattr(BASIS, json.dumps(said))
    solver = Spectral(statistics=str(tmp_path / "known.nc"))
    if not refused:
        assert solver.bind((1, 6, 6), 1.0)
        return
    with pytest.raises(ConfigError, match=r"known\.nc: .*order of an earlier version .*per_mode=True"):
        solver.bind((1, 6, 6), 1.0)


def test_a_statistics_file_of_data_is_read_too(tmp_path):
    described(SAMPLES).save(tmp_path / "data.nc")
    found = Statistics.from_file(tmp_path / "data.nc")
    assert_close(found.spectrum, Statistics.of_data(described(SAMPLES)).spectrum)


OTHER_SHAPES = r"these statistics are of fields of shape \(1, 8, 16\), not \(1, 16, 8\)"


@pytest.mark.parametrize("kind", ["data set", "spectrum"])
def test_a_file_of_another_grid_is_refused_though_it_has_as_many_shells(tmp_path, kind):
    wide, path = SAMPLES.repeat(1, 1, 1, 2), tmp_path / "wide.nc"
    (described(wide) if kind == "data set" else Statistics.from_samples(wide, mean="none")).save(path)
    assert Fourier((1, 8, 16)).shells == Fourier((1, 16, 8)).shells
    statistics = Statistics.from_file(path)
    assert statistics.shape == (1, 8, 16) and statistics.known((1, 8, 16), 1.0)[1].shape == (Fourier((1, 8, 16)).modes,)
    with pytest.raises(ConfigError, match=f"^{OTHER_SHAPES}; take those of the same channels and grid$"):
        statistics.known((1, 16, 8), 1.0)
    with pytest.raises(ConfigError, match=rf"wide\.nc: {OTHER_SHAPES}"):
        Spectral(statistics=path).bind((1, 16, 8), 1.0)


def test_channels_that_are_not_the_networks_are_refused(tmp_path):
    described(SAMPLES.repeat(1, 2, 1, 1)).save(tmp_path / "two.nc")
    with pytest.raises(ConfigError, match=r"of fields of shape \(2, 8, 8\), not \(1, 8, 8\)"):
        Statistics.from_file(tmp_path / "two.nc").known((1, 8, 8), 1.0)


def test_a_file_that_does_not_say_its_shape_is_read(tmp_path):
    Statistics(spectrum=2.0).save(tmp_path / "one.nc")
    statistics = Statistics.from_file(tmp_path / "one.nc")
    assert statistics.shape is None
    assert_close(statistics.known((1, 6, 6), 1.0)[1], torch.full((Fourier((1, 6, 6)).modes,), 2.0, dtype=F64))


def rewritten(path, name, values):
    """Put another variable of its own axes into the place of one."""
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable(name, f"former_{name}")
        for axis, size in enumerate(np.shape(values)):
            file.createDimension(f"other_{axis}", size)
        file.createVariable(name, "f8", [f"other_{axis}" for axis in range(np.ndim(values))])[...] = values


@pytest.mark.parametrize(
    ("name", "values", "error", "message"),
    [
        ("spectrum", np.ones((2, 3)), ConfigError, r"spectrum of shape \(2, 3\) does not fit the basis Fourier of fields"),
        ("mean", np.zeros((3, 8)), ConfigError, r"shape \(3, 8\), which does not broadcast to fields \(1, 8, 8\)"),
        ("spectrum", -np.ones(7), DataError, r"known\.nc: a spectrum of Statistics has entries that are negative"),
    ],
)  # fmt: skip
def test_a_spectrum_or_a_mean_of_the_wrong_shape_is_named(tmp_path, name, values, error, message):
    Statistics.from_samples(SAMPLES).save(tmp_path / "known.nc")
    rewritten(tmp_path / "known.nc", name, values)
    with pytest.raises(error, match=message):
        Statistics.from_file(tmp_path / "known.nc").known((1, 8, 8), 1.0)


@pytest.mark.parametrize(
    "basis", ["fourier", "3", "[1]", '{"basis": "fourier"}', json.dumps({"basis": "fourier", "options": {}, "shape": "wide"})]
)
def test_a_basis_that_makes_no_sense_is_named_with_the_file(tmp_path, basis):
    fields.write_spectrum(tmp_path / "known.nc", np.zeros(()), np.ones(7), basis)
    with pytest.raises(DataError, match=r"known\.nc: its basis .* cannot be understood; write the file anew"):
        Statistics.from_file(tmp_path / "known.nc")


def test_a_data_sets_file_with_a_spectrum_of_the_wrong_shape_is_named(tmp_path):
    described(SAMPLES).save(tmp_path / "data.nc")
    rewritten(tmp_path / "data.nc", "spectrum", np.ones((1, 3)))
    with pytest.raises(
        DataError, match=r"data\.nc: spectrum has shape \(1, 3\); expected \(1, 7\) for axes \(channel, wavenumber\)"
    ):
        Statistics.from_file(tmp_path / "data.nc")


def test_a_file_of_a_spectrum_is_no_file_of_a_data_set(tmp_path):
    Statistics.from_samples(SAMPLES).save(tmp_path / "known.nc")
    with pytest.raises(DataError, match=r"known\.nc is a file of parampi\.Statistics, .*; give the file of the data set"):
        fields.DatasetStatistics.from_file(tmp_path / "known.nc")


def test_a_file_without_a_mean_is_named(tmp_path):
    Statistics.from_samples(SAMPLES).save(tmp_path / "known.nc")
    with netCDF4.Dataset(tmp_path / "known.nc", "a") as file:
        file.renameVariable("mean", "average")
    with pytest.raises(
        DataError, match=r"known\.nc is not a file of parampi\.Statistics: it has no mean; it has average, spectrum"
    ):
        Statistics.from_file(tmp_path / "known.nc")


def test_a_basis_with_options():
    given = Statistics.from_samples(SAMPLES, "cosine", shells="axes")
    basis, variance, _ = given.known((1, 8, 8), 1.0)
    assert basis.shells == 64 and variance.shape == (basis.modes,)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Statistics(spectrum=[1.0, -1.0]), "negative or not finite"),
        (lambda: Statistics(spectrum=[1.0, 2.0]).known((1, 8, 8), 1.0), "give 7 variances of shells or 80 of modes"),
        (lambda: Statistics(mean=torch.ones(5)).known((1, 8, 8), 1.0), r"shape \(5,\), which does not broadcast"),
        (lambda: Statistics(basis=Identity((1, 4))).known((1, 8, 8), 1.0), r"fields of shape \(1, 4\), not \(1, 8, 8\)"),
        (lambda: Statistics.from_samples(torch.ones(1, 1, 8, 8)), "N >= 2"),
        (lambda: Statistics.from_samples(SAMPLES, mean="zero"), "neither 'field' nor 'none'"),
        (lambda: Statistics(basis="wavelet").known((1, 8, 8), 1.0), "no basis 'wavelet'"),
        (lambda: Statistics(basis=Identity((1, 4))).save("x.nc"), "made by hand"),
    ],
)
def test_mistakes(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


def test_files_that_are_none(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        Statistics.from_file(tmp_path / "gone.nc")
    (tmp_path / "text.nc").write_text("no")
    with pytest.raises(DataError, match="cannot be read as NetCDF"):
        Statistics.from_file(tmp_path / "text.nc")
