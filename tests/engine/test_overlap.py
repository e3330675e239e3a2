"""Rounds of two halves of the members that alternate: the bits, the rounds and the counts of one engine of all members."""

import copy
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import parampi
from parampi import ConfigError, InterruptionError, NonFiniteError, sigmas
from parampi.__main__ import main
from parampi.diffusion.call_queue import CallQueue
from parampi.engine import EngineOptions, engine_for
from parampi.engine.alternating import AlternatingHalves
from parampi.engine.clocked_network import BatchSeconds, CallCosts, SimulatedAccelerator
from parampi.engine.driven import Messages, drive
from parampi.engine.history import COUNTS
from parampi.engine.snapshot import restore
from parampi.parallel import SerialGroup
from parampi.run.checkpoint.writer import contents, read_snapshot
from parampi.samplers import DDIM, DDPM, Collocation, Heun
from parampi.solvers import Newton, Parareal, ParaTAA, Picard, Serial, Spectral
from tests import forecasts
from tests.crew import crew
from tests.engine.snapshots import snapshots
from tests.engines import REGIMES, chain
from tests.small import write_project

pytestmark = pytest.mark.usefixtures("hostile")

GRID = sigmas.vp_linear(16)
MEMBERS = [4, 9, 2, 7, 5]


def named(value):
    return type(value).__name__ + ("" if getattr(value, "eta", 0.0) == 0.0 else "-sde")


def engine(problem, solver, group=None, overlap=True, window=6, watch=None):
    window = None if solver.wavefront or isinstance(solver, Serial) or not problem.equations.causal else window
    return engine_for(problem, solver, group or SerialGroup(), EngineOptions(window, 1e-3, "bitwise", watch, overlap=overlap))


def run_with_rounds(problem, solver, overlap):
    rounds = []
    made = engine(problem, solver, overlap=overlap, watch=lambda entry, steps: rounds.append(entry))
    made.run()
    return made, rounds


def on(ranks, work):
    return crew(ranks, work) if ranks > 1 else [work(SerialGroup())]


def assert_same(found, expected):
    assert torch.equal(found.result, expected.result)
    for name in COUNTS:
        assert (getattr(found.history, name) == getattr(expected.history, name)).all(), name


@pytest.mark.parametrize("sampler", [DDIM(), DDPM(), Heun()], ids=named)
@pytest.mark.parametrize("solver", [Picard(), Spectral(), ParaTAA(), Parareal(4), Serial()], ids=named)
def test_rounds_are_those_of_all_members_at_once(solver, sampler):
    assert_rounds_are_the_same(chain(REGIMES, sampler, GRID, members=MEMBERS), solver)


def test_sweeps_that_call_the_network():
    assert_rounds_are_the_same(chain(REGIMES, DDPM(), sigmas.vp_linear(8), members=3), Newton())


def assert_rounds_are_the_same(problem, solver):
    (whole, expected), (halves, found) = (run_with_rounds(problem, solver, overlap) for overlap in (False, True))
    assert isinstance(halves, AlternatingHalves) and not isinstance(whole, AlternatingHalves)
    assert_same(halves, whole)
    assert halves.history.group_rounds == whole.history.group_rounds and len(halves.history.log) == len(whole.history.log)
    for one, other in zip(found, expected, strict=True):
        for name in ("number", "first", "lengths", "slides", "evaluations"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
        for member, length in enumerate(one.lengths):
            assert np.array_equal(one.changes[:length, member], other.changes[:length, member])


def test_collocation_whose_steps_read_later_points():
    problem = chain(REGIMES, Collocation(), GRID, members=3)
    assert_same(*(run_with_rounds(problem, Spectral(), overlap)[0] for overlap in (True, False)))


@pytest.mark.parametrize("solver", [Picard(), Spectral(), Parareal(4)], ids=named)
@pytest.mark.parametrize("ranks", [2, 3])
def test_several_ranks_take_the_steps_of_both_halves_in_one_order(solver, ranks):
    """A message that met another's receive would fail, or be left over."""
    problem = chain(REGIMES, DDPM(), GRID, members=MEMBERS)

    def drawn(group):
        made = engine(problem, solver, group)
        made.run()
        return made

    assert_same(crew(ranks, drawn)[0], run_with_rounds(problem, solver, False)[0])


def test_a_half_that_ends_early_leaves_the_other_alone():
    """Two members that need few rounds beside two that need many."""
    made = {n: run_with_rounds(chain(REGIMES, DDPM(), GRID, members=[n]), Picard(), False)[0] for n in range(12)}
    order = sorted(made, key=lambda n: made[n].history.group_rounds)
    quick, slow = order[:2], order[-2:]
    assert made[quick[1]].history.group_rounds < made[slow[0]].history.group_rounds
    for members in (quick + slow, slow + quick):
        problem = chain(REGIMES, DDPM(), GRID, members=members)
        halves, rounds = run_with_rounds(problem, Picard(), True)
        assert [entry.number for entry in rounds] == list(range(1, made[slow[1]].history.group_rounds + 1))
        assert (rounds[-1].evaluations > 0).tolist() == [made[n].history.group_rounds == len(rounds) for n in members]
        for column, number in enumerate(members):
            assert torch.equal(halves.result[column], made[number].result[0])


def left_after(problem, solver, ranks, rounds, overlap):
    def leave(group):
        made = engine(problem, solver, group, overlap)
        for _ in range(rounds):
            made.advance()
        return copy.deepcopy(made.state())

    return snapshots(on(ranks, leave))


@pytest.mark.parametrize("solver", [Picard(), Spectral(), Parareal(4)], ids=named)
@pytest.mark.parametrize(("before", "after"), [((1, True), (2, False)), ((2, False), (1, True)), ((2, True), (3, True))])
def test_members_left_by_either_way_go_on_by_either_way(solver, before, after):
    left = left_after(chain(REGIMES, DDPM(), GRID, members=MEMBERS), solver, before[0], 4, before[1])
    company = chain(REGIMES, DDPM(), GRID, members=[5, 4, 11, 2, 7])

    def go_on(group):
        made = engine(company, solver, group, after[1])
        restore(made, [left[4], left[0], None, left[2], left[3]])
        made.run()
        return made

    resumed, whole = on(after[0], go_on)[0], run_with_rounds(company, solver, False)[0]
    assert_same(resumed, whole)
    assert resumed.history.group_rounds >= whole.history.rounds.max()


@pytest.mark.parametrize("rounds", [4, 9])
def test_files_of_a_round_hold_members_of_both_halves(rounds, tmp_path):
    """Also where one half is finished, and holds no points."""
    problem = chain(REGIMES, DDPM(), GRID, members=[1, 4, 2, 0])

    def leave(group):
        made = engine(problem, Picard(), group)
        for _ in range(rounds):
            made.advance()
        save_file(contents(made), tmp_path / f"rank-{group.rank}.safetensors")
        return [column for column in range(4) if made.first[column] < problem.steps], [half.finished for half in made.halves]

    going, finished = crew(2, leave)[0]
    assert going and any(finished) == (rounds == 9)
    company = chain(REGIMES, DDPM(), GRID, members=problem.members[going].tolist())
    for overlap in (False, True):
        resumed = engine(company, Picard(), overlap=overlap)
        restore(resumed, [read_snapshot([str(tmp_path), column, 2]) for column in going])
        resumed.run()
        assert_same(resumed, run_with_rounds(company, Picard(), False)[0])


def test_a_half_of_which_nothing_was_kept_begins_beside_one_that_goes_on():
    left = left_after(chain(REGIMES, DDPM(), GRID, members=[4, 9]), Spectral(), 1, 4, True)
    company = chain(REGIMES, DDPM(), GRID, members=[4, 9, 1, 2])
    resumed = engine(company, Spectral())
    restore(resumed, [*left, None, None])
    resumed.run()
    assert_same(resumed, run_with_rounds(company, Spectral(), False)[0])


@pytest.mark.parametrize("solver", [Picard(), Spectral()], ids=named)
@pytest.mark.parametrize(("window", "ranks"), [(None, 1), (25, 2)])
def test_roll_outs(solver, window, ranks):
    """All lead times together: what is drawn, what each lead time cost, and where it was kept."""
    problem = forecasts.chain(members=3, count=3, history=2)

    def advanced(group, overlap):
        made = engine(problem, solver, group, overlap, window)
        return made, forecasts.rest(made)

    (whole, expected), (halves, found) = advanced(SerialGroup(), False), on(ranks, lambda group: advanced(group, True))[0]
    assert torch.equal(forecasts.fields(problem, found), forecasts.fields(problem, expected))
    assert (halves.history.evaluations == whole.history.evaluations).all()
    costs = [
        sorted((lead.lead, lead.column, lead.rounds, lead.evaluations, lead.residual) for lead in leads)
        for leads in (found, expected)
    ]
    assert costs[0] == costs[1] and len(found) == 9


def test_roll_outs_go_on_from_a_snapshot():
    problem = forecasts.chain(members=3, count=3)
    before = engine(problem, Picard())
    finished = []
    for _ in range(9):
        before.advance()
    finished += before.finished_leads
    left, resumed = snapshots([before.state()]), engine(problem, Picard())
    restore(resumed, left)
    finished += forecasts.rest(resumed)
    whole = forecasts.rest(engine(problem, Picard(), overlap=False))
    assert torch.equal(forecasts.fields(problem, finished), forecasts.fields(problem, whole))


# ---------------------------------------------------------------------- the library's entry points


class Poisoned:
    """The regimes; fields of members whose start is one of some are lost below a noise level."""

    sigma_data = REGIMES.sigma_data

    def __init__(self, wrong):
        self.wrong = wrong

    def __call__(self, x, sigma, condition):
        bad = (condition.flatten(1)[:, 0] == self.wrong) & (sigma < 1.0)
        return torch.where(bad.view(-1, 1, 1, 1), torch.nan, REGIMES(x, sigma))


def drawn(denoiser=REGIMES, members=4, **options):
    options = {"solver": Picard(), "sampler": DDPM(), "window": 6, "mode": "bitwise", "overlap": True, **options}
    return parampi.sample(denoiser, REGIMES.shape, members, GRID, **options)


@pytest.mark.parametrize("wrong", [0, 3])
def test_fields_of_one_half_that_are_lost_end_the_run_with_their_place(wrong):
    """Member 0 is in the first half, member 3 in the second; what is said of it is what is said without halves."""
    given = {"condition": lambda numbers: torch.tensor([[float(n)] for n in numbers])}
    said = []
    for overlap in (False, True):
        with pytest.raises(NonFiniteError, match=f"member {wrong}") as caught:
            drawn(Poisoned(wrong), overlap=overlap, probe=False, **given)
        said.append(str(caught.value))
        assert caught.value.ensemble.report.outcome == "nonfinite"
    assert said[0] == said[1]


def test_batches_reports_and_members_finished_are_those_without_halves():
    one, other = (drawn(members=7, batch=3, overlap=overlap) for overlap in (True, False))
    assert torch.equal(one.fields, other.fields) and one.report.members == other.report.members
    assert one.report.residuals == other.report.residuals and one.report.rounds == other.report.rounds
    assert one.report.layout == {**other.report.layout, "overlap": 1}


def test_a_run_has_it_as_a_key_of_its_configuration(tmp_path, capsys):
    path = write_project(tmp_path, sampling__members=3)
    assert main(["run", str(path), "parallel.overlap=true"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["layout"]["overlap"] == 1 and len(report["members"]) == 3
    assert main(["run", str(path), "--overwrite", "parallel.overlap=auto"]) == 0
    assert "overlap" not in json.loads((tmp_path / "out" / "report.json").read_text())["layout"]
    assert main(["run", str(path), "--overwrite", "parallel.overlap=maybe"]) == 2
    assert 'parallel.overlap = "maybe": give true, false or auto' in capsys.readouterr().err


def test_results_agree_to_rounding_in_fast_mode():
    one, other = (drawn(mode="fast", tol=1e-8, overlap=overlap).fields for overlap in (True, False))
    assert torch.allclose(one, other, rtol=0, atol=1e-10)


def test_a_stop_between_two_rounds_is_one_of_both_halves():
    class Stops:
        engine = None

        def restore(self, engine, members):
            self.engine = engine

        def after(self, engine):
            assert engine is self.engine and not any(engine.shown)
            return engine.history.made == 3

    with pytest.raises(InterruptionError):
        drawn(safeguard=Stops())


def test_a_roll_out_by_parareal_is_refused_and_so_is_what_is_no_switch():
    with pytest.raises(ConfigError, match=r"overlap = True, and Parareal takes all members .* leave overlap out, or take"):
        parampi.rollout(
            forecasts.denoise, forecasts.starts(2)[:, 0], forecasts.SHAPE, 2, sigmas=forecasts.GRID, sampler=DDPM(),
            solver=Parareal(), overlap=True,
        )  # fmt: skip
    with pytest.raises(ConfigError, match=r"overlap = 'auto'; give True or False"):
        drawn(overlap="auto")


# ---------------------------------------------------------------------- what it hides


def test_a_simulated_accelerator_makes_calls_one_after_another():
    now = [10.0]
    costs = CallCosts()
    accelerator = SimulatedAccelerator(lambda fields: 2.0 * fields, costs, lambda: now[0] + costs.own)
    fields, marks = torch.zeros(0), []
    for sizes in ([1], [2, 1]):
        accelerator.enter(-100.0, sizes)
        marks.append(accelerator.mark())
    assert [own for _, own in marks] == [12.0, 18.0] and costs.busy == 8.0
    now[0] = 11.5
    accelerator.wait(marks[0], fields)
    assert costs.own == 0.5
    now[0] = 20.0
    accelerator.wait(marks[1], fields)
    assert costs.own == 0.5 and costs.wall < 1.0


def costs_of(overlap: bool, seconds: BatchSeconds, members: int = 4):
    problem, options = chain(REGIMES, DDPM(), GRID, mode="fast"), EngineOptions(6, 1e-2, overlap=overlap)
    return drive(problem, Spectral(), SerialGroup(), options, range(members), messages=Messages(), simulated=seconds)


def test_calls_hide_the_engine_where_half_a_batch_takes_half_the_time():
    """Own seconds, which no other work on this machine changes much: what is left of the engine beside calls is little."""
    without, with_it = (costs_of(overlap, lambda fields: 0.002 * fields) for overlap in (False, True))
    assert with_it.rounds == without.rounds and with_it.busy == pytest.approx(without.busy)
    assert without.network_own >= without.busy * 0.99
    rest = sum(with_it.own) - with_it.network_own
    hidden = with_it.busy - with_it.network_own
    assert hidden > 0.8 * (rest - with_it.own[0]) and sum(with_it.own) < sum(without.own)


def test_flat_calls_cost_twice():
    without, with_it = (costs_of(overlap, lambda fields: 0.02) for overlap in (False, True))
    assert with_it.busy > 1.8 * without.busy and sum(with_it.own) > sum(without.own)


def test_calls_on_a_cpu_are_over_when_they_return():
    network = chain(REGIMES, DDPM(), GRID).network
    beside = network.beside()
    assert type(beside.queue) is CallQueue and beside.clock is network.clock and beside.apart and not network.apart
