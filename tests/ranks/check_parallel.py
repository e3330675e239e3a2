"""Checks of the package's messages on any number of ranks; every function is called on all ranks of a communicator."""

from itertools import product
from math import ceil, log2
from unittest.mock import patch

import numpy as np
import torch

from parampi.errors import DataError
from parampi.parallel import MPIGroup, ScanSize, Slices, Transport, affine_scan, as_group, exchange_halo, move, operator_scan
from parampi.parallel.agree import broadcast_json, on_all, on_root
from parampi.parallel.launch import place_on_node, world
from tests.ranks import reference

F64 = torch.float64


class Elsewhere(Transport):
    """Treats this process's memory as a device that MPI cannot read, so that every message goes through a copy."""

    def direct(self, tensor):
        return False


def groups(comm):
    """The same ranks as a group, and with every message staged."""
    yield as_group(comm)
    if comm.Get_size() > 1:
        yield MPIGroup(comm, Elsewhere())


def random_scan(seed, ranks, dtype=F64):
    """A scan of random length over random fields, which reads up to three points; sometimes shorter than the number of ranks,
    sometimes with slopes of 0, sometimes with a slope for each entry."""
    random = np.random.default_rng(seed)
    points, taps = int(random.integers(0, (4, 40, 2 * ranks + 1)[seed % 3])), 1 + seed // 3 % 3
    members, shape = int(random.integers(1, 4)), tuple(random.integers(1, 5, size=random.integers(1, 4)))
    slopes = random.uniform(-1.2, 1.2, (taps, points, members, *(shape if seed % 4 == 3 else (1 for _ in shape)))) / taps
    slopes[random.random(slopes.shape) < 0.1] = 0
    values, first = random.standard_normal((points, members, *shape)), random.standard_normal((taps, members, *shape))
    return [torch.from_numpy(a).to(dtype) for a in (slopes, values, first)]


def my_scan(group, slopes, values, first, mode):
    """What this rank gets, and what it should get: without points, the values it gave, which are read on rank 0 only."""
    slices, taps = Slices(len(values), group.size), len(slopes)
    mine = slices.of(group.rank)
    given = first if group.rank == 0 else torch.full_like(first, 7.0)
    found = affine_scan(
        group, slopes[:, mine.start : mine.stop], values[mine.start : mine.stop], given, slices.active_ranks, mode
    )
    whole = reference.scan(slopes, values, first)
    return found, whole[mine.start : mine.stop + taps] if len(mine) else given


def scan_equals_one_process(comm):
    """Bit for bit in bitwise mode, to rounding in fast mode."""
    for group in groups(comm):
        for seed in range(24):
            given = random_scan(seed, group.size)
            found, expected = my_scan(group, *given, "bitwise")
            assert found.equal(expected), f"seed {seed}"
            for transposes in (False, True):
                with patch.object(ScanSize, "transposes", transposes):
                    found, expected = my_scan(group, *given, "fast")
                assert found.allclose(expected, rtol=1e-12, atol=1e-12), f"seed {seed}, transposed: {transposes}"


def scan_in_single_precision(comm):
    group = as_group(comm)
    for seed in range(6):
        given = random_scan(seed, group.size, torch.float32)
        found, expected = my_scan(group, *given, "bitwise")
        assert found.dtype == torch.float32 and found.equal(expected)
        found, expected = my_scan(group, *given, "fast")
        assert found.allclose(expected, rtol=1e-4, atol=1e-4), f"seed {seed}"


class Counting:
    """A group that counts its messages."""

    def __init__(self, group):
        self.group, self.rank, self.size, self.sent, self.rounds = group, group.rank, group.size, 0, 0

    def exchange(self, sends, receives):
        self.sent += len(sends)
        self.rounds += 1
        self.group.exchange(sends, receives)


def operator_scan_equals_one_process(comm):
    """The same operators, called with fields in the same order, give the same bits."""
    for group in groups(comm):
        for seed in range(12):
            slopes, values, first = random_scan(seed, group.size)
            slices = Slices(len(values), group.size)
            mine = slices.of(group.rank)

            def apply(j, y, slopes=slopes[:, mine.start : mine.stop]):
                total = slopes[0, j] * y[-1]
                for tap in range(1, len(slopes)):
                    total = total + slopes[tap, j] * y[-1 - tap]
                return total

            found = operator_scan(group, apply, values[mine.start : mine.stop], first, slices.active_ranks)
            whole = reference.scan(slopes, values, first)
            assert found.equal(whole[mine.start : mine.stop + len(first)] if len(mine) else first), f"seed {seed}"


def scan_sends_few_messages(comm):
    """Fast: log2 P messages from every rank; bitwise: one."""
    size = comm.Get_size()
    for points, taps in product((size, 3 * size, max(size - 1, 1)), (1, 3)):
        active_ranks = min(points, size)
        for mode, most in (("fast", ceil(log2(active_ranks)) if active_ranks > 1 else 0), ("bitwise", 1)):
            group = Counting(as_group(comm))
            values = torch.ones(points, 2, 3, dtype=F64)
            my_scan(group, torch.full((taps, points, 2, 1), 0.3, dtype=F64), values, torch.ones(taps, 2, 3, dtype=F64), mode)
            assert group.sent <= most and group.rounds <= max(most, 2 if mode == "bitwise" else 0), (points, mode, group.sent)


def windows_move(comm):
    """Every state that was known is where it belongs afterwards, and nothing else is anywhere."""
    shape = torch.Size((2, 3))
    for group in groups(comm):
        for seed in range(40):
            random, taps = np.random.default_rng(seed), 1 + seed // 3 % 3
            members = int(random.integers(1, 4))
            old, new = (Slices(int(n), group.size) for n in random.integers(0, (3, 12, 3 * group.size)[seed % 3], size=2))
            first = random.integers(0, 5, size=members)
            later = first + random.integers(0, old.points + 1, size=members)
            before = reference.window(first, old, group.rank, shape, taps)
            untouched = before.x.clone()
            after = move(group, before, later, new)
            assert before.x.equal(untouched)
            check_moved(after, first + old.points, group.rank, shape)


def check_moved(after, last, rank, shape):
    for m, points in enumerate(reference.points_read(after.first, after.slices, rank, after.taps)):
        for row, point in enumerate(points):
            expected = reference.state(point, m, shape) if point <= last[m] else torch.zeros(shape, dtype=F64)
            assert after.x[row, m].equal(expected), (m, point)


def last_points_are_passed_on(comm):
    """Also where slices are shorter than what a step reads."""
    shape = torch.Size((2, 3))
    for group in groups(comm):
        for points, taps in product((0, 1, 2, group.size - 1, group.size, 2 * group.size + 1), (1, 2, 3)):
            slices = Slices(points, group.size)
            window = reference.window(np.array([3, 5]), slices, group.rank, shape, taps)
            expected = window.x.clone()
            if 0 < group.rank < slices.active_ranks:
                window.x[:taps] = torch.nan
            exchange_halo(group, window)
            assert window.x.equal(expected)


def on_some_ranks_in_reverse_order(comm):
    """A communicator of the caller's: some ranks left out, the others in reverse order."""
    size, rank = comm.Get_size(), comm.Get_rank()
    left_out = {0} if size > 2 else set()
    mine = comm.Split(0 if rank in left_out else 1, key=-rank)
    if rank not in left_out:
        assert mine.Get_rank() == size - 1 - rank
        scan_equals_one_process(mine)
        windows_move(mine)
        last_points_are_passed_on(mine)
    mine.Free()


def numbers_are_summed_and_broadcast(comm):
    group = as_group(comm)
    numbers = np.arange(6.0).reshape(2, 3) * (group.rank + 1)
    total = group.sum_to_root(numbers.T)
    factor = group.size * (group.size + 1) / 2 if group.rank == 0 else group.rank + 1
    np.testing.assert_array_equal(total, np.arange(6.0).reshape(2, 3).T * factor)
    # ranks have different numbers of rows, the last one none
    counts = [*range(group.size, 1, -1), 0]
    mine = np.arange(6.0).reshape(3, 2).T[:, None] + 10 * group.rank + np.zeros((1, counts[group.rank], 1))
    rows = group.rows_to_root(mine.transpose(1, 0, 2), counts)
    wanted = [np.arange(6.0).reshape(3, 2).T + 10 * rank for rank, count in enumerate(counts) for _ in range(count)]
    assert group.rank or np.array_equal(rows, np.array(wanted).reshape(-1, 2, 3))
    verdict = np.full(3, group.rank)
    assert (group.broadcast(verdict) == 0).all() and (verdict == 0).all()


def ranks_agree(comm):
    rank, last = comm.Get_rank(), comm.Get_size() - 1
    assert broadcast_json(comm, {"rank": rank, "text": "\u03c3"}, root=last) == {"rank": last, "text": "\u03c3"}
    assert on_root(comm, lambda: [rank, None]) == [0, None]
    assert on_all(comm, lambda: rank) == rank
    for together, culprits in ((on_root, {0}), (on_all, {last}), (on_all, set(range(1, last + 1)) or {0})):
        check_agreed(together, comm, culprits)


def check_agreed(together, comm, culprits):
    def work():
        if comm.Get_rank() in culprits:
            raise DataError(f"rank {comm.Get_rank()} has no file")

    try:
        together(comm, work)
    except DataError as error:
        assert str(error) == f"rank {min(culprits)} has no file"
    else:
        raise AssertionError("the trouble of one rank did not reach this one")


def the_world_is_all_ranks(comm):
    found = world()
    if comm.Get_size() == 1:
        assert found is None
    else:
        assert found.Get_size() == comm.Get_size() and found.Get_rank() == comm.Get_rank()


def ranks_know_their_place_on_the_node(comm):
    """All ranks of a test share one node."""
    assert place_on_node(comm) == (comm.Get_rank(), comm.Get_size())


CHECKS = [
    scan_equals_one_process, scan_in_single_precision, operator_scan_equals_one_process, scan_sends_few_messages, windows_move,
    last_points_are_passed_on, on_some_ranks_in_reverse_order, numbers_are_summed_and_broadcast, ranks_agree,
    the_world_is_all_ranks, ranks_know_their_place_on_the_node,
]  # fmt: skip
