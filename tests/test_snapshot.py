"""Snapshots between two rounds: members are taken up elsewhere, beside others, and nothing can be told of it."""

import itertools

import pytest
import torch

from parampi import ConfigError, sigmas
from parampi.bench.known import known_statistics
from parampi.engine import snapshot
from parampi.engine.windows import Engine
from parampi.samplers import DDPM, Collocation, DPMpp3M, Heun
from parampi.solvers import PIADM, ParaSolver, ParaTAA, Picard, Serial, Spectral
from tests.engines import REGIMES, chain, engine

GRID = sigmas.vp_linear(16)
KNOWN = Spectral(statistics=known_statistics(REGIMES))
SOLVERS = (Spectral(), KNOWN, Picard(), Picard("block"), ParaTAA(), ParaSolver(), PIADM(), Serial())
SAMPLERS = (DDPM(), DPMpp3M(), Heun(), Collocation())


def possible(solver, sampler, window):
    try:
        engine(chain(REGIMES, sampler, GRID, members=1), solver, window)
    except ConfigError:
        return False
    return True


CASES = [case for case in itertools.product(SOLVERS, SAMPLERS, (None, 6)) if possible(*case)]


def taken_up(held, numbers, column):
    """One member of what one rank held."""
    names = frozenset(name for name in held if f"begin.{name}" in held)

    def rows(name, start, stop):
        begin = int(held[f"begin.{name}"][column])
        assert begin <= start < stop <= begin + len(held[name])
        return held[name][start - begin : stop - begin, column]

    rule = {name[5:]: values[column].numpy() for name, values in numbers.items() if name.startswith("rule.")}
    facts = {name: float(numbers[name][column]) for name in snapshot.COUNTS}
    return snapshot.MemberSnapshot(int(numbers["first"][column]), facts, rule, names, rows, lambda: held["latest"][column])


@pytest.mark.parametrize("solver, sampler, window", CASES, ids=lambda value: getattr(type(value), "__name__", str(value)))
@pytest.mark.parametrize("rounds", [1, 4])
def test_members_go_on_to_the_same_bits_in_any_company(solver, sampler, window, rounds):
    before = engine(chain(REGIMES, sampler, GRID, members=[3, 0, 7]), solver, window)
    for _ in range(rounds):
        if not before.finished:
            before.advance()
    held, numbers = snapshot.take(before)
    company = chain(REGIMES, sampler, GRID, members=[7, 3, 5])
    resumed, whole = engine(company, solver, window), engine(company, solver, window)
    snapshot.restore(resumed, [taken_up(held, numbers, 2), taken_up(held, numbers, 0), None])
    assert torch.equal(resumed.run(), whole.run())
    for name in snapshot.COUNTS:
        assert (getattr(resumed.account, name) == getattr(whole.account, name)).all(), name
    assert resumed.account.group_rounds >= whole.account.rounds.max()


def test_nothing_to_restore():
    run = engine(chain(REGIMES, DDPM(), GRID), Picard())
    snapshot.restore(run, [None, None, None])
    assert isinstance(run, Engine) and not run.first.any()
