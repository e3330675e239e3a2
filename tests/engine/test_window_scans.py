"""Whole members in fast mode, whose scans over ranks go by doubling or transposed."""

import pytest
import torch

from parampi import sigmas
from parampi.bench.known import known_statistics
from parampi.engine.snapshot import restore
from parampi.parallel import ScanSize, transposed
from parampi.samplers import DDPM, DPMpp3M
from parampi.solvers import Picard, Spectral
from tests.crew import crew
from tests.engine.snapshots import snapshots
from tests.engines import REGIMES, chain, engine, relative_errors

pytestmark = pytest.mark.usefixtures("hostile")

GRID = sigmas.vp_linear(14)
KNOWN = Spectral(statistics=known_statistics(REGIMES))


@pytest.fixture
def force(monkeypatch):
    return lambda transposes: monkeypatch.setattr(ScanSize, "transposes", transposes)


def drawn(problem, solver, window, group=None):
    one = engine(problem, solver, window, mode="fast", tolerance=1e-6, group=group)
    return one.run().clone(), one.history.made


@pytest.mark.parametrize("ranks", [2, 3, 5])
@pytest.mark.parametrize("solver", [Picard(), KNOWN], ids=["Picard", "Spectral"])
@pytest.mark.parametrize("sampler", [DDPM(), DPMpp3M()], ids=lambda sampler: type(sampler).__name__)
def test_members_are_the_same_either_way_on_any_number_of_ranks(sampler, solver, ranks, force, monkeypatch):
    """Windows slide, fewer points enter than there are ranks, and the last ones are shorter than the ranks are many."""
    problem, scanned = chain(REGIMES, sampler, GRID, members=2, mode="fast"), []
    scatter = transposed.Transposed.scatter
    monkeypatch.setattr(transposed.Transposed, "scatter", lambda way, rows: scanned.append(way.ranks) or scatter(way, rows))
    alone, rounds = drawn(problem, solver, 7)
    for transposes in (False, True):
        force(transposes)
        results = crew(ranks, lambda group: drawn(problem, solver, 7, group))
        assert relative_errors(results[0][0], alone).max() < 1e-9 and abs(int(results[0][1]) - int(rounds)) <= 1
        assert bool(scanned) == transposes
    assert range(ranks) in scanned and (ranks < 5 or any(one.start > 0 for one in scanned))
    again = crew(ranks, lambda group: drawn(problem, solver, 7, group))
    assert torch.equal(again[0][0], results[0][0])


@pytest.mark.parametrize("solver", [Picard(), KNOWN], ids=["Picard", "Spectral"])
def test_a_run_that_goes_on_has_the_bits_of_one_that_was_not_cut(solver, force):
    problem = chain(REGIMES, DDPM(), GRID, members=2, mode="fast")
    force(True)

    def leave(group):
        one = engine(problem, solver, 7, mode="fast", group=group)
        for _ in range(3):
            one.advance()
        return one.state()

    def go_on(group):
        one = engine(problem, solver, 7, mode="fast", group=group)
        restore(one, left)
        return one.run().clone()

    left = snapshots(crew(3, leave))
    whole = crew(3, lambda group: engine(problem, solver, 7, mode="fast", group=group).run().clone())
    assert torch.equal(crew(3, go_on)[0], whole[0])
