"""UniPC's chain of predicted states against predictor and corrector as published (Zhao et al. 2023, arXiv:2302.04867)."""

import math
from itertools import pairwise

import pytest
import torch

from parampi import sigmas
from parampi.errors import ConfigError
from parampi.samplers import UniPC
from tests.samplers.walk import walk

F64 = torch.float64
GRIDS = {
    "12 steps to 0": sigmas.karras(12),
    "12 steps to 0.02": sigmas.karras(12, 0.02, 50.0, final_zero=False),
    "one step": torch.tensor([3.0, 1.0], dtype=F64),
    "two steps to 0": torch.tensor([3.0, 1.0, 0.0], dtype=F64),
}


def denoise(x, sigma):
    """A denoiser that is no linear map."""
    return torch.tanh(x / (1 + sigma**2).sqrt())


def residual(variant, h, fields, places):
    """B(h) times the combination of the differences of `fields` with D_0 that is exact for polynomials, by the paper's linear
    system R rho B(h) = b of dimension len(places); `places` r_m in units of h. The special cases of order 1 are its 1/2."""
    z = -h
    scale = z if variant == "bh1" else math.expm1(z)
    if len(places) == 1:
        rho = torch.tensor([0.5], dtype=F64)
    else:
        phi = math.expm1(z) / z - 1
        rows, right = [], []
        for k in range(1, len(places) + 1):
            rows.append([r ** (k - 1) for r in places])
            right.append(phi * math.factorial(k) / scale)
            phi = phi / z - 1 / math.factorial(k + 1)
        rho = torch.linalg.solve(torch.tensor(rows, dtype=F64), torch.tensor(right, dtype=F64))
    return scale * sum(r * d / place for r, d, place in zip(rho, fields, places, strict=True))


def published(grid, start, variant="bh2", lower_order_final=True, corrector=True):
    """Algorithms 1 and 2 for data prediction: x is the corrected state, once D is known at the predicted one."""
    count, h = len(grid) - 1, [math.log(a / b) if b > 0 else math.inf for a, b in pairwise(grid)]
    orders = [min(i + 1, 2) for i in range(count)]
    if lower_order_final or grid[-1] == 0:
        orders[-1] = 1
    predicted, corrected, known = start, start, []
    for i in range(count):
        d = denoise(predicted, grid[i])
        if i and corrector:
            base = math.exp(-h[i - 1]) * corrected - math.expm1(-h[i - 1]) * known[-1]
            fields, places = [d - known[-1]], [1.0]
            if orders[i - 1] == 2:
                fields, places = [known[-2] - known[-1], *fields], [-h[i - 2] / h[i - 1], *places]
            corrected = base - residual(variant, h[i - 1], fields, places)
        else:
            corrected = predicted
        known.append(d)
        predicted = math.exp(-h[i]) * corrected - math.expm1(-h[i]) * d
        if orders[i] == 2:
            predicted = predicted - residual(variant, h[i], [known[-2] - d], [-h[i - 1] / h[i]])
    return predicted


@pytest.mark.parametrize("grid", GRIDS.values(), ids=list(GRIDS))
@pytest.mark.parametrize("options", [{}, {"lower_order_final": False}, {"corrector": False}], ids=repr)
@pytest.mark.parametrize("variant", ["bh1", "bh2"])
def test_predicted_states_are_a_chain(variant, options, grid):
    start = float(grid[0]) * torch.randn(5, generator=torch.Generator().manual_seed(3), dtype=F64)
    step_map = UniPC(variant, **options).steps(grid)
    actual = walk(step_map, denoise, start, [torch.zeros(5, dtype=F64)] * step_map.steps)
    expected = published(grid, start, variant, **options)
    torch.testing.assert_close(actual[-1], expected, rtol=1e-12, atol=1e-12)
    assert step_map.evaluations == len(grid) - 1


def test_refuses_another_variant():
    with pytest.raises(ConfigError, match="variant = 'bh3' is not one of 'bh1', 'bh2'"):
        UniPC("bh3")
