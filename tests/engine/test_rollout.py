"""Roll-outs swept together: lead times against the serial sampler, ranks, snapshots, and what stays within bounds."""

import pytest
import torch

from parampi import NonFiniteError
from parampi.engine import EngineOptions, engine_for
from parampi.engine.snapshot import restore
from parampi.parallel import SerialGroup
from parampi.solvers import PIADM, ParaSolver, ParaTAA, Picard, Serial, Spectral
from tests.crew import crew
from tests.engine.snapshots import snapshots
from tests.engines import relative_errors
from tests.forecasts import DDIM, DDPM, DPMpp2M, Heun, advanced, chain, denoise, denoise_weakly, fields, rest, serial_from_used

pytestmark = pytest.mark.usefixtures("hostile")

SOLVERS = (Picard(), Spectral(), ParaTAA(), ParaSolver())
SAMPLERS = (DDIM(), DDPM(), Heun(), DPMpp2M())


def named(value):
    return type(value).__name__


@pytest.mark.parametrize("solver", SOLVERS, ids=named)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=named)
@pytest.mark.parametrize(("window", "flight"), [(None, 2), (4, None), (25, None)])
def test_every_lead_time_is_the_serial_samplers_from_the_condition_used(solver, sampler, window, flight):
    problem = chain(sampler, members=2, count=3)
    engine, finished = advanced(problem, solver, window, flight, tol=1e-4, mode="fast")
    drawn = fields(problem, finished)
    assert len(finished) == 6 and [lead.lead for lead in finished if lead.column == 1] == [0, 1, 2]
    errors = relative_errors(drawn.flatten(0, 1), serial_from_used(problem, drawn).flatten(0, 1))
    assert errors.max() < 1.5e-4 and (errors > 1e-4).sum() <= 1, errors.max()
    assert sum(lead.evaluations for lead in finished) == engine.history.evaluations.sum()
    assert sum(lead.rounds for lead in finished if lead.column == 0) == engine.history.rounds[0]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=named)
def test_windows_slide_over_the_ends_of_lead_times_without_a_stop(sampler):
    """With the last point of a lead time, points of the next are accepted where its condition changes little; the errors that
    this leaves are within the tolerance, and the estimate is above them."""
    problem = chain(sampler, members=3, count=6)
    engine, steps = engine_for(problem, Spectral(), SerialGroup(), EngineOptions(8, 1e-3, "fast")), problem.equations.steps
    over, before = 0, engine.first
    while not engine.finished:
        engine.advance()
        over += int(((engine.first // steps > before // steps) & (engine.first % steps > 0)).sum())
        before = engine.first
    finished = engine.finished_leads
    drawn = fields(problem, finished)
    errors = relative_errors(drawn.flatten(0, 1), serial_from_used(problem, drawn).flatten(0, 1))
    estimates = torch.tensor([[lead.error_estimate for lead in finished if lead.lead == number] for number in range(6)])
    assert over > 0 or isinstance(sampler, DPMpp2M)  # two points read each denoised field: twice the errors
    assert errors.max() < 1e-3 and (errors < estimates.flatten()).float().mean() > 0.9


@pytest.mark.parametrize("solver", (Picard(), Spectral(), ParaTAA()), ids=named)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=named)
def test_several_lead_times_end_in_one_round(solver, sampler):
    """Where a lead time hardly depends on the one before, its end is accepted with that one's end: on any ranks in the same
    round, with errors within the tolerance and estimates above them."""
    problem, tol = chain(sampler, members=2, count=8, denoiser=denoise_weakly), 0.1
    engine, finished = advanced(problem, solver, flight=4, tol=tol)
    drawn = fields(problem, finished)
    errors = relative_errors(drawn.flatten(0, 1), serial_from_used(problem, drawn, denoise_weakly).flatten(0, 1))
    together = any(lead.rounds == 0 for lead in finished)
    assert together or isinstance(solver, ParaTAA)  # it sweeps each lead time more often before it mixes
    assert errors.max() < tol, errors.max()
    assert all(0 < lead.residual < 1 and lead.error_estimate <= tol for lead in finished)
    assert [lead.lead for lead in finished if lead.column == 1] == list(range(8))
    assert sum(lead.evaluations for lead in finished) == engine.history.evaluations.sum()
    assert sum(lead.rounds for lead in finished if lead.column == 0) == engine.history.rounds[0]
    others = crew(3, lambda group: advanced(problem, solver, flight=4, tol=tol, group=group))
    assert torch.equal(fields(problem, others[0][1]), drawn) and costs(others[0][1]) == costs(finished)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=named)
def test_a_window_of_one_point_is_the_serial_roll_out_to_the_last_bit(sampler):
    problem = chain(sampler, members=2, count=3, history=2)
    drawn = fields(problem, advanced(problem, Serial(), None, None)[1])
    assert torch.equal(drawn, serial_from_used(problem, drawn))


@pytest.mark.parametrize("solver", (Picard("block"), PIADM()), ids=named)
def test_solvers_with_blocks_go_from_one_lead_time_to_the_next(solver):
    problem = chain(DDPM(), members=2, count=3)
    engine, finished = advanced(problem, solver, 5, mode="fast")
    assert engine.slice.reach.leads == 1 and len(finished) == 6
    drawn = fields(problem, finished)
    assert relative_errors(drawn.flatten(0, 1), serial_from_used(problem, drawn).flatten(0, 1)).max() < 1e-2


@pytest.mark.parametrize("solver", (Picard(), Spectral(), ParaTAA()), ids=named)
@pytest.mark.parametrize("sampler", (DDPM(), Heun()), ids=named)
@pytest.mark.parametrize("window", [6, 25])
def test_ranks_draw_the_same_bits(solver, sampler, window):
    problem = chain(sampler, members=2, history=2, count=3)
    alone, finished = advanced(problem, solver, window)
    for ranks in (2, 5):
        others = crew(ranks, lambda group: advanced(problem, solver, window, group=group))
        assert torch.equal(fields(problem, others[0][1]), fields(problem, finished)), ranks
        assert (others[0][0].history.evaluations == alone.history.evaluations).all(), ranks


def begun(problem, solver, group, rounds=0):
    """An engine after so many rounds; returns it, its state, and the lead times that are finished by then."""
    engine = engine_for(problem, solver, group, EngineOptions(25, 1e-3, "bitwise"))
    for _ in range(rounds):
        engine.advance()
    finished, engine.finished_leads = engine.finished_leads, []
    return engine, engine.state(), finished


def on(ranks, work):
    return crew(ranks, work) if ranks > 1 else [work(SerialGroup())]


@pytest.mark.parametrize("solver", (Picard(), Spectral()), ids=named)
@pytest.mark.parametrize(("before", "after"), [(1, 1), (2, 5), (5, 1)])
def test_a_flight_goes_on_to_the_same_bits_on_other_ranks(solver, before, after):
    problem = chain(DDPM(), members=2, history=2, count=3)
    whole, finished = advanced(problem, solver, 25)
    for rounds in (3, whole.history.made // 2, whole.history.made - 1):
        left = on(before, lambda group, rounds=rounds: begun(problem, solver, group, rounds))
        members = snapshots([state for _, state, _ in left])

        def go_on(group, members=members):
            engine = begun(problem, solver, group)[0]
            restore(engine, members)
            return rest(engine)

        early, late = left[0][2], on(after, go_on)[0]
        assert torch.equal(fields(problem, early + late), fields(problem, finished)), rounds
        assert costs(early + late) == costs(finished), rounds


def costs(finished):
    return {(lead.column, lead.lead): (lead.rounds, lead.evaluations, lead.error_estimate, lead.residual) for lead in finished}


def test_members_do_not_know_of_one_another():
    several, one = chain(members=3), chain(members=1)
    drawn = fields(several, advanced(several, Spectral(), 25)[1])
    assert torch.equal(drawn[:, :1], fields(one, advanced(one, Spectral(), 25)[1]))


def test_a_nan_names_the_lead_time():
    def broken(x, sigma, condition):
        fails = (condition[:, :1, :1, :1] < -0.8) & (sigma.view(-1, 1, 1, 1) < 0.3)
        return torch.where(fails, torch.nan, denoise(x, sigma, condition))

    with pytest.raises(NonFiniteError, match=r"member 0 at point 7 of lead time 4 \(sigma = ") as failure:
        advanced(chain(members=1, count=6, denoiser=broken), Serial())
    assert failure.value.lead == 3
