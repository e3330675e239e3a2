"""What every solver must satisfy, with every sampler: one that is registered is tested here without a line of its own (rung 1).

The reference is the serial solver, which `test_ladder.py` and `test_stencils.py` compare with independent loops. A solver may
refuse a sampler, if it says why and what to do; one whose rule is a fixed number of sweeps promises no tolerance.
"""

import dataclasses

import pytest
import torch

from parampi import sigmas
from parampi.diffusion.exact import FieldMixture, GaussianMixture
from parampi.errors import ConfigError
from parampi.solvers import SOLVERS, FixedSweeps, Picard, Serial, Solver
from tests.engines import CAUSAL, GAUSSIAN, MIXTURE, REGIMES, chain, engine, relative_errors, states, swept, trajectory

pytestmark = pytest.mark.usefixtures("hostile")

F64 = torch.float64
GRID = sigmas.vp_linear(10)
SHORT = sigmas.vp_linear(6)
SMALL = GaussianMixture(dim=16, components=2)
MANY = FieldMixture(n=8, components=3)
SHAPE = SMALL.shape
TEN = CAUSAL["ddim"]().steps(GRID)


def refusal(solver, sampler):
    """The message with which a solver refuses a sampler, or None."""
    try:
        solver.check(sampler.steps(GRID), SHAPE)
    except ConfigError as error:
        return str(error)


STAGES = ("edm", "heun", "dpmpp_2s", "piadm_ode")
"""Samplers of several evaluations a step, which take seconds where derivatives are products with the network's Jacobian."""
ALL = [(solver(), sampler(), f"{s}-{a}") for s, solver in SOLVERS.distinct().items() for a, sampler in CAUSAL.items()]
TAKEN = [(solver, sampler, name) for solver, sampler, name in ALL if refusal(solver, sampler) is None]

every_sampler = pytest.mark.parametrize("sampler", [kind() for kind in CAUSAL.values()], ids=list(CAUSAL))
every_solver = pytest.mark.parametrize("solver", [kind() for kind in SOLVERS.distinct().values()], ids=list(SOLVERS.distinct()))


def pairs(chosen):
    """Marks for solvers with samplers that they take."""
    taken = [pair for pair in TAKEN if chosen(*pair[:2])]
    return pytest.mark.parametrize(("solver", "sampler"), [pytest.param(*p[:2], id=p[2], marks=cost(p[2])) for p in taken])


def cost(name):
    return [pytest.mark.slow] if name.startswith(("newton-", "spectral-")) and name.endswith(STAGES) else []


def promises(solver, sampler):
    return not isinstance(solver.rule(sampler.steps(GRID), 1.0, 1e-3), FixedSweeps)


def window_of(solver, requested):
    """None for solvers that take no window: one point is all, or blocks are solved step by step (test_parareal.py)."""
    return None if isinstance(solver, Serial) or solver.wavefront else requested


def taken_by(solver):
    """The step maps that a solver takes."""
    return [kind().steps(GRID) for kind in CAUSAL.values() if refusal(solver, kind()) is None]


every_pair = pairs(lambda solver, sampler: True)
every_swept_pair = pairs(lambda solver, sampler: not solver.wavefront)
every_pair_to_tolerance = pairs(promises)
every_swept_pair_to_tolerance = pairs(lambda solver, sampler: promises(solver, sampler) and not solver.wavefront)


@every_solver
def test_is_a_frozen_dataclass(solver):
    assert dataclasses.is_dataclass(solver) and isinstance(solver, Solver)
    for option in dataclasses.fields(solver):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(solver, option.name, None)


@every_solver
def test_some_sampler_is_taken_and_refusals_name_the_solver_and_a_remedy(solver):
    """`...; take ...`: what comes behind the semicolon is what to do."""
    messages = [refusal(solver, kind()) for kind in CAUSAL.values()]
    assert None in messages
    for message in filter(None, messages):
        assert type(solver).__name__.lower() in message.lower().replace("-", "").replace(" ", "") and "; " in message


@every_solver
def test_linear_model_and_first_guess_are_finite_numbers_per_step_and_tap(solver):
    for step_map in taken_by(solver):
        for sigma_data in (0.5, 1.0):
            check_numbers(step_map, solver.first_guess(step_map, sigma_data), solver.model(step_map, sigma_data))


def check_numbers(step_map, guess, model):
    for numbers, like in (
        (model.slopes, step_map.state), (model.response, step_map.state[:, 0]),
        (guess.slopes, step_map.state), (guess.noise, step_map.noise),
    ):  # fmt: skip
        assert numbers.shape == like.shape and numbers.dtype == F64 and numbers.device.type == "cpu"
        assert numbers.isfinite().all()
        # what would be read before point 0 is not there
        assert numbers.ndim == 1 or all(not numbers[step, tap] for tap in range(numbers.shape[1]) for step in range(tap))


@every_solver
def test_windows_and_blocks_cover_the_points(solver):
    for step_map in taken_by(solver):
        for requested in {window_of(solver, window) for window in (None, 1, 3, 7)}:
            size, ends = solver.window(requested, step_map), solver.ends(requested, step_map)
            assert 1 <= size <= step_map.steps
            if ends is None:
                assert requested is None or size == min(requested, step_map.steps)
            else:
                lengths = torch.diff(ends, prepend=torch.zeros(1, dtype=ends.dtype))
                assert (lengths > 0).all() and ends[-1] == step_map.steps and lengths.max() <= size


@every_solver
def test_window_has_at_least_one_point_and_at_most_all(solver):
    assert 1 <= solver.window(None, TEN) <= 10
    assert solver.wavefront or solver.window(1, TEN) == 1
    with pytest.raises(ConfigError, match="window = 0"):
        solver.window(0, TEN)
    with pytest.raises(ConfigError, match="window = -3"):
        solver.window(-3, TEN)


@every_swept_pair
def test_after_k_sweeps_the_first_k_points_are_the_serial_ones(solver, sampler):
    """Rung 3: the linear model acts on differences that are exactly 0 there."""
    problem = chain(SMALL, sampler, SHORT, members=2)
    reference, run = trajectory(problem), engine(problem, solver)
    for k in range(1, len(states(run))):
        swept(run)
        assert torch.equal(states(run)[: k + 1], reference[: k + 1])


@every_swept_pair_to_tolerance
def test_frozen_points_are_serial_when_nothing_may_be_lacking(solver, sampler):
    """Rung 3 with windows that slide: after k rounds at least k points are frozen, exactly, and the end is exact."""
    sampling = chain(SMALL, sampler, SHORT, members=[0, 3])
    reference = trajectory(sampling)
    run = engine(sampling, solver, window_of(solver, 4), tolerance=1e-300)
    for k in range(1, sampling.steps + 1):
        if not run.finished:
            run.advance()
        assert (run.first >= k).all()
        for m, point in enumerate(run.first):
            assert torch.equal(run.result[m], reference[point, m])


@every_swept_pair
def test_the_answer_stays(solver, sampler):
    """Rung 4: at the serial trajectory a sweep changes nothing, not even a bit, and all points are accepted at once."""
    problem = chain(SMALL, sampler, SHORT, members=2)
    reference, run = trajectory(problem), engine(problem, solver)
    n = len(states(run)) - 1
    states(run)[:] = reference[: n + 1]
    for _ in range(3):
        assert not swept(run)[:2].any()
        assert torch.equal(states(run), reference[: n + 1])
    while not run.first.any():
        run.advance()
    assert (run.first == n).all() and not run.history.residual.any() and not run.history.error_estimate.any()
    assert (run.history.rounds == 1).all() or isinstance(run.rule, FixedSweeps)


@pytest.mark.slow
@every_pair_to_tolerance
@pytest.mark.parametrize("problem", [GAUSSIAN, SMALL, REGIMES], ids=["gaussian", "mixture", "regimes"])
def test_ends_within_tolerance_of_the_serial_run(solver, sampler, problem):
    sampling = chain(problem, sampler, GRID, mode="fast")
    run = engine(sampling, solver, tolerance=1e-6, mode="fast")
    assert (relative_errors(run.run(), trajectory(sampling, mode="fast")[-1]) <= 1e-6).all()
    history, step_map = run.history, sampling.step_map
    assert (history.rounds <= sampling.steps).all() and (history.evaluations >= step_map.evaluations).all()
    assert (history.error_estimate <= 1e-6).all()


@pytest.mark.slow
@every_pair
def test_members_are_drawn_one_by_one(solver, sampler):
    """A member takes the same rounds and evaluations, to the same bits, whoever shares its batch."""
    window = window_of(solver, 6)
    batched = engine(chain(MANY, sampler, SHORT, [4, 0, 7]), solver, window, tolerance=1e-2)
    fields, history = batched.run(), batched.history
    for column, number in ((0, 4), (2, 7)):
        alone = engine(chain(MANY, sampler, SHORT, [number]), solver, window, tolerance=1e-2)
        assert torch.equal(alone.run()[0], fields[column])
        for facts in ("rounds", "evaluations", "residual", "error_estimate"):
            assert getattr(alone.history, facts)[0] == getattr(history, facts)[column]


@every_sampler
def test_picard_needs_fewer_rounds_than_the_serial_solver(sampler):
    sampling = chain(MIXTURE, sampler, sigmas.vp_linear(100), mode="fast")
    run = engine(sampling, Picard(), mode="fast")
    run.run()
    assert (run.history.rounds < sampling.step_map.evaluations / 2).all()


@every_sampler
def test_gaussian_data_are_guessed_exactly(sampler):
    """For Gaussian data of the assumed variance the first guess is the answer, and one round sees that."""
    variance = torch.ones(1, 3, 4, dtype=F64)
    problem = type(GAUSSIAN)(torch.zeros(1, 3, 4, dtype=F64), variance)
    run = engine(chain(problem, sampler, GRID), Picard())
    run.run()
    assert (run.history.rounds == 1).all() and (run.history.error_estimate < 1e-10).all()


@every_sampler
def test_serial_takes_one_round_for_each_evaluation(sampler):
    """A point that no step's denoised field is read of is no round."""
    sampling = chain(SMALL, sampler, GRID, members=2)
    run = engine(sampling, Serial())
    run.run()
    assert (
        run.history.rounds == sampling.step_map.evaluations
    ).all() and run.history.group_rounds == sampling.step_map.evaluations
    assert (run.history.evaluations == sampling.step_map.evaluations).all()


@pytest.mark.parametrize("option", ["advance", "linear_model", "guess"])
def test_picard_refuses_an_unknown_choice(option):
    with pytest.raises(ConfigError, match=f"{option} = 'other' is not one of '"):
        Picard(**{option: "other"})


def test_serial_refuses_a_window():
    with pytest.raises(ConfigError, match="window = 8 makes no sense for the serial solver"):
        Serial().window(8, TEN)


def test_picard_takes_all_points_for_a_window_of_more():
    assert Picard().window(1000, TEN) == 10
