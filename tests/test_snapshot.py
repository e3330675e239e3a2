"""Snapshots between two rounds: members are taken up elsewhere, beside others, and nothing can be told of it."""

import itertools

import pytest
import torch

from parampi import ConfigError, sigmas
from parampi.bench.known import known_statistics
from parampi.engine import snapshot
from parampi.engine.history import COUNTS
from parampi.samplers import DDIM, DDPM, Collocation, DPMpp3M, Heun
from parampi.solvers import PIADM, Parareal, ParaSolver, ParaTAA, Picard, Serial, Spectral
from tests.engines import REGIMES, chain, engine

GRID = sigmas.vp_linear(16)
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


def snapshot_of(state, column):
    """One member of what one rank held."""

    def rows(name, start, stop):
        kept = state.fields[name]
        begin = int(kept.begin[column])
        assert start == stop or begin <= start < stop <= begin + len(kept.rows)
        return kept.rows[start - begin : stop - begin, column].clone()

    numbers = {name: values[column].clone() for name, values in state.numbers.items()}
    return snapshot.MemberSnapshot(numbers, frozenset(name for name in state.fields if state.fields[name].rows.numel()), rows)


@pytest.mark.parametrize("solver, sampler, window", CASES, ids=lambda value: getattr(type(value), "__name__", str(value)))
@pytest.mark.parametrize("rounds", [1, 4])
def test_members_go_on_to_the_same_bits_in_any_company(solver, sampler, window, rounds):
    before = engine(chain(REGIMES, sampler, GRID, members=[3, 0, 7]), solver, window)
    for _ in range(rounds):
        if not before.finished:
            before.advance()
    left = [snapshot_of(before.state(), column) for column in range(3)]
    company = chain(REGIMES, sampler, GRID, members=[7, 3, 5])
    resumed, whole = engine(company, solver, window), engine(company, solver, window)
    snapshot.restore(resumed, [left[2], left[0], None])
    assert torch.equal(resumed.run(), whole.run())
    for name in COUNTS:
        assert (getattr(resumed.history, name) == getattr(whole.history, name)).all(), name
    assert resumed.history.group_rounds >= whole.history.rounds.max()


def test_nothing_to_restore():
    run = engine(chain(REGIMES, DDPM(), GRID), Picard())
    snapshot.restore(run, [None, None, None])
    assert not run.first.any() and run.number == 1
