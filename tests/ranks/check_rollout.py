"""Checks of `parampi.rollout` on any number of ranks."""

import torch

from parampi import NonFiniteError, OutputError, rollout
from parampi.samplers import DDPM, DPMpp2M
from parampi.solvers import Parareal, Picard, Spectral
from tests.forecasts import GRID, SHAPE, condition, denoise, starts, update
from tests.ranks.cases import saved

OPTIONS = {"sigmas": GRID, "condition": condition, "update": update, "probe": False}


WAYS = {
    "modes": (Spectral(), DDPM(), 25, 2),
    "modes of three": (Spectral(), DDPM(), 25, 3),
    "points": (Picard(), DPMpp2M(), 7, 2),
    "blocks": (Parareal(), DDPM(), None, 2),
}
"""Solver, sampler, window and members."""


def drawn_alone():
    """What one process draws, by name."""
    return {f"rolled out by {name}": facts(draw(*way, None)) for name, way in WAYS.items()}


def facts(drawn):
    return {"fields": drawn.fields, "members": [list(vars(member).values()) for member in drawn.report.members]}


def draw(solver, sampler, window, members, comm, **options):
    own = {"mode": "bitwise", **OPTIONS, **options}
    return rollout(denoise, starts(members)[:, 0], SHAPE, 4, solver=solver, sampler=sampler, window=window, comm=comm, **own)


def lead_times_have_the_same_bits_on_all_ranks(comm):
    """Members over groups too: with 8 ranks there are two of four."""
    for name in ("modes", "points", "blocks"):
        drawn = draw(*WAYS[name], comm)
        if comm.Get_rank() == 0:
            single = saved()[f"rolled out by {name}"]
            assert torch.equal(drawn.fields, single["fields"]), name
            assert facts(drawn)["members"] == single["members"]
        else:
            assert drawn.fields is None


def groups_keep_their_own_lead_times(comm):
    kept = {}
    keep = {"keep": lambda field, member: kept.update({key(member): field}), "keep_on": "groups"}
    drawn = draw(*WAYS["modes of three"], comm, **keep)
    whole = saved()["rolled out by modes of three"]["fields"]
    assert all(torch.equal(field, whole[lead, member]) for (lead, member), field in kept.items())
    assert sum(comm.allgather(len(kept))) == 12
    if comm.Get_rank() == 0:
        assert len(drawn.report.members) == 12


def key(member):
    return member.lead, member.member


def failures_are_known_to_all_ranks(comm):
    def full(field, member):
        if key(member) == (1, 1):
            raise OutputError("no space left")

    for keep_on in ("root", "groups"):
        try:
            draw(Picard(), DDPM(), 25, 2, comm, keep=full, keep_on=keep_on)
        except OutputError as error:
            assert "no space left" in str(error)
        else:
            raise AssertionError("a full disk was not noticed")

    def broken(x, sigma, given):
        return torch.where(given[:, :1, :1, :1] < -0.5, torch.nan, denoise(x, sigma, given))

    try:
        rollout(broken, starts(2)[:, 0], SHAPE, 6, comm=comm, flight=1, **OPTIONS)
    except NonFiniteError as error:
        assert error.lead is not None and f"of lead time {error.lead + 1}" in str(error)
    else:
        raise AssertionError("NaN was not noticed")


CHECKS = (lead_times_have_the_same_bits_on_all_ranks, groups_keep_their_own_lead_times, failures_are_known_to_all_ranks)
