"""The noise generator: known answers, independence of order and partition, accuracy of the transform, and its statistics.

Statistical tests use fixed seeds; each would fail by chance with probability below 1e-4.
"""

import hashlib
from math import prod, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from parampi.diffusion import noise, noise_on_cpu
from parampi.diffusion.noise import centred_uniform, inverse_normal_cdf, normal, philox
from parampi.errors import ConfigError

F64 = torch.float64
ONES = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((ONES,) * 4, (ONES,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_known_answers(counter, key, expected):
    """The vectors published with the Random123 library."""
    words = philox(tuple(torch.tensor([word]) for word in counter), key)
    assert " ".join(f"{int(word) & ONES:08x}" for word in words) == expected


def plain_philox(counter, key):
    """Philox4x32-10 in Python's integers."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        p0, p1 = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & ONES, (p0 >> 32) ^ c3 ^ k1, p0 & ONES
        k0, k1 = (k0 + 0x9E3779B9) & ONES, (k1 + 0xBB67AE85) & ONES
    return c0, c1, c2, c3


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**64 - 1),
    member=st.integers(0, ONES),
    point=st.integers(0, ONES),
    stream=st.integers(0, 2**16 - 1),
    index=st.integers(0, 40),
)
def test_layout_of_counter_and_key(seed, member, point, stream, index):
    """The documented layout, number by number, without torch."""
    words = plain_philox((index // 2, point, member, stream), (seed & ONES, seed >> 32))
    high, low = words[:2] if index % 2 == 0 else words[2:]
    whole = high << 32 | low
    signed = (whole - (whole >> 63 << 64)) >> 11
    actual = centred_uniform(seed, [member], [point], (41,), stream=stream)[0, 0, index]
    assert float(actual) == (signed + 0.5) * 2.0**-53


def test_golden_bits():
    """These bits are a promise: members of old ensembles can be drawn again."""
    fields = normal(20240607, torch.tensor([0, 1, 7, ONES]), torch.tensor([0, 3, 1000]), (3, 5, 7))
    assert digest(fields) == "96e0a6a989f240bfe73b89ebe6f09dfded07a160414120c0e1ae59ba104312e6"
    long = normal(2**64 - 1, [5], [9], (200003,), stream=65535)
    assert digest(long) == "f3ff4502763a09dc3e619829535b3c00fb91b8c80f823c2ff6b57269d95c3989"


def polynomial_in_numpy(coefficients, r):
    total = r * coefficients[0] + coefficients[1]
    for coefficient in coefficients[2:]:
        total = total * r + coefficient
    return total


def ratio_in_numpy(coefficients, r):
    return polynomial_in_numpy(coefficients[0], r) / polynomial_in_numpy(coefficients[1], r)


def log_in_numpy(p):
    exponent = (p.view(np.int64) + (0x3FF0000000000000 - 0x3FE6A09E667F3BCD) >> 52) - 1023
    mantissa = (p.view(np.int64) - (exponent << 52)).view(np.float64)
    s = (mantissa - 1) / (mantissa + 1)
    return polynomial_in_numpy(noise.ATANH, s * s) * s * 2.0 + exponent * noise.LOG2_LOW + exponent * noise.LOG2_HIGH


def sqrt_in_numpy(x):
    root = ((x.view(np.int64) >> 1) + 0x1FF7A3BEA91D9B1B).view(np.float64)
    for _ in range(4):
        root = (x / root + root) * 0.5
    return root


def test_bits_are_those_of_numpy():
    """The same formulas in NumPy, which shares nothing with torch but IEEE 754: a library's root or logarithm would show."""
    q = centred_uniform(3, [0], [0], (200003,))[0, 0]
    z, q = inverse_normal_cdf(q.clone()).numpy(), q.numpy()
    expected = q * ratio_in_numpy(noise.CENTRE, 0.180625 - q * q)
    tails = np.abs(q) > 0.425
    r = sqrt_in_numpy(-log_in_numpy(0.5 - np.abs(q[tails])))
    far = np.where(r > 5, ratio_in_numpy(noise.FAR_TAIL, r - 5), ratio_in_numpy(noise.TAIL, r - 1.6))
    expected[tails] = np.copysign(far, q[tails])
    np.testing.assert_array_equal(z, expected)
    np.testing.assert_allclose(r, np.sqrt(r * r), rtol=4e-16)


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**64 - 1),
    member=st.lists(st.integers(0, ONES), min_size=1, max_size=3),
    first=st.sampled_from([0, 5, 2**32 - 2, 2**40]),
    stream=st.integers(0, 2**16 - 1),
    gaussian=st.booleans(),
)
def test_a_processor_and_other_devices_make_the_same_bits(seed, member, first, stream, gaussian):
    """Other devices run the operators of torch, a processor NumPy's in place."""
    rows = torch.tensor(member)[:, None], torch.tensor(member[::-1])[:, None]
    arguments = *rows, range(first, first + 40), stream
    options = {"key": (seed & ONES, seed >> 32), "gaussian": gaussian}
    expected = noise.pairs(*arguments, **options)
    assert torch.equal(noise_on_cpu.pairs(*arguments, **options, scratch=noise_on_cpu.Scratch(200)), expected)


def digest(values):
    return hashlib.sha256(values.numpy().astype("<f8").tobytes()).hexdigest()


indices = st.lists(st.integers(0, ONES), min_size=1, max_size=5)
shapes = st.lists(st.integers(1, 5), max_size=3)


@settings(deadline=None)
@given(seed=st.integers(0, 2**64 - 1), members=indices, points=indices, shape=shapes)
def test_every_field_depends_on_its_own_member_and_point_only(seed, members, points, shape):
    fields = normal(seed, members, points, shape)
    assert fields.shape == (len(points), len(members), *shape)
    for i, point in enumerate(points):
        for j, member in enumerate(members):
            assert torch.equal(fields[i, j], normal(seed, [member], [point], shape)[0, 0])


@settings(deadline=None)
@given(members=indices, points=st.lists(indices, min_size=1, max_size=4))
def test_each_member_may_have_points_of_its_own(members, points):
    table = torch.tensor([[row[j % len(row)] for j in range(len(members))] for row in points])
    fields = normal(5, members, table, (3,))
    for i, j in np.ndindex(*table.shape):
        assert torch.equal(fields[i, j], normal(5, [members[j]], [int(table[i, j])], (3,))[0, 0])


@pytest.mark.parametrize("chunk", [2, 6, 30, 64])
@pytest.mark.parametrize("shape", [(), (1,), (2, 8), (33,)])
def test_chunks_do_not_show(monkeypatch, chunk, shape):
    expected = normal(1, range(5), range(7), shape)
    monkeypatch.setitem(noise.CHUNK, "cpu", chunk)
    assert torch.equal(normal(1, range(5), range(7), shape), expected)


def test_a_smaller_field_is_the_beginning_of_a_larger_one():
    large = normal(2, [4], [6], (1001,))[0, 0]
    assert all(torch.equal(normal(2, [4], [6], (n,))[0, 0], large[:n]) for n in (0, 1, 2, 7, 500))


def test_blocks_beyond_32_bits_use_the_high_word():
    block = torch.tensor([[2**32 + 3]])
    counter = (block & ONES, torch.tensor([[1]]), torch.tensor([[2]]), 7 | (block >> 32) << 16)
    words = [int(word) & ONES for word in philox(counter, (11, 0))]
    assert words == list(plain_philox((3, 1, 2, 7 | 1 << 16), (11, 0)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_lower_precision_is_the_rounded_double(dtype):
    fields = normal(3, range(2), range(3), (50,), dtype=dtype)
    assert fields.dtype == dtype
    assert torch.equal(fields, normal(3, range(2), range(3), (50,)).float().to(dtype))


def test_numpy_integers_are_integers():
    assert torch.equal(normal(np.uint64(2**63), np.arange(2), np.arange(3), (4,)), normal(2**63, [0, 1], [0, 1, 2], (4,)))


def test_nothing_asked_nothing_drawn():
    assert normal(0, [], [1, 2], (3,)).shape == (2, 0, 3)
    assert normal(0, [1], [], (3,)).shape == (0, 1, 3)
    assert normal(0, [1], [1], (0, 4)).shape == (1, 1, 0, 4)


def test_transform_in_the_centre():
    q = torch.cat([torch.linspace(-0.425, 0.425, 100001, dtype=F64), torch.logspace(-300, -1, 3001, dtype=F64)])
    expected = sqrt(2) * special.erfinv(2 * q.numpy())
    assert relative_error(inverse_normal_cdf(q), expected) < 1e-14


def test_transform_in_the_tails():
    p = torch.cat([torch.logspace(-15.9, -1.2, 100001, dtype=F64), torch.linspace(0.01, 0.1, 10001, dtype=F64)])
    q = 0.5 - p
    expected = -special.ndtri((0.5 - q).numpy())
    assert relative_error(inverse_normal_cdf(q), expected) < 1e-13
    assert torch.equal(inverse_normal_cdf(-q), -inverse_normal_cdf(q))


def test_transform_at_the_last_uniform():
    furthest = torch.tensor([0.5 - 2.0**-54, -0.5 + 2.0**-54], dtype=F64)
    z = special.ndtri(2.0**-54)
    assert inverse_normal_cdf(furthest).tolist() == pytest.approx([-z, z], rel=1e-13)


def test_transform_increases():
    edges = np.array([np.nextafter(0.425, 0), 0.425, np.nextafter(0.425, 1)])
    q = torch.cat([torch.linspace(-0.4999, 0.4999, 200001, dtype=F64), torch.tensor(edges)]).sort()[0]
    assert bool((inverse_normal_cdf(q).diff() >= 0).all())


def test_logarithm():
    x = torch.cat([torch.logspace(-16, 0, 50001, dtype=F64), torch.linspace(0.4, 3, 50001, dtype=F64)])
    expected = np.log(x.numpy())
    assert np.abs(noise._log(x).numpy() - expected).max() <= 1e-15 * np.abs(expected).max()
    assert relative_error(noise._log(x[x < 0.6]), expected[x.numpy() < 0.6]) < 1e-15


def relative_error(actual, expected):
    nonzero = expected != 0
    assert np.all(actual.numpy()[~nonzero] == 0)
    return np.abs(actual.numpy()[nonzero] / expected[nonzero] - 1).max()


LARGE = 2**20


@pytest.fixture(scope="module")
def large():
    """2^20 numbers: 16 members, 16 points, 4096 entries."""
    return normal(77, range(16), range(16), (4096,))


def test_distribution_is_normal(large):
    assert stats.kstest(large.flatten().numpy(), "norm").pvalue > 1e-4
    tails = [float((large.abs() > bound).double().mean()) for bound in (1.4, 2, 3, 4)]
    for actual, bound in zip(tails, (1.4, 2, 3, 4), strict=True):
        expected = 2 * special.ndtr(-bound)
        assert abs(actual - expected) < 4.5 * sqrt(expected / LARGE)


@pytest.mark.parametrize(("power", "moment", "variance"), [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)])
def test_moments(large, power, moment, variance):
    assert abs(float((large**power).mean()) - moment) < 4.5 * sqrt(variance / LARGE)


def test_every_member_and_point_is_normal(large):
    """256 fields, so the smallest of their Kolmogorov-Smirnov levels is compared with 1e-4 / 256."""
    levels = [stats.kstest(field.numpy(), "norm").pvalue for field in large.flatten(0, 1)]
    assert min(levels) > 1e-4 / 256
    assert stats.kstest(levels, "uniform").pvalue > 1e-4


def test_neighbours_are_uncorrelated(large):
    """Correlation between neighbouring members, points and entries, also of squares: each within 4.5 standard deviations."""
    pairs = [(large[:, :-1], large[:, 1:]), (large[:-1], large[1:])]
    pairs += [(large[..., :-lag], large[..., lag:]) for lag in (1, 2, 3, 64)]
    for a, b in pairs:
        assert abs(float((a * b).mean())) < 4.5 / sqrt(a.numel())
        assert abs(float(((a**2 - 1) * (b**2 - 1)).mean())) < 4.5 * 2 / sqrt(a.numel())


@pytest.mark.slow
def test_swapping_roles_gives_unrelated_numbers(large):
    """Member and point, seed and stream are not interchangeable."""
    shape = (4096,)
    others = [
        normal(78, range(16), range(16), shape),
        normal(77 + 2**32, range(16), range(16), shape),
        normal(77, range(16), range(16), shape, stream=1),
        normal(77, range(16, 32), range(16), shape),
    ]
    for other in others:
        assert abs(float((large * other).mean())) < 4.5 / sqrt(LARGE)
    swapped = large.transpose(0, 1)
    off_diagonal = ~torch.eye(16, dtype=torch.bool)
    products = (large * swapped).mean(-1)[off_diagonal]
    assert abs(float(products.mean())) < 4.5 * sqrt(2 / (240 * 4096))


def test_uniforms_are_uniform():
    q = centred_uniform(9, range(4), range(4), (4096,)).flatten()
    assert stats.kstest(q.numpy() + 0.5, "uniform").pvalue > 1e-4
    assert float(q.abs().max()) < 0.5 and float(q.abs().min()) > 0


def test_last_bits_are_random_too():
    """The low 16 of the 53 bits of 2^16 uniforms: a chi-square test in 256 cells."""
    j = (centred_uniform(10, [0], [0], (2**16,)).flatten() * 2.0**53).floor().long() & 0xFF
    assert stats.chisquare(torch.bincount(j, minlength=256).numpy()).pvalue > 1e-4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, [0], [0], (2,)), "seed = -1"),
        ((2**64, [0], [0], (2,)), "seed = 18446744073709551616"),
        ((1.5, [0], [0], (2,)), "seed = 1.5"),
        ((0, [2**32], [0], (2,)), "of members = 4294967296"),
        ((0, [0], [-3, 1], (2,)), "smallest of points = -3"),
        ((0, [0, 2**32], [0], (2,)), "largest of members = 4294967296"),
        ((0, [2**64], [0], (2,)), "members must be a list of whole numbers"),
        ((0, "members", [0], (2,)), "members must be a list of whole numbers"),
        ((0, [0.5], [0], (2,)), "members must be whole numbers"),
        ((0, [0, 1], [[0], [1]], (2,)), r"points \(n,\) or \(n, m\)"),
        ((0, [[0, 1]], [0], (2,)), r"members must have shape \(m,\)"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        normal(*arguments)


def test_stream_outside_16_bits_is_refused():
    with pytest.raises(ConfigError, match="stream = 65536"):
        normal(0, [0], [0], (2,), stream=2**16)


@pytest.mark.parametrize(("rows", "blocks"), [(1, 1), (5, 3), (3, 2**17 + 5), (300, 1000), (0, 4), (4, 0)])
def test_chunks_cover_everything_once_and_stay_bounded(rows, blocks):
    counts = torch.zeros(rows, blocks)
    for row, block in noise._chunks(rows, blocks, 2**15):
        assert prod(counts[row, block].shape) <= 2**15
        counts[row, block] += 1
    assert bool((counts == 1).all())
