"""Counter-based Gaussian noise: a pure function of (seed, member, point), the same bits in every order, partition and device.

Bits come from Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11). The key is
the 64-bit seed; the four counter words are

    block [low 32 bits], point, member, stream [16 bits] | block [high 16 bits] << 16

where block counts groups of two numbers within the field. Every block of four 32-bit words gives two 53-bit uniforms, and each
of these one normal by inversion of the normal distribution function (Wichura's algorithm AS241, Applied Statistics 37, 1988).

The transform uses only + - * / in float64, each a separate operation, which IEEE 754 rounds exactly: hence equal bits on every
CPU and GPU. For the same reason nothing here may be fused (no addcmul, no compilation), no library logarithm or square root is
called (torch's on CPUs is a vector library's, whose last bit is wrong for one root in a hundred) and no tensor is divided by a
Python number (which some devices turn into a product with a rounded reciprocal).
"""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from math import prod
from numbers import Integral

import torch
from torch import Tensor

from parampi.diffusion import noise_on_cpu
from parampi.diffusion.noise_constants import (
    ATANH,
    CENTRE,
    FAR_TAIL,
    KEY_STEPS,
    LOG2_HIGH,
    LOG2_LOW,
    MASK,
    MULTIPLIERS,
    PHILOX_ROUNDS,
    TAIL,
    Ratio,
)  # fmt: skip
from parampi.errors import ConfigError

F64, I64 = torch.float64, torch.int64
# Numbers made at a time: a CPU is fastest while all intermediate tensors stay in its cache, a GPU when there are many.
CHUNK = {"cpu": 2**16}
CHUNK_ELSEWHERE = 2**20

Words = tuple[Tensor, Tensor, Tensor, Tensor]


def lead_seed(seed: int, lead: int) -> int:
    """Return the seed of a lead time's noise: that of the run for the first, unrelated numbers after it."""
    return seed if lead == 0 else int.from_bytes(hashlib.sha256(f"{seed}:{lead}".encode()).digest()[:8], "big") >> 1


def normal(
    seed: int,
    members: Tensor | Sequence[int],
    points: Tensor | Sequence[int],
    shape: Sequence[int],
    *,
    dtype: torch.dtype = F64,
    device: torch.device | str = "cpu",
    stream: int = 0,
) -> Tensor:
    """Return independent standard normals, (n, m, *shape), one field for every point and member.

    members: int64 (m,); points: int64 (n,), or (n, m) to give each member points of its own; both in [0, 2^32).
    seed: in [0, 2^64). stream: in [0, 2^16), another independent sequence of the same seed. Numbers are computed in float64
    and rounded to `dtype`. Raises ConfigError outside these ranges.
    """
    return _fill(seed, members, points, shape, dtype=dtype, device=device, stream=stream, gaussian=True)


def centred_uniform(
    seed: int,
    members: Tensor | Sequence[int],
    points: Tensor | Sequence[int],
    shape: Sequence[int],
    *,
    dtype: torch.dtype = F64,
    device: torch.device | str = "cpu",
    stream: int = 0,
) -> Tensor:
    """Return independent uniforms on (-1/2, 1/2), symmetric and never 0; arguments as for `normal`, which is their inverse
    cdf."""
    return _fill(seed, members, points, shape, dtype=dtype, device=device, stream=stream, gaussian=False)


def _fill(
    seed: int,
    members: Tensor | Sequence[int],
    points: Tensor | Sequence[int],
    shape: Sequence[int],
    *,
    dtype: torch.dtype,
    device: torch.device | str,
    stream: int,
    gaussian: bool,
) -> Tensor:
    """Return normals or uniforms (n, m, *shape), made chunk by chunk from counters of member, point and place."""
    seed = _in_range("seed", seed, 64)
    key = (seed & MASK, seed >> 32)
    member, point = _rows(members, points, device)
    size, out_shape = prod(shape), (*member.shape, *shape)
    out = torch.empty(member.numel(), size, dtype=dtype, device=device)
    member, point = member.reshape(-1, 1), point.reshape(-1, 1)
    stream = _in_range("stream", stream, 16)
    limit = CHUNK.get(out.device.type, CHUNK_ELSEWHERE) // 2
    count, make = -(-size // 2), pairs
    if out.device.type == "cpu":
        make = partial(noise_on_cpu.pairs, scratch=noise_on_cpu.Scratch(min(limit, len(out) * count)))
    for rows, blocks in _chunks(len(out), count, limit):
        numbers = make(member[rows], point[rows], range(blocks.start, blocks.stop), stream, key=key, gaussian=gaussian)
        place = out[rows, 2 * blocks.start : 2 * blocks.stop]
        for odd in (0, 1):
            part = place[:, odd::2]
            # By way of float32, so that half precision is rounded alike on every device.
            part.copy_((numbers[odd] if dtype == F64 else numbers[odd].to(torch.float32))[:, : part.shape[1]])
    return out.reshape(out_shape)


def pairs(member: Tensor, point: Tensor, blocks: range, stream: int, *, key: tuple[int, int], gaussian: bool) -> Tensor:
    """Return the pairs of numbers (2, h, b) of blocks, in rows of members and points (h, 1)."""
    block = torch.arange(blocks.start, blocks.stop, dtype=I64, device=member.device)[None]
    counter = (block & MASK, point, member, stream | (block >> 32) << 16)
    uniforms = _uniforms(philox(counter, key))
    return inverse_normal_cdf(uniforms.flatten()).view(uniforms.shape) if gaussian else uniforms


def philox(counter: Words, key: tuple[int, int]) -> Words:
    """Return the four 32-bit words of Philox4x32-10, kept in int64 tensors that broadcast together, from a counter and a key.

    Products wrap modulo 2^64, and the shift that follows extends the sign: only the low 32 bits of the returned words count.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(PHILOX_ROUNDS):
        p0, p1 = (c0 & MASK) * MULTIPLIERS[0], (c2 & MASK) * MULTIPLIERS[1]
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1, (p0 >> 32) ^ c3 ^ k1, p0
        k0, k1 = (k0 + KEY_STEPS[0]) & MASK, (k1 + KEY_STEPS[1]) & MASK
    return c0, c1, c2, c3


def _uniforms(words: Words) -> Tensor:
    """Return two numbers `(j + 1/2) 2^-53`, j in [-2^52, 2^52), from each four words: (2, ...), float64, all operations
    exact."""
    c0, c1, c2, c3 = words
    whole = torch.stack([(c0 << 32 | c1 & MASK) >> 11, (c2 << 32 | c3 & MASK) >> 11])
    return whole.to(F64).add_(0.5).mul_(2.0**-53)


def inverse_normal_cdf(q: Tensor) -> Tensor:
    """Return z with `Phi(z) = q + 1/2`, for q in (-1/2, 1/2) (float64, one-dimensional), to about 1e-15 relative.

    Taking q and not the probability keeps the lower and the upper tail equally exact.
    """
    centre = q * _ratio(CENTRE, (q * q).neg_().add_(0.180625))
    # all of them: to look for those in the tails would make the CPU wait for a GPU
    return torch.where(q.abs() > 0.425, _tail(q.abs().neg_().add_(0.5)).copysign_(q), centre)


def _tail(probability: Tensor) -> Tensor:
    """Return the distance from the centre beyond which a normal lies with the given small probability on one side."""
    r = _sqrt(_log(probability).neg_())
    return torch.where(r > 5, _ratio(FAR_TAIL, r - 5), _ratio(TAIL, r - 1.6))


def _ratio(coefficients: Ratio, r: Tensor) -> Tensor:
    return _polynomial(coefficients[0], r).div_(_polynomial(coefficients[1], r))


def _polynomial(coefficients: tuple[float, ...], r: Tensor) -> Tensor:
    """Return a polynomial's value by Horner's rule, highest power first; in place, but never fused."""
    total = (r * coefficients[0]).add_(coefficients[1])
    for coefficient in coefficients[2:]:
        total.mul_(r).add_(coefficient)
    return total


def _log(p: Tensor) -> Tensor:
    """Return the natural logarithm of positive normal float64 numbers, from + - * / alone, to about 1e-16 relative."""
    # Adding the difference of the bit patterns of 1 and sqrt(1/2) moves the mantissa's interval to [sqrt(1/2), sqrt(2)).
    bits = p.view(I64) + (0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
    exponent = (bits >> 52) - 1023
    mantissa = (p.view(I64) - (exponent << 52)).view(F64)
    s = (mantissa - 1).div_(mantissa + 1)
    series = _polynomial(ATANH, s * s).mul_(s).mul_(2.0)
    power = exponent.to(F64)
    return series.add_(power * LOG2_LOW).add_(power * LOG2_HIGH)


def _sqrt(x: Tensor) -> Tensor:
    """Return the square root of positive normal float64 numbers, from + * / alone, to one unit in the last place."""
    # A shift of the bits halves the exponent: right to 3.5 %. Newton's steps square that: 6e-4, 2e-7, 2e-14, 1e-28.
    root = ((x.view(I64) >> 1) + 0x1FF7A3BEA91D9B1B).view(F64)
    for _ in range(4):
        root = (x / root).add_(root).mul_(0.5)
    return root


def _chunks(rows: int, blocks: int, limit: int) -> Iterator[tuple[slice, slice]]:
    """Return rectangles of rows and blocks that cover everything and hold a bounded count of numbers each."""
    width = max(1, min(blocks, limit))
    height = max(1, limit // width)
    for row in range(0, rows, height):
        for block in range(0, blocks, width):
            yield slice(row, row + height), slice(block, min(block + width, blocks))


def _rows(members: Tensor | Sequence[int], points: Tensor | Sequence[int], device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Return the member and point of every field, both (n, m)."""
    member, point = _indices("members", members, device), _indices("points", points, device)
    if member.ndim != 1 or point.ndim not in (1, 2) or (point.ndim == 2 and point.shape[1] != len(member)):
        raise ConfigError(
            f"members must have shape (m,) and points (n,) or (n, m); got {tuple(member.shape)} and {tuple(point.shape)}"
        )
    shape = (len(point), len(member))
    return member.expand(shape), (point if point.ndim == 2 else point[:, None]).expand(shape)


def _indices(name: str, values: Tensor | Sequence[int], device: torch.device | str) -> Tensor:
    numbers = values if isinstance(values, Tensor) else _tensor(name, values)
    if numbers.is_floating_point() or numbers.is_complex() or numbers.dtype == torch.bool:
        raise ConfigError(f"{name} must be whole numbers, not {numbers.dtype}")
    if numbers.numel():
        _in_range(f"the smallest of {name}", int(numbers.min()), 32)
        _in_range(f"the largest of {name}", int(numbers.max()), 32)
    return numbers.to(device, I64, non_blocking=True)


def _tensor(name: str, values: Sequence[int]) -> Tensor:
    try:
        return torch.as_tensor(values if len(values) else torch.empty(0, dtype=I64))
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ConfigError(f"{name} must be a list of whole numbers from 0 to 2^32 - 1 ({error})") from error


def _in_range(name: str, value: int, bits: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or not 0 <= value < 2**bits:
        raise ConfigError(f"{name} = {value!r} must be a whole number from 0 to 2^{bits} - 1")
    return int(value)
