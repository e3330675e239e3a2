"""The ladder for step maps that read several points, made up for the purpose: rungs 2, 3, 4, 5 (ranks as threads) and 6."""

import threading
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.exact import Gaussian, GaussianMixture
from parampi.engine import EngineOptions, SamplingProblem, engine_for
from parampi.errors import NonFiniteError
from parampi.parallel import SerialGroup
from parampi.samplers import StepMap
from parampi.solvers import Newton, Picard, Serial, Solver
from parampi.solvers.stop_rules import VARIANCES
from tests.crew import crew
from tests.engines import GAUSSIAN, states, swept
from tests.stencils import heun, langevin, levels, loops, multistep, random_stencil, stencils

pytestmark = pytest.mark.usefixtures("hostile")

F64 = torch.float64
SMALL = GaussianMixture(dim=16, components=3)
MEMBERS = [0, 5]
STENCILS = stencils()
PICARDS = [Picard(), Picard("block"), Picard("window", "identity", "constant"), Picard("block", "data", "frozen")]

every_stencil = pytest.mark.parametrize("step_map", STENCILS.values(), ids=list(STENCILS))
every_picard = pytest.mark.parametrize("solver", PICARDS, ids=str)
some = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def step_maps(draw, most=12):
    steps = draw(st.integers(1, most))
    taps, noises = draw(st.integers(1, min(4, steps + 1))), draw(st.integers(1, 3))
    blind, stochastic = draw(st.sampled_from([0.0, 0.5])), draw(st.booleans())
    return random_stencil(draw(st.integers(0, 999)), steps, taps, noises, blind, stochastic)


def chain(step_map, members=MEMBERS, problem=SMALL, mode="bitwise", dtype=F64, seed=0):
    network = BatchedDenoiser(problem, padded=mode == "bitwise")
    return SamplingProblem(network, step_map, torch.tensor(members), problem.shape, seed, problem.sigma_data, dtype)


def engine(step_map, solver, window=None, tolerance=1e-3, group=None, **options):
    mode = options.get("mode", "bitwise")
    return engine_for(chain(step_map, **options), solver, group or SerialGroup(), EngineOptions(window, tolerance, mode))


# Rung 2


@every_stencil
@pytest.mark.parametrize("dtype", [torch.float32, F64], ids=str)
def test_the_serial_solver_is_the_plain_loop_bit_for_bit(step_map, dtype):
    run, expected = engine(step_map, Serial(), dtype=dtype, seed=3), loops(SMALL, step_map, MEMBERS, dtype=dtype, seed=3)
    for i in range(step_map.steps):
        assert torch.equal(run.result, expected[i])
        run.advance()
    assert run.finished and torch.equal(run.result, expected[-1]) and run.result.dtype == dtype


@some
@given(step_maps(), st.sampled_from(PICARDS), st.sampled_from(["bitwise", "fast"]))
def test_a_window_of_one_point_is_the_plain_loop_bit_for_bit(step_map, solver, mode):
    members = MEMBERS if mode == "bitwise" else MEMBERS[:1]
    expected = loops(SMALL, step_map, members)[-1]
    assert torch.equal(engine(step_map, solver, window=1, mode=mode, members=members).run(), expected)


# Rung 3


@every_stencil
@every_picard
def test_after_k_sweeps_the_first_k_points_are_serial(step_map, solver):
    expected, run = loops(SMALL, step_map, MEMBERS), engine(step_map, solver)
    for k in range(1, step_map.steps + 1):
        swept(run)
        assert torch.equal(states(run)[: k + 1], expected[: k + 1])


@some
@given(step_maps(), st.sampled_from(PICARDS), st.integers(1, 12), st.sampled_from(["bitwise", "fast"]))
def test_frozen_points_are_serial_when_nothing_may_be_lacking(step_map, solver, window, mode):
    """With windows that slide, denoised fields behind the window are read again, exactly as the network gave them. In fast mode
    a batch of another size is another sum, so that they agree to rounding there."""
    expected, rounding = loops(SMALL, step_map, MEMBERS), 0.0 if mode == "bitwise" else 1e-10
    run = engine(step_map, solver, window, tolerance=1e-300, mode=mode, members=MEMBERS)
    for k in range(1, step_map.steps + 1):
        if not run.finished:
            run.advance()
        assert (run.first >= k).all()
        for m, point in enumerate(run.first):
            assert (run.result[m] - expected[point, m]).abs().max() <= rounding * expected[: point + 1, m].abs().max()


@pytest.mark.parametrize("solver", PICARDS[:2], ids=str)
def test_denoised_fields_behind_the_window_are_those_of_the_frozen_points(solver):
    """Where points were frozen while they still moved, the field is corrected by the response the linear model assumes; that
    leaves less than the tolerance allowed for."""
    step_map = STENCILS["three taps"]
    for tolerance, allowed in ((1e-300, 0.0), (1e-2, 1e-2)):
        run = engine(step_map, solver, 4, tolerance)
        while not run.finished:
            run.advance()
            behind = run.denoised.rows[: step_map.taps - 1]
            for m, first in enumerate(run.first):
                for row, point in enumerate(range(first - len(behind), first)):
                    if point < 0:
                        assert not behind[row, m].any()
                    elif step_map.evaluated[point]:
                        x = run.slice.window.x[row, m]
                        expected = SMALL(x[None], step_map.sigmas[point][None])[0]
                        assert ((behind[row, m] - expected).abs() <= allowed).all()


# Rung 4


@every_stencil
@every_picard
def test_started_at_the_answer_nothing_changes(step_map, solver):
    expected, run = loops(SMALL, step_map, MEMBERS), engine(step_map, solver)
    n = len(states(run)) - 1
    states(run)[:] = expected[: n + 1]
    for _ in range(2):
        assert not swept(run)[:3].any()
        assert torch.equal(states(run), expected[: n + 1])
    run.advance()
    assert (run.first == n).all() and not run.history.residual.any() and not run.history.error_estimate.any()


@pytest.mark.parametrize("mode", ["bitwise", "fast"])
def test_a_point_that_moved_shows(mode):
    """At that point, and at no point before it."""
    step_map = STENCILS["three taps"]
    run = engine(step_map, Picard(), mode=mode)
    states(run)[:] = loops(SMALL, step_map, MEMBERS)
    states(run)[6, 1] += 1e-3
    changes = swept(run)[0]
    rounding = 0.0 if mode == "bitwise" else 1e-14
    assert (changes[:, 0] <= rounding).all() and (changes[:6, 1] <= rounding).all() and changes[6, 1] > 1e-7


# Rung 5: ranks are threads here; over MPI they are in ranks/


def facts(run):
    """What must not depend on the ranks."""
    history = run.history
    numbers = np.stack([history.rounds, history.evaluations, history.residual, history.error_estimate])
    return [run.result, torch.from_numpy(numbers), *(torch.from_numpy(done.changes) for done in history.log)]


def on_ranks(size, *arguments, **options):
    """An engine that has run on ranks, rank 0's."""

    def work(group):
        run = engine(*arguments, **options, group=group)
        run.run()
        return run

    return crew(size, work)[0]


@pytest.mark.parametrize(
    ("ranks", "solver", "window"),
    [(2, Picard("block", "identity"), 5), (5, Picard("window", "gaussian", "frozen"), 4), (8, Picard(), None)],
)
@every_stencil
def test_ranks_do_not_change_a_bit(step_map, ranks, solver, window):
    expected = facts(engine_run(step_map, solver, window))
    found = facts(on_ranks(ranks, step_map, solver, window))
    assert len(found) == len(expected) and all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def engine_run(*arguments, **options):
    run = engine(*arguments, **options)
    run.run()
    return run


@pytest.mark.slow
@some
@given(step_maps(), st.integers(2, 8), st.sampled_from(PICARDS), st.integers(1, 12), st.sampled_from([1e-1, 1e-3, 1e-300]))
def test_any_stencil_on_any_number_of_ranks_gives_the_same_bits(step_map, ranks, solver, window, tolerance):
    expected = facts(engine_run(step_map, solver, window, tolerance, members=[3, 0, 9]))
    found = facts(on_ranks(ranks, step_map, solver, window, tolerance, members=[3, 0, 9]))
    assert len(found) == len(expected) and all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.slow
@some
@given(step_maps(), st.integers(2, 8), st.sampled_from(PICARDS), st.integers(1, 12))
def test_fast_mode_agrees_to_rounding(step_map, ranks, solver, window):
    expected = engine_run(step_map, solver, window, 1e-3, mode="fast")
    found = on_ranks(ranks, step_map, solver, window, 1e-3, mode="fast")
    assert torch.allclose(found.result, expected.result, rtol=1e-10, atol=1e-10)
    assert (found.history.rounds == expected.history.rounds).all()


# Rung 6


def spread(variance, sigma_data=0.7):
    """Gaussian data of a variance relative to that which the engine assumes."""
    problem = Gaussian(torch.linspace(-1, 1, 6, dtype=F64).view(1, 2, 3), variance * sigma_data**2)
    problem.sigma_data = sigma_data
    return problem


@some
@given(step_maps(), st.sampled_from(PICARDS), st.integers(1, 12), st.sampled_from(VARIANCES[1:]), st.sampled_from([1e-1, 1e-3]))
def test_the_worst_case_bounds_the_error_for_gaussian_data(step_map, solver, window, variance, tolerance):
    """Of any variance: the denoiser's slope is between 0 and 1, and growth is looked at for just these."""
    problem = spread(variance)
    run = engine(step_map, solver, window, tolerance, problem=problem, mode="fast")
    run.rule = Solver.rule(solver, step_map, problem.sigma_data, tolerance)
    error = (run.run() - loops(problem, step_map, MEMBERS)[-1]).flatten(1).square().mean(1).sqrt() / problem.sigma_data
    assert (error.numpy() <= run.history.error_estimate * (1 + 1e-9) + 1e-13).all()
    assert (run.history.error_estimate <= tolerance).all() and (run.history.rounds <= step_map.steps).all()


@every_stencil
@every_picard
@pytest.mark.parametrize("window", [None, 4])
def test_within_tolerance_of_the_plain_loop(step_map, solver, window):
    """Errors relative to sigma_data, of a mixture."""
    expected = loops(SMALL, step_map, MEMBERS)[-1]
    for tolerance in (1e-2, 1e-5):
        run = engine(step_map, solver, window, tolerance, mode="fast")
        error = (run.run() - expected).flatten(1).square().mean(1).sqrt() / SMALL.sigma_data
        assert (error <= tolerance).all() and (run.history.error_estimate <= tolerance).all()


# Points at which the network is not asked


class Counted:
    """Counts fields by noise level."""

    shape, sigma_data = SMALL.shape, SMALL.sigma_data

    def __init__(self):
        self.levels = []

    def __call__(self, x, sigma):
        self.levels += sigma.tolist()
        return SMALL(x, sigma)


@every_stencil
@pytest.mark.parametrize("solver", [Serial(), *PICARDS[:2]], ids=str)
def test_the_network_is_asked_only_where_a_step_reads_it_and_all_is_counted(step_map, solver):
    network = Counted()
    run = engine(step_map, solver, None if isinstance(solver, Serial) else 5, problem=network)
    run.run()
    read = [(step_map.denoised_weight[i:, :].diagonal()[: step_map.taps] != 0).any() for i in range(step_map.steps)]
    assert step_map.evaluated.tolist() == read and step_map.evaluations == sum(read)
    allowed = {level.item() for level, asked in zip(step_map.sigmas, step_map.evaluated, strict=False) if asked}
    assert set(network.levels) <= allowed
    history = run.history
    assert len(network.levels) == history.evaluations.sum() == sum(done.evaluations.sum() for done in history.log)
    if isinstance(solver, Serial):
        assert (history.evaluations == step_map.evaluations).all() and (history.rounds == step_map.evaluations).all()
        assert history.group_rounds == step_map.evaluations and len(history.log) == step_map.steps


def test_velocities_are_not_evaluated():
    step_map = langevin(5)
    assert step_map.evaluated.tolist() == [True, False] * 5 and step_map.evaluations == 5


@pytest.mark.parametrize("window", [1, 2, 3, 5])
@every_picard
def test_windows_may_begin_and_end_at_a_velocity(window, solver):
    """Rounds without a network call happen, move on, and are not counted."""
    step_map = langevin(6)
    expected, network = loops(SMALL, step_map, MEMBERS), Counted()
    run = engine(step_map, solver, window, tolerance=1e-300, problem=network)
    begins = set()
    while not run.finished:
        begins |= set(run.first.tolist())
        run.advance()
        for m, point in enumerate(run.first):
            assert torch.equal(run.result[m], expected[point, m])
    assert any(begin % 2 for begin in begins) or solver.advance == "window" or window % 2 == 0
    empty = sum(not done.evaluations.any() for done in run.history.log)
    assert run.history.group_rounds == len(run.history.log) - empty
    assert empty or window > 1
    assert run.history.evaluations.sum() == len(network.levels)


# Noise


@every_stencil
@pytest.mark.parametrize("ranks", [1, 3])
def test_rows_of_noise_that_are_kept_are_those_the_counters_give(step_map, ranks):
    """Whatever windows did before; rows of steps before the first, or behind a window, are 0."""

    def work(group):
        run = engine(step_map, Picard(), 4, 1e-2, group=group)
        while True:
            check_noise(run, step_map)
            if run.finished:
                return
            run.advance()

    crew(ranks, work)


def check_noise(run, step_map):
    own, xi = run.slice, run.noise.rows
    if not step_map.stochastic:
        assert xi is None
        return
    before = step_map.noise.shape[1] - 1
    assert len(xi) == before + len(own.positions)
    for m, length in enumerate(own.lengths):
        for row in range(len(xi)):
            position = own.positions.start - before + row
            step = int(own.window.first[m]) + position
            # rows behind a member's window are multiplied by 0, and those before by nothing if the slice is not in it at all
            if own.positions.start < length and step >= 0 and position < length:
                expected = own.problem.noise(torch.tensor([step]), torch.tensor([m]))[0]
                assert torch.equal(xi[row, m], expected), (m, step)
            else:
                assert not xi[row, m].any()


def test_noise_that_is_kept_is_not_made_again(monkeypatch):
    """Sliding by one point makes one field of noise per member, not a window of them."""
    made = []
    noise = SamplingProblem.noise
    monkeypatch.setattr(
        SamplingProblem, "noise", lambda self, steps, columns: made.append(len(steps)) or noise(self, steps, columns)
    )
    step_map = random_stencil(8, 12, 2, 3)
    run = engine(step_map, Picard(), 5, 1e-300)
    run.run()
    assert sum(made) == 12 * len(MEMBERS) and made[0] == 5 * len(MEMBERS)


@pytest.mark.parametrize("noises", [1, 2, 3])
def test_noise_taps_are_those_of_steps_before(noises):
    """With no denoised_weight a path is its noises: the last point is a sum of them with known numbers."""
    steps = 7
    generator = torch.Generator().manual_seed(0)
    reach = torch.arange(steps)[:, None] >= torch.arange(noises)
    noise = torch.where(reach, torch.randn(steps, noises, generator=generator, dtype=F64), 0.0)
    state, denoised_weight = torch.ones(steps, dtype=F64), torch.full((steps,), 1e-12, dtype=F64)
    step_map = StepMap(levels(steps), state, denoised_weight, noise)
    run = engine(step_map, Picard(), 3, problem=GAUSSIAN)
    xi = run.problem.noise(torch.arange(steps).repeat(2), torch.tensor([0] * steps + [1] * steps)).view(
        2, steps, *GAUSSIAN.shape
    )
    total = run.problem.start()
    for i in range(steps):
        for q in range(min(noises, i + 1)):
            total = total + noise[i, q] * xi[:, i - q]
    torch.testing.assert_close(run.run(), total, rtol=1e-9, atol=1e-9)


# What else a step map says


def test_the_start_has_its_own_noise_level():
    plain = heun(levels(5))
    churned = StepMap(plain.sigmas, plain.state, plain.denoised_weight, plain.noise, start=7.0)
    assert plain.start_level == plain.sigmas[0] and churned.start_level == 7.0
    ratio = (chain(churned).start() / chain(plain).start()).flatten()
    expected = ((49 + SMALL.sigma_data**2) / (plain.sigmas[0] ** 2 + SMALL.sigma_data**2)) ** 0.5
    torch.testing.assert_close(ratio, expected.expand_as(ratio))
    assert torch.equal(engine(churned, Picard(), window=1).run(), loops(SMALL, churned, MEMBERS)[-1])


def test_natural_blocks_are_the_sampler_s_to_say():
    plain = multistep(levels(6))
    assert plain.blocks is None
    given = StepMap(plain.sigmas, plain.state, plain.denoised_weight, plain.noise, blocks=torch.tensor([2, 6]))
    assert given.blocks.tolist() == [2, 6]


def test_one_number_per_step_is_one_tap():
    one = torch.full((3,), 0.5, dtype=F64)
    step_map = StepMap(levels(3), one, torch.stack([one, one, one], dim=1), one)
    assert step_map.taps == 3 and step_map.state.tolist() == [[0.5, 0, 0]] * 3 and step_map.noise.shape == (3, 1)


@every_stencil
def test_slopes_are_what_the_steps_do_to_small_changes(step_map):
    """Finite differences through the plain loop of a linear denoiser."""
    response = torch.linspace(0.2, 0.9, step_map.steps, dtype=F64)
    found = step_map.slopes(response)
    for i in range(step_map.steps):
        for tap in range(step_map.taps):
            reads = i - tap >= 0
            expected = step_map.state[i, tap] + step_map.denoised_weight[i, tap] * response[i - tap] if reads else 0.0
            assert found[i, tap] == pytest.approx(float(expected), abs=1e-15)


# A network that fails


@pytest.mark.parametrize(("solver", "late"), [(Newton(), 3), (Newton(), 8), (Newton("exact"), 8)], ids=str)
def test_a_derivative_that_is_not_finite_is_told_where_it_first_is(solver, late):
    """Also at the last point, whose step makes what nobody evaluates; the denoised field itself may be finite."""
    step_map = random_stencil(2, 9, 2)
    below = float(step_map.sigmas[late]) * 1.01

    def broken(x, sigma):
        wrong = 0.0 * torch.sqrt(torch.relu(x - 1e9))
        return SMALL(x, sigma) + torch.where(sigma.view(-1, 1, 1, 1) < below, wrong, 0.0 * x)

    broken.shape, broken.sigma_data = SMALL.shape, SMALL.sigma_data
    assert broken(torch.zeros(1, *SMALL.shape, dtype=F64), torch.tensor([0.01], dtype=F64)).isfinite().all()
    run = engine(step_map, solver, problem=broken, members=[4, 2])
    with pytest.raises(NonFiniteError) as caught:
        run.run()
    assert (caught.value.member, caught.value.point, caught.value.round) == (4, late, 1)


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize(("mode", "value"), [("bitwise", torch.nan), ("fast", torch.inf)])
def test_nan_at_a_later_point_is_told_alike_on_all_ranks(ranks, mode, value):
    """Where windows of members are ragged, and steps read several points."""
    step_map = STENCILS["three taps"]
    below = float(step_map.sigmas[7]) * 1.01

    def broken(x, sigma):
        return torch.where((sigma < below).view(-1, 1, 1, 1), value, SMALL(x, sigma))

    broken.shape, broken.sigma_data = SMALL.shape, SMALL.sigma_data

    def work(group):
        run = engine(step_map, Picard(), 4, 1e-2, problem=broken, members=[9, 1, 7], mode=mode, group=group)
        with pytest.raises(NonFiniteError) as caught:
            run.run()
        return caught.value.member, caught.value.point, caught.value.round

    told = crew(ranks, work)
    assert told == [told[0]] * ranks and told[0][1] == 7


# Newton's method, whose model is the network's derivative


LOCK = threading.Lock()


def one_by_one(work, *arguments):
    """torch differentiates in forward mode in one thread at a time."""
    with LOCK:
        return work(*arguments)


@settings(max_examples=15, deadline=None)
@given(step_maps(8), st.integers(1, 4))
def test_exact_newton_solves_gaussian_data_of_any_covariance_in_one_round(step_map, ranks):
    """Steps are affine there: one sweep with their own Jacobians is the serial run, to rounding."""
    generator = torch.Generator().manual_seed(1)
    factor = torch.randn(6, 6, generator=generator, dtype=F64)
    covariance, mean = factor @ factor.T / 6, torch.randn(1, 2, 3, generator=generator, dtype=F64)

    def correlated(x, sigma):
        total = covariance + torch.diag_embed((sigma**2)[:, None].expand(-1, 6))
        shift = torch.linalg.solve(total, (x - mean).flatten(1)[..., None]).squeeze(-1) @ covariance
        return mean + shift.view(x.shape)

    correlated.shape, correlated.sigma_data = (1, 2, 3), 1.0
    expected = loops(correlated, step_map, MEMBERS)

    def work(group):
        run = engine(step_map, Newton("exact"), problem=correlated, group=group, mode="fast")
        run.problem.network.derivative = partial(one_by_one, run.problem.network.derivative)
        swept(run)
        return run.slice.window.x[run.slice.window.taps :]

    found = torch.cat(crew(ranks, work))
    torch.testing.assert_close(found, expected[1:], rtol=1e-9, atol=1e-9)
