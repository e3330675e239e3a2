"""DPM-Solver++ against its published formulas, written as loops over steps (Lu et al. 2022, arXiv:2211.01095)."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from parampi import sigmas
from parampi.errors import ConfigError
from parampi.samplers import DPMpp2M, DPMpp2MSDE, DPMpp2S, DPMpp3M, DPMppSDE, Euler
from tests.samplers.walk import walk

F64 = torch.float64
GRIDS = {
    "20 steps to 0": sigmas.karras(20),
    "20 steps to 0.02": sigmas.karras(20, 0.02, 50.0, final_zero=False),
    "8 steps": sigmas.log_uniform(8, 0.05, 30.0),
}
every_grid = pytest.mark.parametrize("grid", GRIDS.values(), ids=list(GRIDS))
every_form = pytest.mark.parametrize("form", ["midpoint", "heun"])
START, *NOISES = torch.randn(42, 5, generator=torch.Generator().manual_seed(3), dtype=F64)


def denoise(x, sigma):
    """A denoiser that is no linear map."""
    return torch.tanh(x / (1 + sigma**2).sqrt())


def same(sampler, grid, expected):
    actual = walk(sampler.steps(grid), denoise, float(grid[0]) * START, NOISES)
    torch.testing.assert_close(actual[-1], expected, rtol=1e-12, atol=1e-12)


def weight(form, z):
    return (1 - math.exp(-z)) / 2 if form == "midpoint" else 1 - (1 - math.exp(-z)) / z


def multistep(grid, form, rate, last_orders):
    """Algorithm 2 (rate 1), and its form for the reverse SDE (rate 2); `last_orders`: of the last steps."""
    x, before, count = float(grid[0]) * START, None, len(grid) - 1
    for i in range(count):
        d, ratio = denoise(x, grid[i]), float(grid[i + 1] / grid[i])
        keep = ratio**rate
        order = min(i + 1, 2, *last_orders[count - 1 - i : count - i])
        slope = torch.zeros_like(d)
        if order == 2:
            h, h_before = -math.log(ratio), math.log(grid[i - 1] / grid[i])
            slope = weight(form, rate * h) * (d - before) * h / h_before
        noise = float(grid[i + 1]) * math.sqrt(1 - keep) * NOISES[i] if rate == 2 else 0.0
        x, before = keep * x + (1 - keep) * d + slope + noise, d
    return x


def last_orders(grid, euler_at_final=False, lower_order_final=True):
    """The last step is of order 1 to level 0, where asked for, and of fewer than 15."""
    return [1] if grid[-1] == 0 or euler_at_final or (lower_order_final and len(grid) <= 15) else [2]


@every_grid
@every_form
@pytest.mark.parametrize("options", [{}, {"lower_order_final": False}, {"euler_at_final": True}], ids=repr)
@pytest.mark.parametrize(("kind", "rate"), [(DPMpp2M, 1), (DPMpp2MSDE, 2)])
def test_2m_is_algorithm_2(kind, rate, form, options, grid):
    same(kind(form, **options), grid, multistep(grid, form, rate, last_orders(grid, **options)))


@every_grid
def test_the_solver_of_the_sde_of_order_1(grid):
    same(DPMppSDE(), grid, multistep(grid, "midpoint", 2, [1] * (len(grid) - 1)))


@every_grid
@every_form
def test_2s_is_algorithm_1(form, grid):
    x = float(grid[0]) * START
    for current, following in pairwise(grid):
        d, ratio = denoise(x, current), following / current
        if following == 0:
            x = d
            continue
        h, middle = float(-ratio.log()), (current * following).sqrt()
        u = middle / current * x + (1 - middle / current) * d
        x = ratio * x + (1 - ratio) * d + weight(form, h) * (denoise(u, middle) - d) / 0.5
    same(DPMpp2S(form), grid, x)


@pytest.mark.parametrize(("curvature", "factor"), [("published", 1), ("taylor", 2)])
def test_3m_integrates_a_polynomial_through_three_fields(curvature, factor):
    """For a D that is a parabola of lambda the step is the exact integral, by quadrature, with the curvature of "taylor"."""
    grid = sigmas.log_uniform(20, 0.05, 30.0)
    levels = -grid.log()
    denoised_weight = DPMpp3M(curvature=curvature).steps(grid).denoised_weight
    slope, curve = 0.3, 0.7
    values = 1 + slope * levels + curve * levels**2 / 2
    nodes, weights = (torch.from_numpy(n) for n in np.polynomial.legendre.leggauss(20))
    for i in range(2, 20):
        h = levels[i + 1] - levels[i]
        s = (nodes + 1) * h / 2
        first, second = slope + curve * levels[i], curve * factor / 2
        taken = values[i] + first * s + second * s**2 / 2
        exact = (weights * h / 2 * (s - h).exp() * taken).sum()
        actual = sum(denoised_weight[i, tap] * values[i - tap] for tap in range(3))
        torch.testing.assert_close(actual, exact, rtol=1e-12, atol=0)


def test_lower_orders_at_the_end_of_3m():
    few, many = sigmas.log_uniform(8, 0.05, 30.0), sigmas.log_uniform(20, 0.05, 30.0)
    reads = [[int((row != 0).sum()) for row in DPMpp3M(**o).steps(g).denoised_weight] for g, o in (
        (few, {}), (few, {"lower_order_final": False}), (many, {}), (many, {"euler_at_final": True}),
    )]  # fmt: skip
    assert reads[0] == [1, 2, 3, 3, 3, 3, 2, 1] and reads[1] == [1, 2, 3, 3, 3, 3, 3, 3]
    assert reads[2] == [1, 2] + [3] * 18 and reads[3] == [1, 2] + [3] * 17 + [1]


@pytest.mark.parametrize(
    ("count", "zero", "lower", "pairs"),
    [
        (8, False, False, 4),
        (8, False, True, 3),
        (8, True, False, 3),
        (9, False, False, 4),
        (9, True, True, 4),
        (1, True, True, 0),
    ],
)
def test_stages_on_the_grid_come_in_whole_pairs(count, zero, lower, pairs):
    grid = sigmas.karras(count, final_zero=zero)
    step_map = DPMpp2S(stages="grid", lower_order_final=lower).steps(grid)
    assert torch.equal(step_map.sigmas, grid) and step_map.evaluations == count
    assert step_map.state[:, 1].nonzero().flatten().tolist() == list(range(1, 2 * pairs, 2))


def test_stages_between_levels_are_in_the_middle_of_log_sigma():
    step_map = DPMpp2S().steps(torch.tensor([16.0, 4.0, 1.0, 0.0], dtype=F64))
    assert step_map.sigmas.tolist() == pytest.approx([16, 8, 4, 2, 1, 0])
    assert Euler().steps([1.0, 0.0]).denoised_weight[-1] == step_map.denoised_weight[-1, 0] == 1


@pytest.mark.parametrize("kind", [DPMpp2M, DPMpp2S, DPMpp3M, DPMpp2MSDE])
def test_refuses_another_form(kind):
    with pytest.raises(ConfigError, match=f"{kind.__name__}'s form = 'euler' is not one of 'midpoint', 'heun'"):
        kind("euler")


def test_refuses_other_stages_and_curvatures():
    with pytest.raises(ConfigError, match="stages = 'some' is not one of 'midpoint', 'grid'"):
        DPMpp2S(stages="some")
    with pytest.raises(ConfigError, match="curvature = 'none' is not one of 'published', 'taylor'"):
        DPMpp3M(curvature="none")
