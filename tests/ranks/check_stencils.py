"""Checks of the engine on any number of ranks with made-up steps that read several points, against rank 0 alone."""

import numpy as np
import torch

from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.exact import FieldMixture, GaussianMixture
from parampi.diffusion.sigmas import vp_linear
from parampi.engine import EngineOptions, SamplingProblem, engine_for
from parampi.engine.snapshot import restore
from parampi.errors import ConfigError, NonFiniteError
from parampi.parallel import MPIGroup, SerialGroup, as_group
from parampi.samplers import DDPM
from parampi.solvers import SOLVERS, Parareal, Picard, Spectral
from tests.engine.snapshots import snapshots
from tests.ranks.cases import PLAIN, solvers_for, window_for
from tests.ranks.check_parallel import Elsewhere
from tests.stencils import langevin, loops, random_stencil, stencils

F32, F64 = torch.float32, torch.float64
SMALL = GaussianMixture(dim=16, components=3)
REGIMES = FieldMixture(n=8, components=3)
STENCILS = stencils()
THREE = STENCILS["three taps"]


def engine(group, step_map, solver=None, window=None, tolerance=1e-3, problem=SMALL, members=(0, 5), mode="bitwise", dtype=F64):
    network = BatchedDenoiser(problem, padded=mode == "bitwise")
    chain = SamplingProblem(network, step_map, torch.tensor(members), problem.shape, 0, problem.sigma_data, dtype)
    return engine_for(chain, solver or Picard(), group, EngineOptions(window, tolerance, mode))


def facts(run):
    """What must not depend on the ranks; on rank 0."""
    history = run.history
    numbers = np.stack([history.rounds, history.evaluations, history.residual, history.error_estimate])
    moves = [torch.from_numpy(np.concatenate([done.first, done.slides])) for done in history.log]
    return [run.result, torch.from_numpy(numbers), *(torch.from_numpy(done.changes) for done in history.log), *moves]


def same_bits(group, *arguments, **options):
    """Run on the ranks of a group; rank 0 runs alone too, and returns that run."""
    found = engine(group, *arguments, **options)
    found.run()
    if group.rank == 0:
        alone = engine(SerialGroup(), *arguments, **options)
        alone.run()
        assert all(a.equal(b) for a, b in zip(facts(found), facts(alone), strict=True)), (arguments, options)
        return alone
    return None


def every_stencil(comm):
    ways = ((Picard(), None), (Picard("block", "identity", "constant"), 5), (Picard(guess="frozen"), 3))
    for k, step_map in enumerate(STENCILS.values()):
        same_bits(as_group(comm), step_map, *ways[k % 3])


def every_solver_with_steps_that_read_several_points(comm):
    for name in solvers_for(comm):
        solver = SOLVERS[name]()
        for step_map in (random_stencil(2, 7, 3, 2), STENCILS["heun"] if solver.wavefront else langevin(3)):
            if name not in PLAIN and taken(solver, step_map):
                same_bits(as_group(comm), step_map, solver, window_for(solver, 5), 1e-2)


def taken(solver, step_map):
    try:
        solver.check(step_map, SMALL.shape)
    except ConfigError:
        return False
    return True


def fast_mode_agrees_to_rounding(comm):
    group = as_group(comm)
    for step_map, window in ((THREE, None), (STENCILS["four taps, blind points"], 4)):
        found = engine(group, step_map, None, window, mode="fast")
        found.run()
        if group.rank == 0:
            alone = engine(SerialGroup(), step_map, None, window, mode="fast")
            assert found.result.allclose(alone.run(), rtol=1e-11, atol=1e-11)
            assert (found.history.rounds == alone.history.rounds).all()


def nothing_lacking_is_the_serial_run(comm):
    """Rung 3 over ranks: denoised fields behind the window come from other ranks."""
    group = as_group(comm)
    for step_map in (THREE, STENCILS["heun"]):
        expected = loops(SMALL, step_map, (0, 5))
        run = engine(group, step_map, None, 4, tolerance=1e-300)
        while not run.finished:
            run.advance()
            if group.rank == 0:
                for m, point in enumerate(run.first):
                    assert run.result[m].equal(expected[point, m])


def members_that_ranks_left_go_on_elsewhere(comm):
    """On rank 0 alone, and on all ranks again, to the same bits; both ways of stepping."""
    step_map = DDPM().steps(vp_linear(16))
    for solver, window in ((Parareal(5), None), (Spectral(), 6)):
        left = engine(as_group(comm), step_map, solver, window, problem=REGIMES, members=(3, 0))
        for _ in range(4):
            left.advance()
        members = snapshots(comm.allgather(left.state()))
        where = {"members": (0, 7, 3), "problem": REGIMES}
        again = engine(as_group(comm), step_map, solver, window, **where)
        restore(again, [members[1], None, members[0]])
        again.run()
        if comm.Get_rank() == 0:
            alone, whole = (engine(SerialGroup(), step_map, solver, window, **where) for _ in range(2))
            restore(alone, [members[1], None, members[0]])
            assert alone.run().equal(whole.run()) and again.result.equal(whole.result)
            assert (again.history.rounds == whole.history.rounds).all()


def single_precision(comm):
    for window in (None, 4):
        alone = same_bits(as_group(comm), THREE, None, window, dtype=F32)
        assert alone is None or alone.result.dtype == F32


def more_ranks_than_points(comm):
    """Slices of one point, which are shorter than what a step reads, and ranks without any."""
    for steps in (1, 3):
        step_map = random_stencil(steps, steps, min(3, steps + 1), 2)
        for window in (None, 1, 2):
            same_bits(as_group(comm), step_map, None, window)
    for window in (1, 2, 3):
        same_bits(as_group(comm), THREE, Picard("block"), window)


def ragged_windows(comm):
    """Members whose windows denoised_weight apart, end in blocks of their own and finish at different times."""
    history, step_map = [], random_stencil(6, 24, 3, 2)
    for solver, window in (
        (Picard(), 6),
        (Picard("block", "data", "frozen"), 4),
        (Picard("window", "identity", "constant"), 9),
    ):
        alone = same_bits(as_group(comm), step_map, solver, window, 1e-1, REGIMES, (0, 3, 1, 12, 7))
        history += alone.history.log if alone is not None else []
    if history:
        assert any(len(set(done.first.tolist())) > 1 for done in history)
        assert any(0 in done.lengths for done in history)


def velocities(comm):
    """Rounds in which no rank is asked anything, and slices that own nothing but velocities."""
    for window in (None, 1, 2, 3):
        alone = same_bits(as_group(comm), langevin(4), Picard("block"), window)
        if alone is not None and window == 1:
            assert not all(done.evaluations.any() for done in alone.history.log)


class Failing:
    """NaN below a noise level, in one entry of a field."""

    shape, sigma_data = SMALL.shape, SMALL.sigma_data

    def __init__(self, below, value):
        self.below, self.value = below, value

    def __call__(self, x, sigma):
        denoised = SMALL(x, sigma).clone()
        denoised[sigma < self.below, 0, 3, 1] = self.value
        return denoised


def nan_at_a_later_point(comm):
    """It is told alike on all ranks, with the first point in question, before any step reads it."""
    for step_map, window, late in ((THREE, None, 8), (THREE, 4, 5), (STENCILS["four taps, blind points"], 5, 7)):
        late = next(i for i in range(late, step_map.steps) if step_map.evaluated[i])
        below = float(step_map.sigmas[late]) * 1.01
        for value, mode in ((torch.nan, "bitwise"), (torch.inf, "fast"), (-torch.inf, "bitwise")):
            run = engine(as_group(comm), step_map, None, window, problem=Failing(below, value), members=(4, 2), mode=mode)
            try:
                run.run()
            except NonFiniteError as error:
                told = (error.member, error.point, error.sigma, error.round)
            else:
                raise AssertionError("a network that returned NaN was believed")
            assert comm.allgather(told) == [told] * comm.Get_size()
            assert told[:3] == (4, late, float(step_map.sigmas[late])) and (told[3] == 1) == (window is None)


def every_message_staged_with_several_taps(comm):
    if comm.Get_size() > 1:
        for step_map, window in ((THREE, 5), (STENCILS["langevin"], None)):
            same_bits(MPIGroup(comm, Elsewhere()), step_map, None, window)


def sub_communicators(comm):
    """Two halves at once, each in reverse order, with different work."""
    size, rank = comm.Get_size(), comm.Get_rank()
    half = int(rank >= size // 2)
    mine = comm.Split(half, key=-rank)
    step_map = (THREE, STENCILS["heun"])[half]
    same_bits(as_group(mine), step_map, None, 5)
    same_bits(as_group(mine), step_map, Picard("block"), (3, 4)[half])
    mine.Free()


CHECKS = [
    every_stencil, every_solver_with_steps_that_read_several_points, fast_mode_agrees_to_rounding,
    nothing_lacking_is_the_serial_run, members_that_ranks_left_go_on_elsewhere,
    single_precision, more_ranks_than_points, ragged_windows, velocities,
    nan_at_a_later_point, every_message_staged_with_several_taps, sub_communicators,
]  # fmt: skip
