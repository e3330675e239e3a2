"""What every solver must satisfy, with every sampler: one that is registered is tested here without a line of its own (rung 1).

The reference is the serial solver, which `test_ladder.py` compares with an independent loop.
"""

import dataclasses

import pytest
import torch

from parampi import sigmas
from parampi.errors import ConfigError
from parampi.samplers import SAMPLERS
from parampi.solvers import SOLVERS, Picard, Serial, Solver
from tests.engines import GAUSSIAN, MIXTURE, REGIMES, chain, engine, relative_errors, states, trajectory

F64 = torch.float64
GRID = sigmas.vp_linear(24)
TEN = SAMPLERS["ddim"]().steps(sigmas.vp_linear(10))

every_sampler = pytest.mark.parametrize("sampler", [kind() for kind in SAMPLERS.values()], ids=list(SAMPLERS))
every_solver = pytest.mark.parametrize("solver", [kind() for kind in SOLVERS.values()], ids=list(SOLVERS))


@every_solver
def test_is_a_frozen_dataclass(solver):
    assert dataclasses.is_dataclass(solver) and isinstance(solver, Solver)
    for option in dataclasses.fields(solver):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(solver, option.name, None)


@every_solver
@every_sampler
@pytest.mark.parametrize("sigma_data", [0.5, 1.0])
def test_linear_model_and_first_guess_are_finite_numbers_per_step_and_tap(solver, sampler, sigma_data):
    step_map = sampler.steps(GRID)
    guess, model = solver.first_guess(step_map, sigma_data), solver.model(step_map, sigma_data)
    for numbers, like in (
        (model.slopes, step_map.state), (model.response, step_map.state[:, 0]),
        (guess.slopes, step_map.state), (guess.noise, step_map.noise), (guess.frozen, step_map.state[:, 0]),
    ):  # fmt: skip
        assert numbers.shape == like.shape and numbers.dtype == F64 and numbers.device.type == "cpu"
        assert numbers.isfinite().all()


@every_solver
def test_window_has_at_least_one_point_and_at_most_all(solver):
    assert 1 <= solver.window(None, TEN) <= 10
    assert solver.window(1, TEN) == 1
    with pytest.raises(ConfigError, match="window = 0"):
        solver.window(0, TEN)
    with pytest.raises(ConfigError, match="window = -3"):
        solver.window(-3, TEN)


@every_solver
@every_sampler
def test_after_k_sweeps_the_first_k_points_are_the_serial_ones(solver, sampler):
    """Rung 3: the linear model acts on differences that are exactly 0 there."""
    problem = chain(MIXTURE, sampler, GRID, members=2)
    reference, run = trajectory(problem), engine(problem, solver)
    for k in range(1, run.slice.size + 1):
        run.sweep()
        assert torch.equal(states(run)[: k + 1], reference[: k + 1])


@every_solver
@every_sampler
def test_the_answer_stays(solver, sampler):
    """Rung 4: at the serial trajectory a sweep changes nothing, not even a bit, and one round accepts all points."""
    problem = chain(REGIMES, sampler, GRID, members=2)
    reference, run = trajectory(problem), engine(problem, solver)
    states(run)[:] = reference[: run.slice.size + 1]
    for _ in range(3):
        assert not run.sweep().any()
        assert torch.equal(states(run), reference[: run.slice.size + 1])
    run.advance()
    assert (run.first == run.slice.size).all() and not run.account.residual.any() and not run.account.lacking.any()


@every_solver
@every_sampler
@pytest.mark.parametrize("problem", [GAUSSIAN, MIXTURE, REGIMES], ids=["gaussian", "mixture", "regimes"])
def test_ends_within_tolerance_of_the_serial_run(solver, sampler, problem):
    given = chain(problem, sampler, GRID)
    run = engine(given, solver, tolerance=1e-6)
    assert (relative_errors(run.run(), trajectory(given)[-1]) <= 1e-6).all()
    account = run.account
    assert (account.rounds <= given.steps).all() and (account.evaluations >= given.steps).all()
    assert (account.lacking <= 1e-6).all()


@every_solver
@every_sampler
def test_a_tolerance_of_nothing_ends_exactly_after_as_many_rounds_as_steps(solver, sampler):
    given = chain(MIXTURE, sampler, GRID, members=2)
    run = engine(given, solver, tolerance=1e-300)
    assert torch.equal(run.run(), trajectory(given)[-1])
    assert (run.account.rounds <= given.steps).all()


@every_sampler
def test_picard_needs_fewer_rounds_than_the_serial_solver(sampler):
    given = chain(MIXTURE, sampler, sigmas.vp_linear(100))
    run = engine(given, Picard())
    run.run()
    assert (run.account.rounds < 50).all()


def test_gaussian_data_are_guessed_exactly():
    """For Gaussian data of the assumed variance the first guess is the answer, and one round sees that."""
    variance = torch.ones(1, 3, 4, dtype=F64)
    problem = type(GAUSSIAN)(torch.zeros(1, 3, 4, dtype=F64), variance)
    for sampler in (kind() for kind in SAMPLERS.values()):
        run = engine(chain(problem, sampler, GRID), Picard())
        run.run()
        assert (run.account.rounds == 1).all() and (run.account.lacking < 1e-12).all()


def test_serial_takes_one_round_and_one_evaluation_per_step():
    run = engine(chain(MIXTURE, SAMPLERS["ddpm"](), GRID), Serial())
    run.run()
    assert (run.account.rounds == 24).all() and (run.account.evaluations == 24).all()


@pytest.mark.parametrize("option", ["advance", "linear_model", "guess"])
def test_picard_refuses_an_unknown_choice(option):
    with pytest.raises(ConfigError, match=f"{option} = 'other' is not one of '"):
        Picard(**{option: "other"})


def test_serial_refuses_a_window():
    with pytest.raises(ConfigError, match="window = 8 makes no sense for the serial solver"):
        Serial().window(8, TEN)


def test_picard_takes_all_points_for_a_window_of_more():
    assert Picard().window(1000, TEN) == 10
