"""Snapshots between two rounds: members are taken up elsewhere, beside others, and nothing can be told of it."""

import itertools

import pytest
import torch

from parampi import ConfigError, sigmas
from parampi.bench.known import known_statistics
from parampi.engine.history import COUNTS
from parampi.engine.snapshot import restore
from parampi.parallel import SerialGroup
from parampi.samplers import DDIM, DDPM, Collocation, DPMpp3M, Heun
from parampi.solvers import PIADM, Parareal, ParaSolver, ParaTAA, Picard, Serial, Spectral
from tests.crew import crew
from tests.engine.snapshots import snapshots
from tests.engines import REGIMES, chain, engine

pytestmark = pytest.mark.usefixtures("hostile")

GRID = sigmas.vp_linear(13)
KNOWN = Spectral(statistics=known_statistics(REGIMES))
SOLVERS = (Parareal(), Parareal(3), Spectral(), KNOWN, Picard(), Picard("block"), ParaTAA(), ParaSolver(), PIADM(), Serial())
SAMPLERS = (DDIM(), DDPM(), DPMpp3M(), Heun(), Collocation())


def possible(solver, sampler, window):
    try:
        engine(chain(REGIMES, sampler, GRID, members=1), solver, window)
    except ConfigError:
        return False
    return True


CASES = [case for case in itertools.product(SOLVERS, SAMPLERS, (None, 6)) if possible(*case)]


@pytest.mark.slow
@pytest.mark.parametrize("solver, sampler, window", CASES, ids=lambda value: getattr(type(value), "__name__", str(value)))
def test_members_go_on_to_the_same_bits_in_any_company(solver, sampler, window):
    """After the first round and after the fourth."""
    company = chain(REGIMES, sampler, GRID, members=[7, 3, 5])
    whole = engine(company, solver, window)
    expected = whole.run()
    for rounds in (1, 4):
        before = engine(chain(REGIMES, sampler, GRID, members=[3, 0, 7]), solver, window)
        for _ in range(rounds):
            if not before.finished:
                before.advance()
        left = snapshots([before.state()])
        resumed = engine(company, solver, window)
        restore(resumed, [left[2], left[0], None])
        assert torch.equal(resumed.run(), expected), rounds
        assert_counted(resumed, whole)
        assert resumed.history.group_rounds >= whole.history.rounds.max()


def test_nothing_to_restore():
    run = engine(chain(REGIMES, DDPM(), GRID), Picard())
    restore(run, [None, None, None])
    assert not run.first.any() and run.number == 1


def assert_counted(resumed, whole):
    for name in COUNTS:
        assert (getattr(resumed.history, name) == getattr(whole.history, name)).all(), name


def assert_same_end(resumed, whole):
    assert torch.equal(resumed.run(), whole.run())
    assert_counted(resumed, whole)


@pytest.mark.parametrize("sampler", [DDIM(), DDPM(), Heun()], ids=lambda value: type(value).__name__)
def test_members_left_after_different_rounds_go_on_together(sampler):
    """Parareal's members are at different places of its timetable then; a fourth has not begun, a fifth is at its end."""
    solver, left = Parareal(4), []
    for number, rounds in ((3, 2), (0, 5), (7, 9), (8, 100)):
        before = engine(chain(REGIMES, sampler, GRID, members=[number, 1]), solver)
        for _ in range(rounds):
            if not before.first[0]:
                before.advance()
        left += snapshots([before.state()])[:1]
    company = chain(REGIMES, sampler, GRID, members=[3, 0, 5, 7, 8])
    resumed, whole = engine(company, solver), engine(company, solver)
    restore(resumed, [*left[:2], None, *left[2:]])
    assert len(resumed.cohorts) == 4 and resumed.first[4]
    assert_same_end(resumed, whole)


@pytest.mark.parametrize("solver", [Parareal(5), Spectral(), ParaTAA()], ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(
    ("before", "after"), [pytest.param(1, 3, marks=pytest.mark.slow), pytest.param(3, 1, marks=pytest.mark.slow), (2, 5)]
)
def test_other_ranks_go_on(solver, before, after):
    """Ranks are threads here; over MPI they are in ranks/."""
    window = None if solver.wavefront else 6

    def leave(group):
        run = engine(chain(REGIMES, DDPM(), GRID, members=[3, 0]), solver, window, group=group)
        for _ in range(5):
            run.advance()
        return run.state()

    left = snapshots(crew(before, leave) if before > 1 else [leave(SerialGroup())])
    company = chain(REGIMES, DDPM(), GRID, members=[5, 0, 3])

    def go_on(group):
        run = engine(company, solver, window, group=group)
        restore(run, [None, left[1], left[0]])
        run.run()
        return run

    whole = engine(company, solver, window)
    resumed = crew(after, go_on)[0] if after > 1 else go_on(SerialGroup())
    assert_same_end(resumed, whole)


@pytest.mark.parametrize("solver", [Parareal(), Spectral(), ParaSolver()], ids=lambda value: type(value).__name__)
def test_a_state_is_loaded_as_it_is(solver):
    problem = chain(REGIMES, DDPM(), GRID)
    run, other = engine(problem, solver), engine(problem, solver)
    for _ in range(3):
        run.advance()
    other.load(run.state())
    assert_same_end(other, run)
