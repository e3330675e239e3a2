"""Chains of few points: their ends are within the tolerance, although sweeps can show little."""

import numpy as np
import torch

from parampi import samplers, sigmas
from parampi.bench.families import FAMILIES
from parampi.bench.rounds import relative
from parampi.diffusion.batched import BatchedDenoiser
from parampi.engine import EngineOptions, SamplingProblem, engine_for
from parampi.parallel import SerialGroup
from parampi.solvers import ParaTAA, Serial
from tests import forecasts
from tests.engines import relative_errors

MEMBERS = 48
PROMISED, UNLIKELY = 0.01, 1e-3
"""Share of members that may end above, and with what probability so many do if no more are expected."""

CASES = (
    ("heavy vectors", samplers.DDPM().steps(sigmas.karras(7, 3e-5, 80.0)), 6e-2),
    ("heavy vectors", samplers.EulerAncestral().steps(sigmas.log_uniform(9, 1e-3, 80.0)), 3e-2),
    ("far modes, every direction", samplers.EulerAncestral().steps(sigmas.karras(6, 1e-3, 80.0)), 5e-2),
    ("near modes, unlike weights", samplers.DDPM().steps(sigmas.karras(5, 1e-3, 80.0)), 8e-2),
    ("anisotropic field", samplers.DPMpp3M().steps(sigmas.vp_cosine(6)), 1e-3),
    ("layers", samplers.DPMpp2MSDE().steps(sigmas.log_uniform(10, 7e-3, 80.0)), 5e-3),
    ("mixture", samplers.DDIM().steps(sigmas.vp_linear(8)), 5e-3),
)


def errors_of(family, step_map, tolerance):
    """Errors relative to the members' own norms, in tolerances."""
    problem = FAMILIES[family]()
    shape = tuple(problem.shape)
    chain = SamplingProblem(BatchedDenoiser(problem, batch=256), step_map, torch.arange(MEMBERS), shape)
    serial = engine_for(chain, Serial(), SerialGroup()).run()
    engine = engine_for(chain, ParaTAA(), SerialGroup(), EngineOptions(tolerance=tolerance))
    return relative(engine.run(), serial).numpy() / tolerance


def most_above(members):
    """The fewest members above that are as unlikely as UNLIKELY, by the binomial distribution."""
    above, left, probability = 0, 1.0, (1 - PROMISED) ** members
    while left > UNLIKELY:
        left -= probability
        above += 1
        probability *= (members - above + 1) / above * PROMISED / (1 - PROMISED)
    return above


def test_members_of_short_chains_end_within_the_tolerance():
    """One in a hundred may be above. Of these 336 it was 105, by up to 6.9 times, when a share that was small because mixing
    had cancelled what the linear model lacks was believed of sweeps in which it did not."""
    errors = np.concatenate([errors_of(*case) for case in CASES])
    assert (errors > 1).sum() < most_above(len(errors)), np.sort(errors)[-20:]


def test_short_lead_times_end_within_the_tolerance(monkeypatch):
    """The same of lead times: all that knew of one before were above with 3 and 4 points, as they believe small shares
    sooner."""
    above, count = 0, 0
    for points, tolerance in ((3, 1e-1), (4, 1e-1), (4, 3e-2)):
        monkeypatch.setattr(forecasts, "GRID", sigmas.karras(points, 0.05, 5.0))
        problem = forecasts.chain(forecasts.DDIM(), members=16, count=3, mode="fast")
        drawn = forecasts.fields(problem, forecasts.advanced(problem, ParaTAA(), None, 1, tol=tolerance, mode="fast")[1])
        serial = forecasts.serial_from_used(problem, drawn)
        above += int((relative_errors(drawn.flatten(0, 1), serial.flatten(0, 1)) > tolerance).sum())
        count += drawn.shape[0] * drawn.shape[1]
    assert above < most_above(count), (above, count)
