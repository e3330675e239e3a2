"""Members over groups, points over ranks: every share is contiguous, nothing is missing, nothing is there twice."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parampi.errors import ConfigError
from parampi.parallel import Layout, Slices, split

items, parts = st.integers(0, 200), st.integers(1, 40)


def assert_partition(ranges, total):
    """Contiguous, in order, complete; sizes differ by one at most and the larger come first."""
    assert [i for r in ranges for i in r] == list(range(total))
    sizes = [len(r) for r in ranges]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] - sizes[-1] <= 1
    assert all(a.stop == b.start for a, b in pairwise(ranges))


@given(items, parts)
def test_split_is_a_partition(items, parts):
    assert_partition([split(items, parts, p) for p in range(parts)], items)


@given(items, parts)
def test_slices_are_a_partition_of_the_window(points, ranks):
    slices = Slices(points, ranks)
    assert_partition([slices.of(rank) for rank in range(ranks)], points)
    assert slices.active_ranks == sum(len(slices.of(rank)) > 0 for rank in range(ranks))
    assert all(len(slices.of(rank)) > 0 for rank in range(slices.active_ranks))


sizes = st.integers(1, 24)


@given(sizes, sizes)
def test_the_plan_leaves_no_rank_without_work(ranks, members):
    layout = Layout.plan(ranks, members)
    assert layout.groups * layout.time_ranks == ranks
    assert layout.groups <= members
    assert_partition([layout.share(group) for group in range(layout.groups)], members)
    assert all(len(layout.share(group)) for group in range(layout.groups))


@given(sizes, sizes)
def test_the_plan_puts_members_first(ranks, members):
    """No layout with fewer ranks along time would give every group a member."""
    layout = Layout.plan(ranks, members)
    for fewer in range(1, layout.time_ranks):
        assert ranks % fewer or ranks // fewer > members


@given(sizes, sizes, st.integers(1, 24))
def test_asked_for_time_ranks_are_taken_or_refused(ranks, members, time_ranks):
    if ranks % time_ranks == 0 and ranks // time_ranks <= members:
        assert Layout.plan(ranks, members, time_ranks).time_ranks == time_ranks
    else:
        with pytest.raises(ConfigError, match=f"time_ranks = {time_ranks} "):
            Layout.plan(ranks, members, time_ranks)


@given(sizes, sizes)
def test_groups_are_neighbours_with_their_leader_first(ranks, members):
    layout = Layout.plan(ranks, members)
    groups = [layout.group(rank) for rank in range(ranks)]
    assert groups == sorted(groups)
    for group in range(layout.groups):
        assert groups.index(group) == layout.leader(group) and groups.count(group) == layout.time_ranks


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        ((1, 1, None), "1 rank = 1 group of 1 along time; 1 member"),
        ((8, 4, None), "8 ranks = 4 groups of 2 along time; 4 members"),
        ((4, 8, 4), "4 ranks = 1 group of 4 along time; 8 members"),
        ((4, 6, None), "2 per group at most"),
    ],
)
def test_description_reads_well(layout, text):
    assert text in Layout.plan(*layout).describe()


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (
            (6, 4, 4),
            "time_ranks = 4 does not divide the number of ranks, 6; choose one of 1, 2, 3, 6 "
            r"\(parallel.time_ranks of a configuration\)",
        ),
        ((6, 4, 0), "time_ranks = 0 does not divide"),
        ((6, 4, 1), "time_ranks = 1 makes 6 groups of ranks but there are only 4 members"),
        ((2, 0, None), "members = 0; draw at least one"),
    ],
)
def test_refusals_name_the_remedy(layout, message):
    with pytest.raises(ConfigError, match=message):
        Layout.plan(*layout)
