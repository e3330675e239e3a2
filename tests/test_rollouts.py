"""`parampi.rollout`: fields of lead times, their reports, streaming, and what is refused."""

from itertools import pairwise

import pytest
import torch

import parampi
from parampi import ConfigError, NonFiniteError, OutputError
from parampi.diffusion.noise import lead_seed, normal
from parampi.samplers import DDIM, DDPM, Collocation
from parampi.solvers import Parareal, Picard, Spectral
from tests.engines import relative_errors
from tests.forecasts import GRID, SHAPE, chain, condition, denoise, serial_from_used, starts, update

OPTIONS = {"sigmas": GRID, "sampler": DDPM(), "tol": 1e-3, "condition": condition, "update": update}


def test_fields_of_all_lead_times_and_what_they_cost():
    drawn = parampi.rollout(denoise, starts(2)[:, 0], SHAPE, 4, solver=Spectral(), **OPTIONS)
    assert drawn.fields.shape == (4, 2, *SHAPE) and drawn.members == [0, 1]
    errors = relative_errors(drawn.fields.flatten(0, 1), serial_from_used(chain(members=2), drawn.fields).flatten(0, 1))
    assert errors.max() < 1e-3
    report = drawn.report
    assert [(member.lead, member.member) for member in report.members] == [(lead, m) for lead in range(4) for m in (0, 1)]
    assert report.layout["window"] == 20 and report.layout["flight"] == 3 and report.layout["lead_times"] == 4
    per_member = [sum(member.rounds for member in report.members if member.member == m) for m in (0, 1)]
    assert report.serial_rounds == 40 and report.rounds == max(per_member) < 40
    assert report.evaluations == sum(member.evaluations for member in report.members)
    assert all(entry.first + len(entry.changes) <= 10 for history in report.residuals.values() for entry in history)


def test_sample_is_the_case_of_one_lead_time():
    before = starts(2)[:, 0]
    one = parampi.rollout(denoise, before, SHAPE, 1, mode="bitwise", **OPTIONS)
    given = parampi.sample(
        denoise,
        SHAPE,
        2,
        GRID,
        DDPM(),
        tol=1e-3,
        mode="bitwise",
        condition=lambda numbers: condition(before[numbers], 0, numbers),
    )
    assert torch.equal(one.fields[0], given.fields)
    assert [vars(a) for a in one.report.members] == [vars(b) for b in given.report.members]


def test_lead_times_come_as_they_are_finished_and_members_by_number():
    whole = parampi.rollout(denoise, starts(4)[:, 0], SHAPE, 5, mode="bitwise", solver=Picard(), **OPTIONS)
    came, rounds = [], []
    parampi.rollout(
        denoise, lambda numbers: starts(4)[numbers, 0], SHAPE, 5, members=[3, 1], batch=1, mode="bitwise", solver=Picard(),
        keep=lambda field, member: came.append((member.member, member.lead, len(rounds), field.clone())),
        watch=lambda entry, steps: rounds.append(steps), **OPTIONS,
    )  # fmt: skip
    assert [(member, lead) for member, lead, *_ in came] == [(m, lead) for m in (3, 1) for lead in range(5)]
    assert all(torch.equal(field, whole.fields[lead, member]) for member, lead, _, field in came)
    assert len({number for *_, number, _ in came}) > 5 and set(rounds) == {50}


def test_a_history_of_two_states():
    drawn = parampi.rollout(denoise, starts(2, 2), SHAPE, 3, history=2, **OPTIONS)
    reference = serial_from_used(chain(members=2, history=2), drawn.fields)
    assert relative_errors(drawn.fields.flatten(0, 1), reference.flatten(0, 1)).max() < 1e-3


def test_a_sink_that_fails_and_a_network_that_does():
    def full(field, member):
        if member.lead == 2:
            raise OutputError("no space left")

    with pytest.raises(OutputError, match="no space left"):
        parampi.rollout(denoise, starts(1)[:, 0], SHAPE, 4, keep=full, **OPTIONS)

    def broken(x, sigma, given):
        return torch.where(given[:, :1, :1, :1] < -0.8, torch.nan, denoise(x, sigma, given))

    with pytest.raises(NonFiniteError, match="of lead time 4") as failure:
        parampi.rollout(broken, starts(1)[:, 0], SHAPE, 8, flight=1, **OPTIONS)
    assert failure.value.ensemble.fields.shape == (3, 1, *SHAPE)


REFUSED = {
    "lead_times = 0; give a whole number": {"lead_times": 0},
    "flight = 0 has no lead times": {"flight": 0},
    "history = 1.5; give a whole number": {"history": 1.5},
    "start has 2 states for 3 members": {"members": 3},
    "members is missing": {"start": lambda numbers: None},
    "start = 'zero'; give states": {"start": "zero"},
    r"start gave states of shape \(1, 1, 3, 4\); give \(1, 2, \*state\)": {"history": 2},
    r"condition returned shape \(2, 1, 3, 4\) of .* at lead time 1": {"condition": lambda s, lead, numbers: torch.cat([s, s])},
    r"update returned shape \(3, 4\) of .* at lead time 1": {"update": lambda state, drawn, lead, numbers: drawn[0, 0]},
    "update = 3 cannot be called": {"update": 3},
    "start has NaN or Inf for member 1": {"start": starts(2)[:, 0] * torch.tensor([1.0, torch.inf]).view(2, 1, 1, 1)},
    r"condition returned shape \(\) of .* it must return one for each": {"condition": lambda s, lead, n: torch.tensor(1.0)},
    "condition returned NoneType at lead time 1; it must return a tensor": {"condition": lambda s, lead, numbers: None},
    "update returned NoneType at lead time 1; it must return a tensor": {"update": lambda state, drawn, lead, numbers: None},
    r"condition returned .* at lead time 2; it must return \(1, 1, 3, 4\) of torch.float64": {
        "condition": lambda s, lead, numbers: s.to([torch.float64, torch.float32][lead])
    },
    r"prepare returned .* at lead time 2; it must return \(1, 1, 3, 4\) of": {
        "condition": lambda s, lead, numbers: s[..., : 4 - lead],
        "prepare": lambda given: given,
    },
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_makes_no_sense_is_refused(message):
    arguments = {"start": starts(2)[:, 0], "lead_times": 2, **OPTIONS, **REFUSED[message]}
    start, lead_times = arguments.pop("start"), arguments.pop("lead_times")
    with pytest.raises(ConfigError, match=message):
        parampi.rollout(denoise, start, SHAPE, lead_times, **arguments)


def test_solvers_that_step_through_blocks_go_from_one_lead_time_to_the_next():
    drawn = parampi.rollout(denoise, starts(2)[:, 0], SHAPE, 3, solver=Parareal(), **OPTIONS)
    reference = serial_from_used(chain(members=2), drawn.fields)
    assert relative_errors(drawn.fields.flatten(0, 1), reference.flatten(0, 1)).max() < 1e-3
    assert drawn.report.layout["flight"] == 1


def test_collocation_goes_from_one_lead_time_to_the_next():
    options = {"solver": Spectral(), "sampler": Collocation(), "sigmas": GRID}
    drawn = parampi.rollout(denoise, starts(2)[:, 0], SHAPE, 3, condition=condition, update=update, **options)
    assert drawn.report.layout["flight"] == 1
    before = starts(2)[:, 0]
    for lead, fields in enumerate(drawn.fields):
        given = condition(before, lead, [0, 1])
        options |= {"tol": 1e-8, "seed": lead_seed(0, lead), "condition": lambda numbers, given=given: given[numbers]}
        assert relative_errors(fields, parampi.sample(denoise, SHAPE, 2, **options).fields).max() < 1e-3
        before = update(before, fields, lead, [0, 1])


BUFFER = torch.empty(1, *SHAPE, dtype=torch.float64)


def doubled_after(function):
    """The function, which then doubles all that it was given, in place."""

    def work(*given):
        result = function(*given).clone()
        for tensor in given[: 1 + torch.is_tensor(given[1])]:
            tensor.mul_(2.0)
        return result

    return work


WRITING = {
    "condition": {"condition": doubled_after(condition)},
    "update": {"update": doubled_after(update)},
    "finish": {"finish": doubled_after(lambda field, given: field + 0.1 * given)},
    "the state itself": {"update": lambda state, drawn, lead, numbers: state.mul_(0.6).add_(drawn)},
    "one buffer for all conditions": {"condition": lambda *given: BUFFER.copy_(condition(*given))},
}


@pytest.mark.parametrize("history", [1, 2])
@pytest.mark.parametrize("functions", WRITING)
def test_functions_may_write_into_what_they_are_given(functions, history):
    before = starts(2, history) if history > 1 else starts(2)[:, 0]
    options = {**OPTIONS, "history": history, "flight": 4, "mode": "bitwise", "solver": Picard()}
    clean = {"finish": lambda field, given: field + 0.1 * given} if functions == "finish" else {}
    expected = parampi.rollout(denoise, before, SHAPE, 5, **options, **clean)
    drawn = parampi.rollout(denoise, before.clone(), SHAPE, 5, **{**options, **WRITING[functions]})
    assert torch.equal(drawn.fields, expected.fields)


def test_functions_keep_no_gradients():
    weight, seen = torch.ones((), dtype=torch.float64, requires_grad=True), []

    def weighted(function):
        def work(*given):
            seen.extend(part.requires_grad for part in given if torch.is_tensor(part))
            return weight * function(*given)

        return work

    functions = {"condition": weighted(condition), "update": weighted(update)}
    drawn = parampi.rollout(denoise, starts(1)[:, 0].requires_grad_(), SHAPE, 3, **{**OPTIONS, **functions})
    assert seen and not any(seen) and not drawn.fields.requires_grad


@pytest.mark.parametrize("flight", [3, 9])
def test_a_lead_time_is_the_same_however_many_follow(flight):
    options = {**OPTIONS, "flight": flight, "mode": "bitwise", "solver": Picard()}
    few, many = (parampi.rollout(denoise, starts(2)[:, 0], SHAPE, count, **options).fields for count in (2, 12))
    assert torch.equal(few, many[:2])


def test_what_a_condition_that_is_not_finite_says():
    def broken(states, lead, numbers):
        return condition(states, lead, numbers) * (torch.nan if lead == 2 else 1.0)

    with pytest.raises(NonFiniteError, match=r"point 0 of lead time 3 .* what condition, update and finish return"):
        parampi.rollout(denoise, starts(2)[:, 0], SHAPE, 4, **{**OPTIONS, "condition": broken})


@pytest.mark.parametrize("solver", [Picard(), Parareal()])
def test_noise_from_outside(solver):
    """Another sampler's noise gives its fields: here a loop of Euler's steps."""
    table = torch.randn(2, 3, len(GRID), *SHAPE, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    options = OPTIONS | {"sampler": DDIM(), "tol": 1e-9, "noise": lambda member, lead, point: table[member, lead, point]}
    drawn = parampi.rollout(denoise, starts(2)[:, 0], SHAPE, 3, solver=solver, **options)
    state = starts(2)[:, 0]
    for lead in range(3):
        x, given = (1 + GRID[0] ** 2).sqrt() * table[:, lead, 0], condition(state, lead, [0, 1])
        for now, then in pairwise(GRID):
            denoised = denoise(x, now.expand(2), given)
            x = denoised + then / now * (x - denoised)
        assert relative_errors(drawn.fields[lead], x).max() < 1e-8
        state = update(state, drawn.fields[lead], lead, [0, 1])
    with pytest.raises(ConfigError, match=r"noise gave int; it must give standard normals of one member at one point"):
        parampi.rollout(denoise, starts(2)[:, 0], SHAPE, 3, **OPTIONS | {"noise": lambda *place: 1, "probe": False})


def test_noise_like_our_own_gives_the_same_bits():
    def own(member, lead, point):
        return normal(lead_seed(5, lead), torch.tensor([member]), torch.tensor([point]), SHAPE)[0, 0]

    one, other = (
        parampi.rollout(denoise, starts(2)[:, 0], SHAPE, 3, seed=5, mode="bitwise", noise=noise, **OPTIONS)
        for noise in (None, own)
    )
    assert torch.equal(one.fields, other.fields)
