"""The two ways of a scan over ranks in fast mode: what they give, what they send, and which one is taken."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from parampi.engine.window_scans import WindowScans
from parampi.parallel import Doubling, ScanSize, Sent, SerialGroup, Slices, Transposed, Window, rank_scan, room_for, scan
from parampi.parallel.counted import CountedGroup
from tests.crew import crew
from tests.ranks import reference

pytestmark = pytest.mark.usefixtures("hostile")

F64 = torch.float64
WAYS = [Doubling, Transposed]
few = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 2**31)
shapes = st.sampled_from([(2, 3), (1,), (7,), (5, 1), (3, 2, 2)])
"""Fields with more numbers than ranks, and with fewer."""
kinds = st.sampled_from(["one", "member", "field", "all", "channel"])


def slope_shape(kind, shape, members):
    """The slopes' shape: one number, one for each member, for each number of a field, for each of both, for each channel."""
    ones = (1,) * len(shape)
    return {
        "one": (1, *ones), "member": (members, *ones), "field": (1, *shape), "all": (members, *shape),
        "channel": (members, shape[0], *ones[1:]),
    }[kind]  # fmt: skip


def drawn(seed, taps, points, kind, shape, dtype=F64, members=2):
    generator = torch.Generator().manual_seed(seed)

    def normal(*sizes):
        return torch.randn(sizes, generator=generator, dtype=F64).to(dtype)

    return (
        normal(taps, points, *slope_shape(kind, shape, members)) / taps,
        normal(points, members, *shape),
        normal(taps, members, *shape),
    )


def scans(way, size, slopes, several, first, begin=0):
    """What each rank from `begin` on has of scans of several values with the same slopes, its points, and what it sent in each;
    the ranks before and those without points take no part."""
    slices = Slices(len(several[0]), size - begin)

    def work(group):
        place = group.rank - begin
        if not 0 <= place < slices.active_ranks:
            return [], range(0), []
        mine, counted = slices.of(place), CountedGroup(group)
        one = way(counted, slopes[:, mine.start : mine.stop], range(begin, begin + slices.active_ranks))
        found, sent = [], []
        for values in several:
            y = room_for(values[mine.start : mine.stop], first if place == 0 else torch.full_like(first, torch.nan))
            before = counted.traffic.copy()
            one(y)
            found.append(y)
            sent.append(counted.traffic.since(before))
        return found, mine, sent

    return crew(size, work)


@few
@given(seeds, st.integers(1, 3), st.integers(2, 8), st.integers(2, 20), kinds, shapes, st.integers(0, 2), st.sampled_from(WAYS))
def test_both_ways_agree_with_the_loop_and_so_does_a_second_scan(seed, taps, ranks, points, kind, shape, begin, way):
    """Also where points are fewer than ranks, numbers fewer than ranks, and where the first ranks take no part."""
    slopes, values, first = drawn(seed, taps, points, kind, shape)
    several = [values, values.flip(0) - 1, values.sin()]
    wholes = [reference.scan(slopes, one, first) for one in several]
    for found, mine, _ in scans(way, ranks + begin, slopes, several, first, begin):
        for y, whole in zip(found, wholes, strict=False):
            torch.testing.assert_close(
                y, whole[mine.start : mine.stop + taps], rtol=1e-11, atol=1e-11 * float(whole.abs().max())
            )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("taps", [1, 2, 3])
def test_single_precision_stays_and_bits_are_the_same_twice(way, taps):
    slopes, values, first = drawn(3, taps, 11, "all", (5, 3), torch.float32)
    once, again = (scans(way, 5, slopes, [values], first) for _ in range(2))
    whole = reference.scan(slopes.double(), values.double(), first.double())
    for ((y,), mine, _), ((same,), _, _) in zip(once, again, strict=True):
        assert y.dtype == torch.float32 and torch.equal(y, same)
        torch.testing.assert_close(y.double(), whole[mine.start : mine.stop + taps], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("taps", [1, 2, 3])
def test_what_has_not_changed_stays_exactly_0(way, taps):
    slopes, values, first = drawn(5, taps, 17, "all", (5, 3))
    values[:9], first[:] = 0, 0
    for (y,), mine, _ in scans(way, 5, slopes, [values], first):
        settled = max(0, 9 + taps - mine.start)
        assert not y[:settled].any() and y[settled:].any() == (mine.stop > 9)


@pytest.mark.parametrize("ranks", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("taps", [1, 2])
@pytest.mark.parametrize("kind", ["member", "all"])
def test_what_the_rank_sends_that_sends_most_is_what_the_choice_is_made_of(ranks, taps, kind):
    """In the transposed scan the first rank sends as many bytes as is reckoned, the others no more; slopes are sent once."""
    shape = (8, 15)
    slopes, values, first = drawn(1, taps, ranks, kind, shape)
    size = ScanSize.of(slopes, values.shape[1:], ranks)
    assert size == ScanSize(ranks, taps, 2, 120, 240 if kind == "all" else 2, kind == "all", 8)
    for way, expected in ((Doubling, size.doubling), (Transposed, size.transposed)):
        ranks_sent = [sent for _, _, sent in scans(way, ranks, slopes, [values, values], first)]
        for k, reckoned in enumerate((expected(), expected(again=True))):
            most = max(sent[k].bytes for sent in ranks_sent)
            assert max(sent[k].messages for sent in ranks_sent) == reckoned.messages
            exact = ranks in (2, 4, 8) if way is Doubling else k == 1  # else the largest message is another rank's by turns
            assert most == reckoned.bytes if exact else 0.6 * reckoned.bytes < most <= reckoned.bytes
    fields, rounds = 8 * 2 * taps * 120, (ranks - 1).bit_length()  # K fields of two members
    assert size.doubling(again=True) == Sent(rounds, fields * rounds)
    if 120 % ranks == 0:
        assert size.transposed(again=True) == Sent(2 * (ranks - 1), 2 * fields * (ranks - 1) // ranks)


@pytest.mark.parametrize(
    ("ranks", "field", "transposes"),
    [(2, 10**9, False), (3, 9_000, False), (3, 10_000, True), (4, 24_000, False), (4, 26_000, True), (16, 4096, False),
     (16, 40_000, True), (64, 90_000, False), (64, 100_000, True), (16, 8 * 721 * 1440, True)],
)  # fmt: skip
def test_large_fields_are_transposed_and_small_ones_doubled(ranks, field, transposes):
    size = ScanSize(ranks, taps=1, members=1, field=field, slopes=1, within=False, item=8)
    assert size.transposes == transposes and size.sent() == (size.transposed() if transposes else size.doubling())
    # all that a scan sends counts: K fields of all members, in bytes
    assert replace(size, taps=2, members=2, field=field // 4).transposes == transposes
    assert replace(size, item=4, field=2 * field).transposes == transposes


def test_the_way_is_chosen_by_the_size():
    slopes = torch.ones(1, 1, 1, 1, dtype=F64)
    ways = [rank_scan(SerialGroup(), slopes, (1, numbers), range(4)) for numbers in (100, 100_000)]
    assert [type(way) for way in ways] == WAYS


@pytest.mark.parametrize("way", WAYS)
def test_windows_scan_again_with_slopes_that_are_known_and_anew_for_other_fields(way, monkeypatch):
    """The scans of a sweep, of which the second sends no slopes; fields of another shape are no second scan."""
    monkeypatch.setattr(scan, "rank_scan", lambda group, slopes, fields, ranks: way(group, slopes, ranks))
    monkeypatch.setattr("parampi.engine.window_scans.rank_scan", scan.rank_scan)
    slopes, values, first = drawn(4, 1, 7, "one", (12,))
    first.zero_()

    def work(group):
        slices = Slices(7, group.size)
        mine = slices.of(group.rank)
        window, counted = Window(torch.zeros(2).numpy(), slices, values), CountedGroup(group)
        scans, own = WindowScans(counted, window, "fast"), slopes[:, mine.start : mine.stop]
        rows = [values, 2 * values, values[..., :5]]
        return [scans.affine(own, one[mine.start : mine.stop]) for one in rows], mine

    for found, mine in crew(3, work):
        for y, one in zip(found, (values, 2 * values, values[..., :5]), strict=True):
            whole = reference.scan(slopes, one, first[..., : one.shape[2]])
            torch.testing.assert_close(y, whole[mine.start : mine.stop + 1])
