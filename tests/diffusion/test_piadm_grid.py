"""PIADM's noise grid against its definition."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from parampi.diffusion.piadm_grid import block_grid, last_block_steps, piadm
from parampi.errors import ConfigError

F64 = torch.float64


@settings(deadline=None)
@given(
    blocks=st.integers(1, 12), steps=st.integers(1, 40), length=st.floats(0.05, 6.0), early_stop=st.floats(1e-6, 0.04)
)  # fmt: skip
def test_blocks_and_steps_are_those_of_the_definition(blocks, steps, length, early_stop):
    horizon = length * blocks
    grid = block_grid(blocks, steps, horizon, early_stop)
    times, eps = torch.log1p(grid.sigmas**2), length / steps
    assert grid.sigmas.dtype == F64 and bool((grid.sigmas.diff() < 0).all())
    assert torch.equal(grid.sigmas, piadm(blocks, steps, horizon, early_stop))
    assert len(grid.ends) == blocks and int(grid.ends[-1]) == len(times) - 1
    assert float(times[0]) == pytest.approx(horizon, rel=1e-12) and float(times[-1]) == pytest.approx(early_stop, rel=1e-9)
    assert times[grid.ends[:-1]].tolist() == pytest.approx([horizon - length * k for k in range(1, blocks)], rel=1e-9)
    last = times[(blocks - 1) * steps :]
    assert torch.allclose(-times[: (blocks - 1) * steps + 1].diff(), torch.tensor(eps, dtype=F64), rtol=1e-9)
    assert bool((-last.diff() <= eps * last[:-1].clamp(max=1.0) * (1 + 1e-9) + (1e9 if eps >= 1 else 0)).all())
    assert len(last) - 1 == sum(last_block_steps(length, eps, early_stop))


def test_refinement_adds_a_logarithm_of_points():
    """`log(1/early_stop)/eps` points, up to the first order of the step."""
    steps = 1000
    few, more = (len(piadm(3, steps, 3.0, stop)) for stop in (1e-3, 1e-5))
    assert more - few == pytest.approx(steps * math.log(100), rel=2e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 4, 8.0), "blocks = 0"),
        ((2, 2.0, 8.0), r"steps_per_block = 2\.0"),
        ((2, True, 8.0), "steps_per_block = True"),
        ((2, 4, math.inf), "horizon = inf"),
        ((2, 4, -1.0), r"horizon = -1\.0"),
        ((2, 4, 8.0, 0.0), r"early_stop = 0\.0"),
        ((20, 4, 8.0, 0.5), r"early_stop = 0\.5 .* begins at time 0\.4"),
    ],
)
def test_impossible_grids_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        piadm(*arguments)
