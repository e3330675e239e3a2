"""What the stop rule of spectral sweeps counts: points that are read again, the member's own norm, the variance learned."""

import numpy as np
import pytest
import torch

from parampi.bench.families import FAMILIES, statistics_of
from parampi.bench.known import known_statistics
from parampi.bench.rounds import relative
from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.exact import FieldMixture
from parampi.diffusion.sigmas import karras, log_uniform, vp_linear
from parampi.engine import EngineOptions, SamplingProblem, engine_for
from parampi.parallel import SerialGroup
from parampi.samplers import DDIM, EDM, Heun
from parampi.solvers import Serial, Spectral
from parampi.solvers.share_rule.error_accumulator import DEPENDENT, ErrorAccumulator, spent_in_stretches
from parampi.solvers.spectral import bands
from parampi.solvers.spectral.sensitivity import Sensitivity
from parampi.solvers.spectral.stop_rule import LARGEST, SpectralStopRule

F64 = torch.float64


def responses_of(step_map, variances):
    squares = step_map.sigmas[:-1] ** 2
    return torch.stack([v / (v + squares) for v in variances])


def test_a_point_that_a_later_step_reads_again_counts_there_too():
    """A window of one point: what its change costs is what both steps that read it make of it."""
    step_map = Heun().steps(karras(4))
    chain = Sensitivity.of(step_map, responses_of(step_map, [1.0]))
    first, inside = np.array([2]), np.ones((1, 1), np.bool_)
    learned = chain.learned(first, inside, np.ones((1, 1, 1)), np.zeros((1, 1)))
    carried = chain.carried(np.array([[2]]), np.ones((1, 1, 1)), learned)
    weights, passed = step_map.denoised_weight.abs().numpy(), np.abs(chain.passed[:, 0])
    assert carried[0, 0, 0] == pytest.approx(weights[2, 0] * passed[3] + weights[3, 1] * passed[4], rel=2e-2)
    assert weights[3, 1] > 0


def test_growth_beyond_the_window_is_that_of_the_variance_that_was_learned():
    step_map = DDIM(0.0).steps(log_uniform(40, 0.01, 80.0))
    white, red = (Sensitivity.of(step_map, responses_of(step_map, [v])) for v in (1.0, 400.0))
    first, inside = np.array([5]), np.ones((3, 1), np.bool_)
    ratio = red.response[5:8][:, None] / white.response[5:8][:, None]
    learned = white.learned(first, inside, ratio, np.zeros((3, 1)))
    assert np.allclose(learned[:4, 0, 0], np.abs(red.passed[5:9, 0]), rtol=2e-2)
    unknown = white.learned(first, inside, np.ones((3, 1, 1)), np.zeros((3, 1)))
    assert np.allclose(unknown[:4, 0, 0], np.abs(white.passed[5:9, 0]), rtol=2e-2)


def test_errors_add_within_stretches_and_in_squares_over_them():
    accumulator = ErrorAccumulator.empty(1, 1, 2)
    for point in range(4):
        lost, first = np.ones((1, 1, 1)), np.array([point])
        after = accumulator.after(lost, first)
        accumulator.enter(lost, np.array([0.5]), first, np.array([1]))
        assert accumulator.total() == pytest.approx(after[0])
    assert accumulator.total()[0] == pytest.approx(DEPENDENT * 4 + (1 - DEPENDENT) * 8**0.5)
    assert accumulator.relative_to(np.array([0.25]))[0] == pytest.approx(2 * accumulator.total()[0])
    assert spent_in_stretches(np.arange(5.0), 2)[-1] == 1.0


def ended(family: str, step_map, window: int | None, tolerance: float, members: int):
    """Errors relative to the member's own field, and estimates."""
    problem = FAMILIES[family]()
    network, numbers, shape = BatchedDenoiser(problem, batch=256), torch.arange(members), tuple(problem.shape)
    chain = SamplingProblem(network, step_map, numbers, shape, sigma_data=problem.sigma_data)
    serial = engine_for(chain, Serial(), SerialGroup()).run()
    solver = Spectral(statistics=statistics_of(family))
    engine = engine_for(chain, solver, SerialGroup(), EngineOptions(tolerance=tolerance, window=window))
    return relative(engine.run(), serial).numpy(), engine.history.error_estimate


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "step_map", "window", "tolerance"),
    [
        pytest.param("far modes, every direction", Heun().steps(log_uniform(100, 4e-5, 80.0)), 4, 1e-4, id="read-again"),
        pytest.param("square waves", EDM().steps(log_uniform(60, 1e-3, 80.0)), 4, 2e-4, id="read-again-with-noise"),
        pytest.param("heavy vectors", DDIM(0.0).steps(vp_linear(100)), 16, 1e-3, id="norm"),
        pytest.param("heavy white fields", DDIM(1.0).steps(vp_linear(30)), 16, 3e-3, id="norm-with-noise"),
    ],
)
def test_members_end_within_the_tolerance_of_their_own_norm(family, step_map, window, tolerance):
    """Many or all of the members ended above it, by up to 560 times, while the rule did not count what the names say. One of
    24 may: the rule estimates, and of heavy vectors 4 in 100 end above."""
    errors, estimates = ended(family, step_map, window, tolerance, 24)
    assert (errors <= tolerance).mean() > 0.95, errors / tolerance
    assert np.median(estimates / errors) < 60


@pytest.mark.parametrize("most", [bands.MOST, 5])
def test_points_inherit_the_variance_that_windows_show(monkeypatch, most):
    """Without statistics, fields whose large scales are strong keep to the tolerance in small windows, for few rounds more than
    with their statistics; with the white model's guesses the errors of large scales had one sign, and added up.
    Five bands of the 12 shells do as well."""
    monkeypatch.setattr(bands, "MOST", most)
    problem, tolerance = FieldMixture(n=16), 1e-2
    network = BatchedDenoiser(problem, batch=256)
    chain = SamplingProblem(network, DDIM(1.0).steps(vp_linear(200)), torch.arange(4), tuple(problem.shape))
    serial = engine_for(chain, Serial(), SerialGroup()).run()
    rounds = {}
    for name, solver in {"known": Spectral(statistics=known_statistics(problem)), "unknown": Spectral()}.items():
        engine = engine_for(chain, solver, SerialGroup(), EngineOptions(tolerance=tolerance, window=8))
        assert (relative(engine.run(), serial) <= 0.5 * tolerance).all()
        rounds[name] = engine.history.rounds
    learned = engine.iteration.learned
    assert learned.shape[1] == min(most, 12)
    learned = engine.iteration.inherited(learned.device)
    assert (learned[:, 1] > 2).all() and (learned[:, -1] < 0.5).all(), learned
    assert (rounds["unknown"] <= 1.6 * rounds["known"]).all()


def test_fields_that_are_far_too_large_are_not_believed():
    one = torch.ones(1, dtype=F64)
    rule = SpectralStopRule.of(DDIM(0.0).steps(vp_linear(10)), one, one, size=1.0, tolerance=1e-2, safety=2.0)
    first, lengths = np.zeros(3, np.int64), np.full(3, 10)
    squares = np.tile([0.0, 4.0, 1e8], (10, 1))
    small, usual, large = rule.sizes(squares, first, lengths)
    assert 0 < small < usual < 2.1 and large == LARGEST
