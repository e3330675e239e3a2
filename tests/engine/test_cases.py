"""What is made of conditions before members are drawn, and of their fields after."""

import re

import pytest
import torch

from parampi import ConfigError, rollout, sample, sigmas
from parampi.samplers import DDIM, DDPM
from parampi.solvers import Parareal, Picard, Serial

F64 = torch.float64
SHAPE = (1, 4, 4)
GRID = sigmas.karras(6, 0.05, 20.0)
CONDITIONS = torch.randn(3, 2, 4, 4, dtype=F64, generator=torch.Generator().manual_seed(1))
"""Of three cases; the first channel is what the mean is made of."""


class Residual:
    """Denoiser of normal residuals about a tenth of the second channel of what it reads."""

    sigma_data = 1.0

    def __call__(self, x, sigma, condition):
        centre = 0.1 * condition[:, 1:2]
        return centre + 0.3 / (0.3 + sigma.view(-1, 1, 1, 1) ** 2) * (x - centre) + 0.02 * torch.tanh(x)


class Mean:
    """A regression network that counts."""

    def __init__(self):
        self.calls = 0

    def __call__(self, condition):
        self.calls += 1
        assert condition.shape == (1, 2, 4, 4)
        return 3.0 + condition[:, :1]

    def prepare(self, condition):
        mean = self(condition)
        return torch.cat([mean, condition], dim=1)[:, [0, 1]], mean

    @staticmethod
    def finish(field, prepared):
        return field + prepared[1]


def condition(numbers):
    return torch.stack([CONDITIONS[number % 3] for number in numbers])


def case_of(number):
    return number % 3


@pytest.mark.parametrize("batch", [None, 2])
def test_the_mean_is_computed_once_per_case_and_added_at_the_end(batch):
    mean, members = Mean(), [0, 3, 1, 4, 2, 6]
    options = {"tol": 1e-9, "seed": 5, "condition": condition}
    drawn = sample(
        Residual(), SHAPE, members, GRID, DDPM(), Picard(), batch=batch, case_of=case_of, prepare=mean.prepare,
        finish=mean.finish, **options,
    )  # fmt: skip
    assert mean.calls == 3
    for number, field in zip(members, drawn.fields, strict=True):
        by_hand = 3.0 + CONDITIONS[number % 3, :1]
        read = {"condition": torch.cat([by_hand, CONDITIONS[number % 3, :1]])}
        alone = sample(Residual(), SHAPE, [number], GRID, DDPM(), Serial(), seed=5, probe=False, **read)
        torch.testing.assert_close(field, alone.fields[0] + by_hand, rtol=0, atol=1e-8)


def test_members_without_cases_are_cases_of_their_own_and_a_tensor_is_one_case():
    mean = Mean()
    sample(Residual(), SHAPE, 4, GRID, condition=condition, prepare=mean.prepare, finish=mean.finish)
    assert mean.calls == 4
    mean, kept = Mean(), {}
    given = {"condition": CONDITIONS[0], "prepare": mean.prepare, "finish": mean.finish, "network_batch": 3}
    drawn = sample(Residual(), SHAPE, 4, GRID, mode="bitwise", **given)
    assert mean.calls == 1
    given["keep"] = lambda field, member: kept.update({member.member: field.clone()})
    assert sample(Residual(), SHAPE, 4, GRID, mode="bitwise", batch=1, **given).fields is None
    assert torch.equal(torch.stack([kept[k] for k in range(4)]), drawn.fields)


def test_fields_without_conditions_are_finished_too():
    def denoiser(x, sigma):
        return x / (1 + sigma.view(-1, 1, 1, 1) ** 2)

    def finish(field, nothing):
        assert nothing is None
        return field.exp()

    plain = sample(denoiser, SHAPE, 2, GRID, solver=Serial())
    assert torch.equal(sample(denoiser, SHAPE, 2, GRID, solver=Serial(), finish=finish).fields, plain.fields.exp())


@pytest.mark.parametrize("solver", [Picard(), Parareal(blocks=2)], ids=str)
@pytest.mark.parametrize("sampler", [DDIM(), DDPM()], ids=str)
def test_tendencies_become_states_in_rollouts(solver, sampler):
    """`finish` adds the state that `prepare` keeps, as `update` does it in a roll-out without hooks."""
    starts = CONDITIONS[:2]

    def half(states, *_):
        return states[:, :1].expand(-1, 2, -1, -1)

    def denoiser(x, sigma, condition):
        return Residual()(x, sigma, condition)

    calls = []

    def prepare(condition):
        calls.append(condition)
        return condition, condition[:, :1]

    def finish(field, prepared):
        return prepared[1] + 0.5 * field

    options = {"sigmas": GRID, "sampler": sampler, "solver": solver, "tol": 1e-9, "seed": 2, "probe": False}
    plain = rollout(
        denoiser, starts[:, :1], SHAPE, 3, condition=half, update=lambda states, drawn, *_: states + 0.5 * drawn, **options
    )
    kept = rollout(denoiser, starts[:, :1], SHAPE, 3, condition=half, prepare=prepare, finish=finish, **options)
    states = starts[:, :1]
    for lead in range(3):
        states = states + 0.5 * plain.fields[lead]
        torch.testing.assert_close(kept.fields[lead], states, rtol=0, atol=1e-7)
    if isinstance(solver, Parareal):
        assert len(calls) == 6


def test_in_a_flight_of_one_a_lead_time_is_prepared_once():
    calls = []

    def prepare(condition):
        calls.append(1)
        return condition

    starts = CONDITIONS[:2]
    options = {"sigmas": GRID, "window": 3, "flight": 1, "probe": False}
    rollout(Residual(), starts, SHAPE, 4, prepare=prepare, update=lambda states, drawn, *_: states + drawn, **options)
    assert len(calls) == 2 * 4


def wrong(changes):
    return {"condition": condition, "prepare": Mean().prepare, "finish": Mean.finish, **changes}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prepare": 3}, "prepare = 3 is no function; give one, or leave it out"),
        ({"finish": Mean}, "finish = .*Mean.* is no function; give one, or leave it out"),
        ({"condition": None}, "prepare is given, and there is no condition that it could prepare; give a condition"),
        ({"prepare": lambda c: {"a": c}}, r"prepare returned \(dict\); it must return a tensor \(1, ...\), or a tuple"),
        (
            {"prepare": lambda c: c[0]},
            r"prepare returned a tensor of shape \(2, 4, 4\); it must begin with an axis of length 1",
        ),
        ({"finish": lambda f, p: f[..., 1:]}, r"finish returned torch.float64 of shape \(1, 1, 4, 3\); it must return real"),
        ({"finish": lambda f, p: None}, "finish returned NoneType; it must return real numbers of the drawn field's shape"),
        ({"case_of": 3}, "case_of = 3 cannot be called; give a function, or leave it out"),
    ],
)
def test_refusals_of_hooks(options, message):
    with pytest.raises(ConfigError, match=message):
        sample(Residual(), SHAPE, 2, GRID, **wrong(options))


def test_a_tolerance_is_that_of_the_drawn_field():
    drawn = sample(Residual(), SHAPE, 2, GRID, tol=1e-3, **wrong({}))
    serial = sample(Residual(), SHAPE, 2, GRID, solver=Serial(), **wrong({}))
    assert 0 < (drawn.fields - serial.fields).norm() < 1e-3 * (serial.fields.norm())
    assert re.search("converged", str(drawn.report.members[0]))
