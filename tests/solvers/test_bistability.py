"""Members that stand between two outcomes: what is learned of the growth of their errors, and what follows."""

import numpy as np
import pytest
import torch

import parampi
from parampi.bench.rounds import relative
from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.mixtures import DiagonalMixture
from parampi.diffusion.sigmas import karras
from parampi.engine import EngineOptions, SamplingProblem, engine_for
from parampi.parallel import SerialGroup
from parampi.samplers import DDPM, EDM
from parampi.solvers import Picard, Serial, Spectral
from parampi.solvers.share_rule.bistability import FLAGGED, MOST_CAUTIOUS, POWER, Bistability

F64 = torch.float64
MODES = torch.full((1, 8, 1), 5.0, dtype=F64)
FAR = DiagonalMixture((1, 8, 1), torch.stack([MODES, -MODES]), torch.full((1, 1, 8, 1), 0.01, dtype=F64))
"""Two modes, far apart in all of eight directions, all signs equal."""


def observed(shares, effects=1e-3, tolerance=1e-1):
    """What is known of one member after a sweep whose changes had these effects, and one that showed these shares."""
    points = len(shares)
    shown = Bistability.of(np.full((points, 2), 0.25), tolerance, 1)
    steps, inside = np.arange(points)[:, None], np.ones((points, 1), np.bool_)
    nothing = np.zeros((points, 1))
    shown.observe(nothing, inside, np.full((points, 1), effects), steps=steps, inside=inside)
    shown.observe(np.array(shares)[:, None], inside, nothing, steps=steps, inside=inside)
    return shown


def test_shares_up_to_the_worst_case_mean_nothing():
    shown = observed([1.0, 0.2, 0.9])
    assert shown.total()[0] == 0 and shown.caution()[0] == 1 and shown.points()[0] == -1


def test_growth_is_the_product_over_the_steps_and_asks_for_caution():
    shown = observed([0.5, 1.2, 1.4])
    assert np.exp(shown.total()[0]) == pytest.approx(1.1 * 1.2)
    assert shown.caution()[0] == pytest.approx((1.1 * 1.2) ** POWER)
    assert shown.points()[0] == -1


def test_members_whose_errors_grow_more_are_bistable_where_the_growth_was_largest():
    shown = observed([0.5, 5.0, 1.4])
    assert shown.total()[0] > FLAGGED and shown.points()[0] == 1
    assert shown.caution()[0] == pytest.approx(MOST_CAUTIOUS)


@pytest.mark.parametrize(("effects", "tolerance"), [(2e-2, 1e-1), (1e-6, 1e-1), (1e-6, 1e-4)])
def test_large_changes_and_rounding_mean_nothing_and_small_tolerances_resolve_outcomes(effects, tolerance):
    assert observed([0.5, 5.0, 1.4], effects, tolerance).points()[0] == -1


def test_the_state_goes_on():
    shown = observed([0.5, 5.0, 1.4])
    other = Bistability.of(np.full((3, 2), 0.25), 1e-1, 1)
    other.load(shown.state())
    assert (other.total() == shown.total()).all() and (other.effects == shown.effects).all()


def ended(solver, sampler, sigmas, tolerance):
    """Which members end above the tolerance, and which are flagged."""
    network, members = BatchedDenoiser(FAR, batch=256), torch.arange(64)
    chain = SamplingProblem(network, sampler.steps(sigmas), members, FAR.shape, sigma_data=FAR.sigma_data)
    serial = engine_for(chain, Serial(), SerialGroup()).run()
    engine = engine_for(chain, solver, SerialGroup(), EngineOptions(tolerance=tolerance))
    above = relative(engine.run(), serial).numpy() > tolerance
    return above, engine.history.bistable


@pytest.mark.parametrize(
    ("sampler", "sigmas", "before"),
    [
        pytest.param(DDPM(), karras(50, 0.02, 80.0), 14, id="ddpm"),
        pytest.param(EDM(), karras(18), 12, id="edm", marks=pytest.mark.slow),
    ],
)
def test_members_between_far_modes_are_held_or_flagged(sampler, sigmas, before):
    """At a tolerance of 1e-1 so many members ended in the other mode `before`, none of them flagged."""
    above, levels = ended(Spectral(), sampler, sigmas, 1e-1)
    assert above.sum() <= before / 2 and (above & (levels == 0)).sum() <= before / 4
    assert 0 < (levels > 0).mean() < 0.5 and (levels[levels > 0] < 80).all()


@pytest.mark.slow
def test_picard_tells_them_too():
    above, levels = ended(Picard(), DDPM(), karras(50, 0.02, 80.0), 1e-1)
    assert not (above & (levels == 0)).any() and 0 < (levels > 0).mean() < 0.2


def test_small_tolerances_flag_nobody():
    above, levels = ended(Spectral(), DDPM(), karras(50, 0.02, 80.0), 1e-4)
    assert above.sum() <= 1 and not levels.any()


def test_reports_tell_who_stood_between_two_outcomes():
    drawn = parampi.sample(FAR, FAR.shape, 16, karras(50, 0.02, 80.0), DDPM(), Spectral(), tol=1e-1, sigma_data=FAR.sigma_data)
    flagged = [member.member for member in drawn.report.members if member.bistable]
    assert flagged and drawn.report.bistable == flagged
    assert f"{len(flagged)} members stood between two outcomes" in drawn.report.summary()
