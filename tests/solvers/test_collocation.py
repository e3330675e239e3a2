"""Collocation: true solutions of the probability-flow equation, orders of convergence, the stop rule, and refusals."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from parampi import ConfigError, Statistics, sample, sigmas
from parampi.bench.known import known_statistics
from parampi.diffusion.exact import FieldMixture, Gaussian, GaussianMixture
from parampi.samplers import Collocation, CollocationEquations, DPMpp2M
from parampi.solvers import SOLVERS, Serial, Spectral
from tests.engines import chain, engine, relative_errors

F64 = torch.float64
REGIMES = FieldMixture(n=16, components=4)
LOWEST, HIGHEST = 0.02, 40.0
orders = pytest.mark.parametrize("order", [2, 4, 6])


def grid(points):
    return sigmas.log_uniform(points, LOWEST, HIGHEST)


def solved(problem, points, order=4, solver=None, tolerance=1e-11, members=2, levels=None, mode="fast"):
    sampling = chain(problem, Collocation(order), grid(points) if levels is None else levels, members, mode)
    run = engine(sampling, solver or Spectral(statistics=known_statistics(problem)), tolerance=tolerance, mode=mode)
    return run.run(), run


def truth(problem, members=2):
    """By an adaptive method, independent of everything here."""
    start = chain(problem, Collocation(), grid(8), members).start()

    def slope(t, flat):
        x = torch.from_numpy(flat).view(start.shape)
        return (problem(x, torch.full((members,), math.exp(-t), dtype=F64)) - x).numpy().ravel()

    span = -math.log(HIGHEST), -math.log(LOWEST)
    solution = solve_ivp(slope, span, start.numpy().ravel(), method="DOP853", rtol=1e-11, atol=1e-11)
    return torch.from_numpy(solution.y[:, -1]).view(start.shape)


@pytest.fixture(scope="module")
def regimes():
    return truth(REGIMES)


@orders
def test_order_of_convergence_with_a_wrong_spectrum(order):
    """Gaussian data of one variance, solved with the model of another: the exact end is known."""
    problem = Gaussian(torch.zeros(1, 2, 3, dtype=F64), 0.3)
    start = chain(problem, Collocation(), grid(8), 2).start()
    exact = start * math.sqrt((0.3 + LOWEST**2) / (0.3 + HIGHEST**2))
    wrong = Spectral(statistics=Statistics(spectrum=2.0, basis="identity"))
    errors = [float(relative_errors(solved(problem, n, order, wrong, 1e-14)[0], exact).max()) for n in (20, 40, 80)]
    rates = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert max(rates) > order - 0.5 and min(rates) > order - 1.0, (errors, rates)


@orders
@pytest.mark.parametrize("last", [LOWEST, 0.0])
def test_gaussian_data_of_known_mean_and_spectrum_are_exact_at_once(order, last):
    problem = FieldMixture(n=16)
    levels = grid(8) if last else torch.cat([grid(7), torch.zeros(1, dtype=F64)])
    known = known_statistics(problem)
    solution, run = solved(problem, 8, order, levels=levels, tolerance=1e-8)
    start = chain(problem, Collocation(), levels, 2).start()
    modes = run.iteration.model
    z = modes.basis.forward(start) - modes.mean
    exact = modes.basis.inverse(z * ((modes.variance + last**2) / (modes.variance + HIGHEST**2)).sqrt() + modes.mean)
    assert relative_errors(solution, exact).max() < 1e-12 and (run.history.rounds <= 2).all() and known is not None


def test_the_true_solution_in_few_rounds(regimes):
    """The error that 2M has after 50 evaluations, and a tenth of it, with 24 points."""
    solution, run = solved(REGIMES, 24, 4, tolerance=1e-5)
    serial = engine(chain(REGIMES, DPMpp2M(), grid(50), 2), Serial()).run()
    assert relative_errors(solution, regimes).max() < 0.3 * relative_errors(serial, regimes).max()
    assert (run.history.rounds <= 8).all()


@pytest.mark.slow
def test_more_points_and_higher_orders_are_nearer(regimes):
    errors = {key: relative_errors(solved(REGIMES, *key)[0], regimes).max() for key in ((24, 4), (48, 4), (48, 6), (48, 2))}
    assert errors[48, 4] < errors[24, 4] / 5 and errors[48, 6] < errors[48, 4] < errors[48, 2]


def test_down_to_zero():
    """Where the last step goes to 0, rho vanishes with sigma: data are reached to the same order."""
    problem = Gaussian(torch.zeros(1, 2, 3, dtype=F64), 0.3)
    wrong = Spectral(statistics=Statistics(spectrum=2.0, basis="identity"))
    start = chain(problem, Collocation(), grid(8), 2).start()
    exact = start * math.sqrt(0.3 / (0.3 + HIGHEST**2))
    levels = torch.cat([grid(63), torch.zeros(1, dtype=F64)])
    assert relative_errors(solved(problem, 0, 4, wrong, 1e-13, levels=levels)[0], exact).max() < 2e-6


@pytest.mark.slow
@pytest.mark.parametrize("problem", [REGIMES, GaussianMixture()], ids=["regimes", "mixture"])
def test_ends_within_tolerance_of_the_fixed_point(problem):
    limit, _ = solved(problem, 20, tolerance=1e-13, members=6)
    for tolerance in (1e-1, 1e-2, 1e-3, 1e-5):
        solution, run = solved(problem, 20, tolerance=tolerance, members=6)
        assert (relative_errors(solution, limit) <= tolerance).all(), tolerance
        assert (run.history.error_estimate <= tolerance).all() and (run.history.rounds < 12).all(), tolerance


def test_members_are_drawn_one_by_one():
    batched, run = solved(REGIMES, 16, members=[4, 0, 7], tolerance=1e-3, mode="bitwise")
    for column, number in ((0, 4), (2, 7)):
        alone, other = solved(REGIMES, 16, members=[number], tolerance=1e-3, mode="bitwise")
        assert torch.equal(alone[0], batched[column])
        assert other.history.rounds[0] == run.history.rounds[column]
        assert other.history.error_estimate[0] == run.history.error_estimate[column]


def test_sample_takes_the_solver_that_can():
    drawn = sample(REGIMES, REGIMES.shape, 2, grid(12), Collocation(), tol=1e-3)
    assert drawn.report.rounds < 12 and np.isfinite(drawn.fields.numpy()).all()


def test_refusals():
    with pytest.raises(ConfigError, match=r"order = 3 is not one of 2, 4, 6"):
        Collocation(3)
    with pytest.raises(ConfigError, match=r"order 6 reads 6 points at each step, but there are only 5 steps; take more"):
        Collocation(6).steps(grid(5))
    with pytest.raises(ConfigError, match=r"window = 4 is shorter than the 12 points of Collocation.*leave the window out"):
        engine(chain(REGIMES, Collocation(), grid(12)), Spectral(), window=4)
    for kind in SOLVERS.distinct().values():
        if CollocationEquations not in kind.solves:
            with pytest.raises(ConfigError, match=f"both sides, which {kind.__name__} cannot solve; take the solver Spectral"):
                engine(chain(REGIMES, Collocation(), grid(12)), kind())
