"""Checks of `parampi.sample` on any number of ranks."""

import itertools
from dataclasses import replace

import torch

from parampi import sample, sigmas
from parampi.diffusion.noise import normal
from parampi.errors import ConfigError, NonFiniteError, OutputError
from parampi.parallel import Layout, Transport
from parampi.samplers import DDIM
from parampi.solvers import Picard
from tests.ranks.cases import ALL, CASES, PROBLEMS, SAMPLED, WINDOWS, Case, assert_same, facts, saved, solvers_for

GRID = sigmas.vp_linear(12)


def expected(name, mode):
    return saved()[f"{name}, {mode}"]


def compare(name, comm, case=None):
    """Draw a case in its modes on these ranks and compare with one process, on rank 0."""
    case = case or ALL[name]
    for mode in case.modes():
        drawn = case.draw(mode, comm)
        if comm.Get_rank() == 0:
            assert_same(facts(drawn), expected(name, mode), mode, case.rounding)
            assert len(drawn.report.seconds) == comm.Get_size()
        else:
            assert drawn.fields is None and drawn.members is None


def usable(case, ranks):
    """A fixed number of ranks along time must divide the ranks, and leave no group without members."""
    count = case.members if isinstance(case.members, int) else len(case.members)
    return not isinstance(case.time_ranks, int) or (ranks % case.time_ranks == 0 and ranks // case.time_ranks <= count)


def check_of(name):
    """The check that a case comes out as in one process."""

    def check(comm):
        assert usable(CASES[name], comm.Get_size())
        compare(name, comm)

    check.__name__ = name.replace(" ", "_").replace(",", "")
    return check


def every_window_by_every_advance(comm):
    for name in WINDOWS:
        compare(name, comm)


def every_solver(comm):
    for name in solvers_for(comm):
        compare(f"solver {name}", comm)


def samplers_that_read_several_points(comm):
    for name in SAMPLED:
        compare(f"sampler {name}", comm)


def two_ranks_along_time(comm):
    """Groups of two, with shares of different sizes."""
    case = Case(7, steps=8, time_ranks=2, options=CASES["batches"].options)
    if usable(case, comm.Get_size()):
        compare("batches", comm, case)


def halves_whose_rounds_alternate(comm):
    """Batches of four members on all ranks, of three at the end, and members that are drawn at once."""
    options = {**CASES["batches"].options, "batch": 4, "overlap": True}
    compare("batches", comm, replace(CASES["batches"], time_ranks="all", options=options))
    for name in ("blocks", "a network"):
        case = CASES[name]
        compare(name, comm, replace(case, time_ranks="all", options={**case.options, "overlap": True}))


def every_message_staged(comm):
    """The way of tensors on a device that MPI cannot read: the same bits."""
    direct = Transport.direct
    Transport.direct = lambda self, tensor: False
    try:
        compare("blocks", comm)
        compare("members first", comm)
    finally:
        Transport.direct = direct


def some_ranks_in_reverse_order(comm):
    """A communicator of the caller's, without the first rank; it stays the caller's."""
    size, rank = comm.Get_size(), comm.Get_rank()
    mine = comm.Split(int(rank > 0 or size == 1), key=-rank)
    if rank > 0 or size == 1:
        compare("a window that slides", mine)
        compare("members first", mine)
        assert mine.Get_size() == max(size - 1, 1)
    mine.Free()


def a_case_is_prepared_once_and_its_mean_added(comm):
    """Whichever ranks draw its members, in whichever batches."""
    calls = []

    def denoiser(x, sigma, condition):
        centre = condition[:, :, None]
        return centre + 0.3 * (x - centre) / (0.3 + sigma[:, None, None] ** 2)

    def prepare(condition):
        calls.append(float(condition))
        return condition, 10 * condition

    def draw(comm, **options):
        return sample(
            denoiser, (2, 3), 7, GRID, DDIM(), Picard(), tol=1e-6, mode="bitwise", comm=comm, prepare=prepare,
            case_of=lambda n: n // 3,
            condition=lambda numbers: torch.tensor([[float(n // 3)] for n in numbers], dtype=torch.float64),
            finish=lambda field, prepared: field + prepared[1][:, :, None], **options,
        )  # fmt: skip

    wanted = draw(None)
    for options in ({}, {"batch": 1}, {"time_ranks": comm.Get_size()}, {"time_ranks": comm.Get_size(), "batch": 2}):
        calls.clear()
        drawn = draw(comm, **options)
        assert sorted(itertools.chain(*comm.allgather(calls))) == [0.0, 1.0, 2.0]
        assert comm.Get_rank() or drawn.fields.equal(wanted.fields)


def members_are_kept_on_rank_0_as_they_are_finished(comm):
    case, kept = CASES["batches"], []
    drawn = case.draw("bitwise", comm, keep=lambda field, member: kept.append((member.member, field.clone())))
    assert drawn.fields is None
    if comm.Get_rank():
        assert not kept
    else:
        given = dict(kept)
        assert len(kept) == 7 and drawn.members == sorted(given) == list(range(7))
        assert torch.stack([given[m] for m in range(7)]).equal(expected("batches", "bitwise")["fields"])


def a_member_that_cannot_be_kept_is_everybodys_trouble(comm):
    """All learn why, and no further batch is drawn."""
    kept = []

    def keep(field, member):
        if len(kept) == 3:
            raise OutputError("the disk is full; make room")
        kept.append(member.member)

    try:
        CASES["batches"].draw("fast", comm, keep=keep, batch=1, time_ranks=comm.Get_size())
    except OutputError as error:
        assert "the disk is full" in str(error)
    else:
        raise AssertionError("a member was lost and nobody heard of it")
    assert kept == ([0, 1, 2] if comm.Get_rank() == 0 else [])
    assert comm.allreduce(1) == comm.Get_size()


def members_are_kept_by_the_ranks_that_drive_their_groups(comm):
    case, kept = CASES["batches"], {}
    drawn = case.draw("bitwise", comm, keep=lambda field, member: kept.update({member.member: field.clone()}), keep_on="groups")
    numbers = comm.gather(sorted(kept))
    wanted = expected("batches", "bitwise")["fields"]
    assert drawn.fields is None and all(field.equal(wanted[number]) for number, field in kept.items())
    if comm.Get_rank() == 0:
        assert sorted(itertools.chain(*numbers)) == drawn.members == list(range(7))
        assert [member.member for member in drawn.report.members] == list(range(7))
        assert sum(map(bool, numbers)) == drawn.report.layout["groups"]


def a_member_that_one_group_cannot_keep_is_everybodys_trouble(comm):
    layout = Layout.plan(comm.Get_size(), 7)
    last = layout.leader(layout.groups - 1)

    def keep(field, member):
        if comm.Get_rank() == last:
            raise OutputError("the disk of the last rank is full")

    try:
        CASES["batches"].draw("fast", comm, keep=keep, keep_on="groups", batch=1)
    except OutputError as error:
        assert "the disk of the last rank is full" in str(error)
    else:
        raise AssertionError("a member was lost and nobody heard of it")
    assert comm.allreduce(1) == comm.Get_size()


def rank_0_watches_every_round_of_its_group(comm):
    seen = []
    drawn = CASES["a window that slides"].draw("fast", comm, watch=lambda done, steps: seen.append(done.number))
    assert seen == (list(range(1, drawn.report.rounds + 1)) if comm.Get_rank() == 0 else [])


def mistakes_are_everybodys(comm):
    """Arguments that make no sense are refused on all ranks alike, and the ranks can go on."""
    size = comm.Get_size()
    for options in ({"tol": 0.0}, {"window": 0}, {"members": []}, {"time_ranks": size + 1}, {"batch": 0}, {"sigma_data": -1.0}):
        arguments = {"shape": (1, 8, 8), "members": 2, "sigmas": GRID, "comm": comm, **options}
        try:
            sample(PROBLEMS["mixture"], **arguments)
        except ConfigError as error:
            assert next(iter(options)) in str(error)
        else:
            raise AssertionError(f"{options} were accepted")
    broken = (lambda x, sigma: x * torch.nan) if comm.Get_rank() == size - 1 else PROBLEMS["mixture"]
    try:
        sample(broken, (1, 8, 8), 2, GRID, comm=comm)
    except ConfigError as error:
        assert "returned NaN or Inf for finite fields; it was called with x (1, 1, 8, 8) float64" in str(error)
    else:
        raise AssertionError("a network that is broken on one rank was accepted")
    assert comm.allreduce(1) == size


class Failing:
    """The standard normal's denoiser, but NaN for one member below a noise level. Without noise, a member's field keeps its
    direction from the start to the end, which tells whose it is."""

    shape = (1, 2, 3)

    def __init__(self, member, below):
        self.member, self.below = member, below
        self.starts = normal(0, range(8), [0], self.shape)[0].flatten(1)

    def __call__(self, x, sigma):
        denoised = x / (1 + sigma.view(-1, 1, 1, 1) ** 2)
        owner = torch.nn.functional.cosine_similarity(x.flatten(1)[:, None], self.starts[None], dim=2).argmax(1)
        denoised[(owner == self.member) & (sigma < self.below)] = torch.nan
        return denoised


def fails(comm, members, late, **options):
    """What a network that fails for member 3 at point `late` raises on this rank, and on every other."""
    denoiser = Failing(3, (GRID[late - 1] + GRID[late]).item() / 2)
    try:
        sample(denoiser, denoiser.shape, members, GRID, DDIM(), comm=comm, mode="bitwise", **options)
    except NonFiniteError as error:
        told = (error.member, error.point, error.sigma, error.round, str(error))
        assert comm.allgather(told) == [told] * comm.Get_size()
        assert told[:3] == (3, late, GRID[late])
        return error
    raise AssertionError("a network that returned NaN was believed")


def nan_on_one_rank_is_told_alike_on_all(comm):
    """With one group, the point lies in some rank's slice; with several, only one group has the member."""
    for late in (1, 6, 10):
        for solver, window in ((Picard(), None), (Picard("block"), 4)):
            for time_ranks in {None, comm.Get_size()}:
                fails(comm, 6, late, solver=solver, window=window, time_ranks=time_ranks)


def what_was_finished_before_nan_is_kept(comm):
    order = [5, 0, 3, 1]
    error = fails(comm, order, 8, batch=1, time_ranks=comm.Get_size())
    good = Failing(99, 0.0)
    whole = sample(good, good.shape, order, GRID, DDIM(), mode="bitwise")
    kept = error.ensemble
    if comm.Get_rank() == 0:
        assert kept.members == [5, 0] and kept.fields.equal(whole.fields[:2])
        assert kept.report.outcome == "nonfinite" and len(kept.report.members) == 2
    else:
        assert kept.fields is None


def other_groups_members_survive_nan(comm):
    """Every group finishes what it can of the batch in which one of them fails."""
    error = fails(comm, 8, 8)
    if comm.Get_rank() == 0:
        kept = error.ensemble.members
        assert 3 not in kept and kept == sorted(kept)
        if comm.Get_size() == 8:
            assert kept == [0, 1, 2, 4, 5, 6, 7]


CHECKS = [
    *(check_of(name) for name in CASES), every_window_by_every_advance, every_solver,
    samplers_that_read_several_points, two_ranks_along_time, halves_whose_rounds_alternate, every_message_staged,
    some_ranks_in_reverse_order,
    a_case_is_prepared_once_and_its_mean_added,
    members_are_kept_on_rank_0_as_they_are_finished, members_are_kept_by_the_ranks_that_drive_their_groups,
    a_member_that_one_group_cannot_keep_is_everybodys_trouble, a_member_that_cannot_be_kept_is_everybodys_trouble,
    rank_0_watches_every_round_of_its_group, mistakes_are_everybodys,
    nan_on_one_rank_is_told_alike_on_all, what_was_finished_before_nan_is_kept, other_groups_members_survive_nan,
]  # fmt: skip
