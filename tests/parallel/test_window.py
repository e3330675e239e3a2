"""Fields of windows on their way between ranks, which are threads here; ranks over MPI are in tests/ranks/."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from parampi.parallel import Slices, Window, exchange_halo, halo_points, move, redistribute
from tests.crew import crew
from tests.ranks import reference

pytestmark = pytest.mark.usefixtures("hostile")

F64 = torch.float64
SHAPE = torch.Size((2, 3))
many = settings(max_examples=120, deadline=None)


def of_ranks(share):
    """The ranges of a rank, or of each of an array of ranks."""
    return lambda ranks: (
        share(ranks) if isinstance(ranks, int) else tuple(map(np.stack, zip(*map(share, ranks[:, 0].tolist()), strict=True)))
    )


@st.composite
def ownerships(draw):
    """Who owns and who wants which points, per member: `owned[member]` cuts a range of points into contiguous ranges of ranks
    in any order, with gaps; `wanted[rank][member]` is any range; `slack` rows lie around the owned ones in a rank's tensor."""
    size, members = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    owned = []
    for _ in range(members):
        cuts = sorted(draw(st.lists(st.integers(-4, 16), min_size=2 * size, max_size=2 * size)))
        ranges = list(zip(cuts[::2], cuts[1::2], strict=True))
        owned.append(draw(st.permutations(ranges)))
    spans = st.tuples(st.integers(-6, 18), st.integers(0, 8))
    wanted = [[draw(spans) for _ in range(members)] for _ in range(size)]
    return size, members, owned, wanted, draw(st.integers(0, 2))


@many
@given(ownerships())
def test_redistribute_gives_what_is_wanted_and_owned(given):
    """Against a plain dictionary of (member, point) to field; what nobody owns is 0."""
    size, members, owned, wanted, slack = given
    everything = {
        (m, p): reference.state(p, m, SHAPE)
        for m in range(members) for begin, end in owned[m] for p in range(begin, end)
    }  # fmt: skip

    def mine(rank):
        return tuple(np.array([owned[m][rank][end] for m in range(members)]) for end in (0, 1))

    def wants(rank):
        begin = np.array([b for b, _ in wanted[rank]])
        return begin, begin + np.array([n for _, n in wanted[rank]])

    def work(group):
        first, last = mine(group.rank)
        begin = first - slack
        rows = torch.full((int((last - begin).max()) + slack, members, *SHAPE), torch.nan, dtype=F64)
        for m in range(members):
            for p in range(first[m], last[m]):
                rows[p - begin[m], m] = everything[m, p]
        count = max(n for _, n in wanted[group.rank])
        return redistribute(group, rows, begin, owned=of_ranks(mine), needed=of_ranks(wants), count=count), count

    for rank, (rows, count) in enumerate(crew(size, work)):
        assert rows.shape == (count, members, *SHAPE) and rows.is_contiguous()
        for m in range(members):
            begin, n = wanted[rank][m]
            for row in range(count):
                expected = everything.get((m, begin + row)) if row < n else None
                assert torch.equal(rows[row, m], torch.zeros(SHAPE, dtype=F64) if expected is None else expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.int64])
def test_rows_of_any_kind_travel(dtype):
    """What solvers remember: flags, and numbers per point without a field's shape."""

    def work(group):
        rows = (torch.arange(6).view(6, 1, 1, 1) + group.rank).to(dtype)
        own, want = (lambda r: (np.array([6 * r]), np.array([6 * r + 6]))), (lambda r: (np.array([5]), np.array([8])))
        return redistribute(group, rows, np.array([6 * group.rank]), owned=of_ranks(own), needed=of_ranks(want), count=3)

    for rows in crew(2, work):
        assert rows.dtype == dtype and torch.equal(rows.flatten(), torch.tensor([5, 1, 2]).to(dtype))


sizes = st.integers(1, 8)
taps = st.integers(1, 4)
counts = st.integers(0, 14)
firsts = st.lists(st.integers(0, 6), min_size=1, max_size=3).map(np.array)


@many
@given(sizes, taps, counts, counts, firsts, st.data())
def test_windows_move_with_all_their_points(size, taps, before, after, first, data):
    """Every state that was known is where it belongs, the frozen ones that steps still read too, and all else is 0."""
    slides = np.array([data.draw(st.integers(0, before)) for _ in first])
    old, new = Slices(before, size), Slices(after, size)

    def work(group):
        window = reference.window(first, old, group.rank, SHAPE, taps)
        if group.rank:  # what other ranks own is not to be read
            window.x[:taps] = torch.nan
        return move(group, window, first + slides, new)

    for rank, window in enumerate(crew(size, work)):
        assert (window.first == first + slides).all() and (window.slices, window.taps) == (new, taps)
        for m, points in enumerate(reference.points_read(first + slides, new, rank, taps)):
            assert len(window.x) == len(points)
            for row, point in enumerate(points):
                known = point <= first[m] + before
                expected = reference.state(point, m, SHAPE) if known else torch.zeros(SHAPE, dtype=F64)
                assert torch.equal(window.x[row, m], expected), (rank, m, point)


@many
@given(sizes, taps, counts, firsts)
def test_the_last_points_are_passed_on(size, taps, count, first):
    """Also where slices are shorter than what a step reads."""
    slices = Slices(count, size)

    def work(group):
        window = reference.window(first, slices, group.rank, SHAPE, taps)
        expected = window.x.clone()
        if 0 < group.rank < slices.active_ranks:
            window.x[:taps] = torch.nan
        exchange_halo(group, window)
        return window.x, expected

    assert all(torch.equal(found, expected) for found, expected in crew(size, work))


@given(sizes, taps, counts, firsts)
def test_every_point_of_a_window_has_one_owner(size, taps, count, first):
    """A window of n steps has n points that are made and K that its first step reads, which are rank 0's; the network is asked
    at n points, and what it said at the K - 1 before is rank 0's too."""
    window = Window(first, Slices(count, size), torch.zeros(0), taps)

    def owned(share, m):
        return [p - first[m] for rank in range(size) for p in range(*(int(end[m]) for end in share(rank)))]

    for m in range(len(first)):
        assert owned(window.owned_points, m) == list(range(1 - taps, count + 1))
        assert owned(window.evaluated_points, m) == list(range(1 - taps, count))


def test_what_enters_a_slice_is_wanted_by_all_but_the_first():
    window = Window(np.array([10, 20]), Slices(5, 4), torch.zeros(0), 3)
    points = halo_points(window, -2, 1)
    assert [[e.tolist() for e in points(rank)] for rank in range(4)] == [
        [[8, 18], [8, 18]], [[10, 20], [13, 23]], [[11, 21], [14, 24]], [[12, 22], [15, 25]]
    ]  # fmt: skip


@given(sizes, taps, counts, firsts)
def test_the_points_of_all_ranks_at_once_are_those_of_each(size, taps, count, first):
    window, ranks = Window(first, Slices(count, size), torch.zeros(0), taps), np.arange(size)[:, None]
    shares = (window.owned_points, window.held_points, window.evaluated_points, halo_points(window, -2, 1))
    for share in shares:
        for rank in range(size):
            assert all(np.array_equal(a[rank], b) for a, b in zip(share(ranks), share(rank), strict=True))
    assert [list(range(*map(int, window.slices.bounds(k)))) for k in range(size)] == [
        list(window.slices.of(k)) for k in range(size)
    ]
