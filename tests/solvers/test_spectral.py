"""The spectral solver beyond what all solvers promise: what knowledge of the data buys, and that none of it can hurt much."""

import pytest
import torch

from parampi import ConfigError, Statistics, sigmas
from parampi.basis import Fourier
from parampi.bench.known import known_statistics
from parampi.diffusion.exact import FieldMixture, GaussianMixture
from parampi.diffusion.mixtures import PixelMixture
from parampi.samplers import DDIM, DDPM, SAMPLERS
from parampi.solvers import Picard, Serial, Spectral
from tests.engines import fast_chain as chain
from tests.engines import fast_engine as engine
from tests.engines import relative_errors

F64 = torch.float64
GRID = sigmas.vp_linear(30)
SHAPE = (2, 8, 8)
REGIMES = FieldMixture(n=16, components=4)


class Diagonal:
    """Gaussian data that are independent in the modes of a basis: the exact denoiser of any spectrum."""

    sigma_data = 1.0

    def __init__(self, shape, variance):
        self.shape, self.basis, self.variance = shape, Fourier(shape), variance

    def __call__(self, x, sigma):
        squares = sigma.to(F64).view(-1, 1) ** 2
        return self.basis.inverse(self.variance / (self.variance + squares) * self.basis.forward(x.to(F64))).to(x.dtype)


class LogNormal:
    """Independent data exp(s z - s^2 / 2) - 1 at every point, z standard normal, by quadrature: heavy-tailed and skew."""

    shape = (1, 6, 6)
    sigma_data = 1.0

    def __init__(self, s=0.8, points=81):
        z = torch.linspace(-5, 5, points, dtype=F64)
        self.values = torch.exp(s * z - s**2 / 2) - 1
        self.logs = -(z**2) / 2

    def __call__(self, x, sigma):
        flat, noise = x.to(F64).reshape(len(x), -1, 1), sigma.to(F64).view(-1, 1, 1)
        weights = torch.softmax(self.logs - (flat - self.values) ** 2 / (2 * noise**2), dim=2)
        return (weights * self.values).sum(2).reshape(x.shape).to(x.dtype)


def anisotropic():
    basis = Fourier(SHAPE)
    ky, kx = basis.wavevector
    return Diagonal(SHAPE, 4 / (1 + 16 * ky**2 + kx**2))


def scales():
    """Channels whose variances differ by a million."""
    basis = Fourier(SHAPE)
    channel = torch.arange(basis.modes) // (basis.modes // 2)
    return Diagonal(SHAPE, torch.where(channel == 0, 1.0, 1e-6).to(F64) / (1 + (basis.wavevector**2).sum(0)))


def wrong(problem, factor):
    known = known_statistics(problem)
    return Statistics(known.mean, known.spectrum * factor, known.basis)


FAMILIES = {
    "bimodal": (GaussianMixture(dim=8, components=2, variance=0.1), None),
    "anisotropic": (anisotropic(), None),
    "channel scales": (scales(), None),
    "log-normal": (LogNormal(), None),
    "spectrum ten times too large": (REGIMES, wrong(REGIMES, 10.0)),
    "spectrum ten times too small": (REGIMES, wrong(REGIMES, 0.1)),
    "regimes": (REGIMES, known_statistics(REGIMES)),
}
families = pytest.mark.parametrize("family", FAMILIES)
etas = pytest.mark.parametrize("eta", [0.0, 1.0])


def rounds_to(run, reference, error):
    """The first round (m,) after which the tail is that close to the serial run."""
    first = torch.zeros(len(reference), dtype=torch.int64)
    while not run.finished and not first.all():
        run.advance()
        close = relative_errors(run.tail, reference) <= error
        first = torch.where((first == 0) & close, len(run.history.log), first)
    assert first.all()
    return first


@pytest.mark.slow
@etas
@families
def test_never_many_more_rounds_than_picard(family, eta):
    problem, statistics = FAMILIES[family]
    sampling = chain(problem, DDIM(eta), GRID, members=4)
    reference = engine(sampling, Serial()).run()
    ours = rounds_to(engine(sampling, Spectral(statistics=statistics), tolerance=1e-9), reference, 1e-3)
    theirs = rounds_to(engine(sampling, Picard(), tolerance=1e-9), reference, 1e-3)
    assert (ours <= theirs + 1).all(), (ours, theirs)


@etas
def test_gaussian_data_of_known_spectrum_need_one_round(eta):
    for problem in (FieldMixture(n=16), anisotropic()):
        basis = Fourier(problem.shape)
        variance = problem.variance if isinstance(problem, Diagonal) else known_statistics(problem).spectrum
        statistics = Statistics(spectrum=variance, basis=basis)
        run = engine(chain(problem, DDIM(eta), GRID, members=2), Spectral(statistics=statistics), tolerance=1e-6)
        run.run()
        assert (run.history.rounds == 1).all()


@pytest.mark.slow
@etas
def test_knowledge_and_secants_pay(eta):
    sampling = chain(REGIMES, DDIM(eta), sigmas.vp_linear(60), members=4)
    reference = engine(sampling, Serial()).run()

    def total(solver):
        return int(rounds_to(engine(sampling, solver, tolerance=1e-9), reference, 1e-3).sum())

    known = known_statistics(REGIMES)
    best, plain, picard = total(Spectral(statistics=known)), total(Spectral(statistics=known, secants=False)), total(Picard())
    assert best <= plain and best < total(Spectral()) < picard


@pytest.mark.slow
@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("window", [None, 8])
@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "heun", "dpmpp_2m", "edm"])
def test_the_error_is_within_the_tolerance_and_the_estimate_too(sampler, window, tolerance):
    sampling = chain(REGIMES, SAMPLERS[sampler](), GRID, members=4)
    reference = engine(sampling, Serial()).run()
    run = engine(sampling, Spectral(statistics=known_statistics(REGIMES)), window, tolerance)
    assert (relative_errors(run.run(), reference) <= tolerance).all()
    assert (run.history.error_estimate <= tolerance).all()


def test_it_learns_no_secants_of_single_points_whatever_their_number():
    """In small and in large batches, and in bitwise mode, where modes that are the fields themselves are copied or are not."""
    problem = GaussianMixture(components=2, variance=0.1)
    few = [
        engine(chain(problem, DDIM(), GRID, members=4), Spectral(basis="identity"), mode=mode) for mode in ("fast", "bitwise")
    ]
    many = engine(chain(problem, DDIM(), GRID, members=100), Spectral(basis="identity"))
    plain = engine(chain(problem, DDIM(), GRID, members=4), Spectral(basis="identity", secants=False))
    torch.testing.assert_close(few[0].run(), few[1].run(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(plain.run(), many.run()[:4], rtol=1e-9, atol=1e-9)
    assert few[0].history.rounds.tolist() == few[1].history.rounds.tolist() == plain.history.rounds.tolist()
    assert many.history.rounds[:4].tolist() == plain.history.rounds.tolist()


def test_members_between_narrow_far_modes_of_vectors_end_where_they_should():
    """All modes at +-5 in each of 8 entries; slopes learned of single numbers left 4 of 64 members in the other mode."""
    modes = PixelMixture((8,), (-5.0, 5.0), (1e-4, 1e-4), (0.5, 0.5))
    members = chain(modes, DDPM(), sigmas.karras(50, 0.02, 80.0), members=64)
    run = engine(members, Spectral(), tolerance=1e-3)
    assert (relative_errors(run.run(), engine(members, Serial()).run()) <= 1e-3).all()


def test_options():
    with pytest.raises(ConfigError, match=r"safety = 0\.5 is below 1"):
        Spectral(safety=0.5)
    with pytest.raises(ConfigError, match=r"statistics are dict; give parampi\.Statistics or a path"):
        Spectral(statistics={})
    with pytest.raises(ConfigError, match="basis = 'cosine' is not the one of its statistics, 'fourier'"):
        Spectral("cosine", known_statistics(REGIMES)).bind(REGIMES.shape, 1.0)
