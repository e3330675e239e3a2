"""PIADM's parameters against the theorems' formulas."""

import math
from dataclasses import replace

import pytest

from parampi.errors import ConfigError
from parampi.solvers.piadm_parameters import piadm_parameters

DIMS = [2**k for k in range(4, 23, 2)]


def test_every_term_of_the_bound_is_the_square_of_the_tolerance():
    p, delta = piadm_parameters(1000, 0.1), 0.1
    assert p.dim * math.exp(-p.horizon) == pytest.approx(delta**2)
    assert 0.99 * delta**2 < p.dim * p.step * p.horizon <= delta**2 * (1 + 1e-9)
    assert delta**2 / math.e < p.dim * p.horizon * math.exp(-p.sweeps) <= delta**2
    assert p.block_length <= 1 and p.blocks == math.ceil(p.horizon) and p.corrector is None
    assert p.rounds == p.sweeps * p.blocks


def test_every_term_of_the_ode_bound():
    p, delta = piadm_parameters(1000, 0.1, "ode"), 0.1
    assert 0.95 * delta**2 < p.dim * (p.step * p.horizon) ** 2 <= delta**2 * (1 + 1e-9)
    assert delta**2 / math.e < p.dim * p.blocks**2 * math.exp(-p.sweeps) <= delta**2
    assert 0.95 * delta < p.corrector.step * math.sqrt(p.dim) <= delta * (1 + 1e-9)
    assert p.rounds == (p.sweeps + p.corrector.sweeps) * p.blocks


@pytest.mark.parametrize(("kind", "power"), [("sde", 2.0), ("ode", 1.5)])
def test_rounds_and_memory_grow_as_claimed(kind, power):
    """Memory as d^power times logarithms, and rounds as log^2 d."""
    parameters = [piadm_parameters(d, 0.3, kind) for d in DIMS]
    logs = [p.horizon for p in parameters]
    memory = [p.stored_states / p.dim**power / log for p, log in zip(parameters, logs, strict=True)]
    assert max(memory) / min(memory) < 1.6
    rounds = [p.rounds / log**2 for p, log in zip(parameters, logs, strict=True)]
    assert max(rounds) / min(rounds) < 2


def test_grid_and_points():
    p = piadm_parameters(64, 0.4, "ode", corrector_time=0.5, corrector_blocks=2)
    grid = p.grid
    assert len(grid.ends) == p.blocks and len(p.sigmas()) == int(grid.ends[-1]) + 1
    sizes = grid.ends.diff(prepend=grid.ends.new_zeros(1))
    assert p.points == max(int(sizes.max()), p.corrector.steps_per_block)
    assert p.stored_states == 64 * p.points and p.corrector.blocks == 2


def test_factors_and_single_numbers_can_be_overridden():
    p, q = piadm_parameters(256, 0.2), piadm_parameters(256, 0.2, horizon_factor=2, block_length=0.5, sweep_factor=3)
    assert q.horizon == pytest.approx(2 * p.horizon) and q.blocks == math.ceil(4 * p.horizon) and q.sweeps > 3 * p.sweeps
    assert replace(p, sweeps=4, blocks=1).rounds == 4


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0, 0.1), {}, "dim = 0"),
        ((16.0, 0.1), {}, r"dim = 16\.0"),
        ((16, 1.5), {}, r"tolerance = 1\.5"),
        ((16, 0.1, "pde"), {}, "kind = 'pde'"),
        ((16, 0.1), {"friction": 0}, "friction = 0"),
        ((16, 0.1), {"early_stop": 2.0}, r"early_stop = 2\.0"),
        ((16, 0.1), {"sweep_factor": math.nan}, "sweep_factor = nan"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, options, message):
    with pytest.raises(ConfigError, match=message):
        piadm_parameters(*arguments, **options)
