"""The scan of affine maps that read several points, on ranks that are threads; ranks over MPI are in tests/ranks/."""

from math import ceil, log2

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from parampi.parallel import SerialGroup, Slices, affine_scan, operator_scan
from tests.crew import crew
from tests.ranks import reference

pytestmark = pytest.mark.usefixtures("hostile")

F64 = torch.float64
SHAPE = (2, 3)

few = settings(max_examples=60, deadline=None)
taps, ranks, points, seeds = st.integers(1, 4), st.integers(1, 8), st.integers(0, 20), st.integers(0, 2**31)
slope_shapes = st.sampled_from([(1, 1, 1), (3, 1, 1), (3, *SHAPE), (1, *SHAPE)])


def drawn(seed, taps, points, shape=(3, 1, 1), dtype=F64):
    """Slopes, some of them 0, values and first fields of three members."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*sizes):
        return torch.randn(sizes, generator=generator, dtype=F64)

    slopes = normal(taps, points, *shape) / taps
    slopes[torch.rand(slopes.shape, generator=generator) < 0.1] = 0
    return [t.to(dtype) for t in (slopes, normal(points, 3, *SHAPE), normal(taps, 3, *SHAPE))]


def on_ranks(size, scan, slopes, values, first):
    """Each rank's rows, points and group; ranks without points must give back what they were given."""
    slices = Slices(len(values), size)

    def work(group):
        mine = slices.of(group.rank)
        given = first if group.rank == 0 else torch.full_like(first, torch.nan)
        y = scan(group, slopes[:, mine.start : mine.stop], values[mine.start : mine.stop], given, slices.active_ranks)
        if group.rank >= slices.active_ranks:
            torch.testing.assert_close(y, given, rtol=0, atol=0, equal_nan=True)
        return y, mine, group

    return crew(size, work)


@few
@given(seeds, taps, ranks, points, slope_shapes)
def test_any_number_of_ranks_gives_the_bits_of_a_plain_loop(seed, taps, ranks, points, shape):
    given = drawn(seed, taps, points, shape)
    whole = reference.scan(*given)
    for y, mine, _ in on_ranks(ranks, lambda *a: affine_scan(*a, "bitwise"), *given):
        assert not len(mine) or torch.equal(y, whole[mine.start : mine.stop + taps])


@few
@given(seeds, taps, ranks, points, slope_shapes)
def test_fast_agrees_to_rounding(seed, taps, ranks, points, shape):
    given = drawn(seed, taps, points, shape)
    whole = reference.scan(*given)
    for y, mine, _ in on_ranks(ranks, lambda *a: affine_scan(*a, "fast"), *given):
        expected = whole[mine.start : mine.stop + taps]
        assert not len(mine) or torch.allclose(y, expected, rtol=1e-11, atol=1e-11 * float(whole.abs().max()))


@pytest.mark.parametrize("mode", ["bitwise", "fast"])
@pytest.mark.parametrize("taps", [1, 2, 3])
def test_what_has_not_changed_stays_exactly_0(mode, taps):
    """Rung 3 needs it: behind points whose values are 0, y is 0 to the last bit, however slopes compose."""
    slopes, values, first = drawn(5, taps, 17)
    values[:9], first[:] = 0, 0
    for y, mine, _ in on_ranks(5, lambda *a: affine_scan(*a, mode), slopes, values, first):
        settled = max(0, 9 + taps - mine.start)
        assert not y[:settled].any() and y[settled:].any() == (mine.stop > 9)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_keeps_the_dtype(dtype):
    for mode in ("bitwise", "fast"):
        assert all(
            y.dtype == dtype for y, _, _ in on_ranks(3, lambda *a, m=mode: affine_scan(*a, m), *drawn(1, 2, 7, dtype=dtype))
        )


@pytest.mark.parametrize("taps", [1, 2, 3])
@pytest.mark.parametrize("size", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("points", [1, 3, 8, 30])
def test_messages_are_few(taps, size, points):
    """log2 P from a rank in fast mode, one in bitwise mode, whatever the number of taps."""
    active_ranks = min(points, size)
    most = {"fast": ceil(log2(active_ranks)), "bitwise": 1}
    for mode in ("fast", "bitwise"):
        for _, _, group in on_ranks(size, lambda *a, m=mode: affine_scan(*a, m), *drawn(2, taps, points)):
            assert group.sent <= (most[mode] if group.rank < active_ranks else 0)


def test_inputs_are_left_alone():
    given = drawn(3, 2, 6)
    before = [t.clone() for t in given]
    for mode in ("bitwise", "fast"):
        affine_scan(SerialGroup(), *given, active_ranks=1, mode=mode)
    assert all(torch.equal(a, b) for a, b in zip(given, before, strict=True))


def test_a_first_field_of_any_layout_is_taken():
    """Messages must be contiguous whatever the strides of what a caller gives."""
    slopes, values, first = drawn(4, 2, 9)
    strided = first.permute(0, 1, 3, 2).contiguous().permute(0, 1, 3, 2)
    assert not strided.is_contiguous()
    whole = reference.scan(slopes, values, first)
    for mode in ("bitwise", "fast"):
        for y, mine, _ in on_ranks(3, lambda *a, m=mode: affine_scan(*a, m), slopes, values, strided):
            torch.testing.assert_close(y, whole[mine.start : mine.stop + 2], rtol=1e-12, atol=1e-12)


# Any linear operators


@few
@given(seeds, taps, ranks, points)
def test_operators_that_are_numbers_give_what_the_affine_scan_gives(seed, taps, ranks, points):
    slopes, values, first = drawn(seed, taps, points)
    whole = reference.scan(slopes, values, first)

    def scan(group, slopes, values, first, active_ranks):
        def apply(j, y):
            assert y.shape == first.shape
            total = slopes[0, j] * y[-1]
            for tap in range(1, taps):
                total = total + slopes[tap, j] * y[-1 - tap]
            return total

        return operator_scan(group, apply, values, first, active_ranks)

    for y, mine, _ in on_ranks(ranks, scan, slopes, values, first):
        assert not len(mine) or torch.equal(y, whole[mine.start : mine.stop + taps])


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_matrices_as_operators(size):
    """Steps that mix the entries of a field and read two points."""
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(7, 2, 6, 6, generator=generator, dtype=F64) / 4
    _, values, first = drawn(6, 2, 7)
    y = list(first.flatten(2))
    for (own, before), value in zip(matrices, values.flatten(2), strict=True):
        y.append(y[-1] @ own.T + y[-2] @ before.T + value)
    whole = torch.stack(y).view(9, *values.shape[1:])

    def scan(group, matrices, values, first, active_ranks):
        def apply(j, y):
            last, before = y.flatten(2)[-1], y.flatten(2)[-2]
            return (last @ matrices[0, j, 0].T + before @ matrices[0, j, 1].T).view(y.shape[1:])

        return operator_scan(group, apply, values, first, active_ranks)

    for found, mine, _ in on_ranks(size, scan, matrices[None], values, first):
        assert not len(mine) or torch.allclose(found, whole[mine.start : mine.stop + 2], rtol=1e-12, atol=1e-12)
