"""The noise of `parampi.diffusion.noise` on a CPU: the same operations in the same order, hence the same bits, in NumPy and in
place, on numbers that stay in the processor's cache.

Two words of Philox are kept in one 64-bit number, `w = c0 << 32 | c1` and `v = c2 << 32 | c3`. A round is then

    w' = v_high M1 ^ w << 32 ^ k0 << 32,        v' = w_high M0 ^ v << 32 ^ k1 << 32,

whose low halves, the low words of the products, need no mask.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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

Words = NDArray[np.uint64]
Floats = NDArray[np.float64]
HALF = np.uint64(32)
FACTORS = np.array(MULTIPLIERS, np.uint64).reshape(2, 1, 1)


class Scratch:
    """Memory for the numbers of one chunk after another: `most` pairs at a time."""

    def __init__(self, most: int):
        self.words, self.numbers = np.empty((2, 2, most), np.uint64), np.empty((2, 2, most))

    def of(self, rows: int, blocks: int) -> tuple[Words, Words, Floats]:
        """Return two arrays (2, h, b) of words, and one (2, 2, h, b) of numbers."""
        count = rows * blocks
        words, spare = (part.reshape(-1)[: 2 * count].reshape(2, rows, blocks) for part in self.words)
        return words, spare, self.numbers.reshape(-1)[: 4 * count].reshape(2, 2, rows, blocks)


def pairs(
    member: Tensor, point: Tensor, blocks: range, stream: int, *, key: tuple[int, int], gaussian: bool, scratch: Scratch
) -> Tensor:
    """Return the pairs of numbers (2, h, b) of blocks, in rows of members and points (h, 1); in scratch memory."""
    words, spare, numbers = scratch.of(len(member), len(blocks))
    rows = member.numpy().astype(np.uint64), point.numpy().astype(np.uint64)
    packed_words(blocks.start, *rows, stream, key=key, out=words, scratch=spare)
    uniforms, made = spare.view(np.float64), words.view(np.float64)
    centred_uniforms(words, uniforms)
    if gaussian:
        normals(uniforms, made, numbers)
    return torch.from_numpy(made if gaussian else uniforms)


def packed_words(
    first: int, member: Words, point: Words, stream: int, *, key: tuple[int, int], out: Words, scratch: Words
) -> None:
    """Write the pairs of words (2, h, b) of blocks `first` and after, in rows of members and points (h, 1), to `out`."""
    count = out.shape[2]
    block = np.arange(first, first + count, dtype=np.uint64)[None]
    high = np.uint64(stream) | (block >> HALF) << np.uint64(16)
    k0, k1 = (np.uint64(k << 32) for k in key)
    w = member * FACTORS[1, 0, 0] ^ point << HALF ^ k0  # (h, 1)
    v = (block & np.uint64(MASK)) * FACTORS[0, 0, 0] ^ high << HALF ^ k1  # (1, b)
    for number in range(1, PHILOX_ROUNDS):
        k0, k1 = (np.uint64(((k + number * step) & MASK) << 32) for k, step in zip(key, KEY_STEPS, strict=True))
        if number == 1:
            np.bitwise_xor((v >> HALF) * FACTORS[1, 0, 0], w << HALF ^ k0, out=out[0])
            np.bitwise_xor((w >> HALF) * FACTORS[0, 0, 0], v << HALF ^ k1, out=out[1])
            continue
        np.right_shift(out, HALF, out=scratch)
        scratch *= FACTORS
        out <<= HALF
        out[0] ^= k0
        out[1] ^= k1
        out ^= scratch[::-1]


def centred_uniforms(words: Words, out: Floats) -> None:
    """Write numbers `(j + 1/2) 2^-53`, j the upper 53 bits of each word, signed."""
    signed = words.view(np.int64)
    signed >>= 11
    np.add(signed, 0.5, out=out)
    out *= 2.0**-53


def normals(q: Floats, z: Floats, scratch: Floats) -> None:
    """Write z with `Phi(z) = q + 1/2`; all of one shape, `scratch` (2, ...) twice as large."""
    r = z
    np.multiply(q, q, out=r)
    np.subtract(0.180625, r, out=r)
    quotient(CENTRE, r, scratch)
    np.multiply(q, scratch[0], out=z)
    flat, place = q.reshape(-1), z.reshape(-1)
    at = np.flatnonzero(np.abs(flat, out=scratch[0].reshape(-1)) > 0.425)
    side = flat[at]
    place[at] = np.copysign(distance(0.5 - np.abs(side)), side)


def distance(probability: Floats) -> Floats:
    """Return the distance from the centre beyond which a normal lies with the small probability on one side."""
    r = root(-logarithm(probability))
    z: Floats = quotient(TAIL, r - 1.6, np.empty((2, *r.shape))).copy()
    far = np.flatnonzero(r > 5)
    if len(far):
        z[far] = quotient(FAR_TAIL, r[far] - 5, np.empty((2, len(far))))
    return z


def quotient(coefficients: Ratio, r: Floats, scratch: Floats) -> Floats:
    """Return the ratio of two polynomials, the first of the two rows of `scratch`."""
    both = np.array(coefficients).T.reshape(-1, 2, *[1] * r.ndim)
    np.multiply(r, both[0], out=scratch)
    scratch += both[1]
    for coefficient in both[2:]:
        scratch *= r
        scratch += coefficient
    above, below = scratch
    ratio: Floats = np.divide(above, below, out=above)
    return ratio


def logarithm(p: Floats) -> Floats:
    """Return the natural logarithm of positive normal numbers."""
    bits = p.view(np.int64)
    exponent = bits + (0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
    exponent >>= 52
    exponent -= 1023
    mantissa = (bits - (exponent << 52)).view(np.float64)
    s = mantissa + 1
    mantissa -= 1
    np.divide(mantissa, s, out=s)
    square = s * s
    series = square * ATANH[0]
    series += ATANH[1]
    for coefficient in ATANH[2:]:
        series *= square
        series += coefficient
    series *= s
    series *= 2.0
    power = exponent.astype(np.float64)
    series += power * LOG2_LOW
    series += power * LOG2_HIGH
    return series


def root(x: Floats) -> Floats:
    """Return the square root of positive normal numbers."""
    bits = x.view(np.int64) >> 1
    bits += 0x1FF7A3BEA91D9B1B
    guess: Floats = bits.view(np.float64)
    part = np.empty_like(x)
    for _ in range(4):
        np.divide(x, guess, out=part)
        guess += part
        guess *= 0.5
    return guess
