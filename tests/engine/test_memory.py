"""How many states a round keeps in memory, and that working in pieces changes no bit."""

import pytest
import torch

from parampi import sigmas
from parampi.basis import rows
from parampi.bench.dispatch_counts import DispatchCounts
from parampi.bench.engine import Case, PointwiseData, counted
from parampi.parallel import local_scans, window
from parampi.samplers import DDIM, DDPM, DPMpp2M
from parampi.solvers import ParaSolver, ParaTAA, Picard, Spectral
from tests.engines import REGIMES, chain, engine

SHAPE, POINTS = (8, 256, 256), 4


@pytest.mark.parametrize(("sampler", "fields"), [("ddim", 3 + 4 / POINTS), ("ddpm", 4 + 4 / POINTS)])
def test_picard_keeps_what_the_algebra_needs(sampler, fields):
    """States, and by turns denoised fields and step map, or step map and changes; with noise, that too; and the two denoised
    fields at the end of the window."""
    case, counts = Case("Picard", sampler, SHAPE, POINTS, torch.float32), DispatchCounts()
    counted(case, counts, PointwiseData(counts, "cpu"))
    state = 4 * POINTS * SHAPE[0] * SHAPE[1] * SHAPE[2]
    # a processor's cache holds the rest
    assert fields - 0.1 < counts.peak / state < fields + 0.3


@pytest.mark.parametrize("solver", [Picard(), ParaSolver(), ParaTAA(), Spectral()], ids=lambda solver: type(solver).__name__)
@pytest.mark.parametrize("sampler", [DDIM(), DDPM(), DPMpp2M()], ids=lambda sampler: type(sampler).__name__)
def test_pieces_change_no_bit(solver, sampler, monkeypatch):
    def run():
        problem = chain(REGIMES, sampler, sigmas.vp_linear(12), members=2)
        return (one := engine(problem, solver, 5)).run().clone(), one.history.made

    whole, rounds = run()
    monkeypatch.setitem(rows.WHOLE, "cpu", 700)
    monkeypatch.setattr(window, "LARGE", 1)
    monkeypatch.setattr(local_scans, "PIECE", 100)
    fields, again = run()
    assert torch.equal(fields, whole)
    assert again == rounds
