"""Exponentially fitted quadrature: against adaptive integration, and exact for the polynomials it promises."""

import math

import pytest
import torch
from scipy.integrate import quad

from parampi import sigmas
from parampi.solvers.spectral.quadrature import Fitted

F64 = torch.float64
VARIANCE = torch.tensor([0.0, 1e-6, 1e-2, 1.0, 50.0], dtype=F64)
GRID = sigmas.log_uniform(12, 0.01, 20.0)
orders = pytest.mark.parametrize("order", [2, 4, 6])


def propagator(end: float, start: float, c: float) -> float:
    return math.sqrt((c + end**2) / (c + start**2))


@orders
def test_polynomials_in_log_sigma_are_integrated_exactly(order):
    fitted, lam = Fitted.of(GRID, VARIANCE, order), -torch.log(GRID)
    for i in (0, 1, 5, 10, 11):
        begin = int(fitted.begin[i])
        assert 0 <= begin <= 12 - order
        for degree in range(order):
            rho = lam[begin : begin + order] ** degree
            integral = (fitted.weights[i] * rho[:, None]).sum(0)
            for m, c in enumerate(VARIANCE.tolist()):
                end = float(GRID[i + 1])
                exact = quad(
                    lambda t: t**degree * propagator(end, math.exp(-t), c),  # noqa: B023
                    float(lam[i]), float(lam[i + 1]), epsabs=1e-14, epsrel=1e-13,
                )[0]  # fmt: skip
                assert integral[m] == pytest.approx(exact, rel=1e-9, abs=1e-11)


@orders
def test_points_lie_on_both_sides_where_there_are_some(order):
    begin, half = Fitted.of(GRID, VARIANCE, order).begin.tolist(), order // 2
    for i in range(half - 1, 12 - half):
        assert begin[i] == i - half + 1
    assert begin[0] == 0 and begin[-1] == 12 - order


@orders
def test_gaussian_states_are_passed_on_exactly(order):
    fitted = Fitted.of(GRID, VARIANCE, order)
    total = fitted.passed.prod(0)
    assert torch.allclose(total, ((VARIANCE + GRID[-1] ** 2) / (VARIANCE + GRID[0] ** 2)).sqrt(), rtol=1e-12)


@orders
def test_the_step_to_zero_integrates_polynomials_that_vanish_there(order):
    grid = torch.cat([GRID, torch.zeros(1, dtype=F64)])
    fitted = Fitted.of(grid, VARIANCE, order)
    begin = int(fitted.begin[-1])
    nodes, top = grid[begin : begin + order], float(grid[-2])
    assert fitted.passed[-1, 0] == 0 and not fitted.weights[-1, :, 0].any()
    for degree in range(1, order + 1):
        integral = (fitted.weights[-1] * (nodes**degree)[:, None]).sum(0)
        for m, c in list(enumerate(VARIANCE.tolist()))[1:]:
            exact = quad(lambda s: s ** (degree - 1) * propagator(0.0, s, c), 0, top, epsabs=1e-15, epsrel=1e-12)[0]  # noqa: B023
            assert integral[m] == pytest.approx(exact, rel=1e-6, abs=1e-14)
