"""A hostile library: kernels whose last bits depend on the shapes and the memory of what they are called with.

Libraries choose the order of their sums by the shape of a call, by the processor and by the number of threads. On one machine
one sees little of that: there a Fourier transform of one field and of nine may have equal bits, on the next it has not. Under
`hostile_library` transforms, products, sums along an axis and elementary functions never have, so that whatever counts on it
fails on any machine. Whole numbers stay as they are, equal calls have equal results, and the rows of one batch are treated
alike: with network batches of one fixed size that is what `bitwise` mode relies on.
"""

import threading
import zlib
from contextlib import contextmanager
from functools import lru_cache, wraps

import numpy as np
import pytest
import torch
from torch import Tensor

LINEAR = (
    "matmul __matmul__ __rmatmul__ mm bmm mv dot vdot inner einsum tensordot addmm addmv addbmm baddbmm linear bilinear cdist "
    "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d layer_norm group_norm batch_norm "
    "scaled_dot_product_attention"
)
ALONE = {"sum", "mean", "nansum", "nanmean", "prod"}
"""Sums that are exact where each is of one number."""
SUMS = "sum mean nansum nanmean prod logsumexp softmax log_softmax norm var std"
FUNCTIONS = (
    "sqrt rsqrt exp exp2 expm1 log log2 log10 log1p sin cos tan sinh cosh tanh asin acos atan asinh acosh atanh atan2 erf erfc "
    "erfinv sigmoid silu gelu softplus hypot polar"
)
FOURIER = "fft ifft rfft irfft fft2 ifft2 rfft2 irfft2 fftn ifftn rfftn irfftn"
ALGEBRA = "solve inv cholesky qr svd eigh lstsq norm vector_norm matrix_norm vecdot matmul multi_dot solve_triangular"
TORCH = (torch, Tensor, torch.nn.functional)
KERNELS = [
    *((home, name) for name in f"{LINEAR} {SUMS} {FUNCTIONS}".split() for home in TORCH if hasattr(home, name)),
    *((torch.fft, name) for name in FOURIER.split()),
    *((torch.linalg, name) for name in ALGEBRA.split()),
]


@contextmanager
def hostile_library(differentiable=True):
    """Have the last bits moved of what torch's kernels and NumPy's Fourier transforms return.

    `differentiable`: also where they are differentiated in forward mode, for which torch loads for a second.
    """
    if differentiable:
        # compiles functions of torch's own, which must be plain then
        torch.func.jvp(torch.square, (torch.ones(1),), (torch.ones(1),))
    with pytest.MonkeyPatch.context() as patch:
        for home, name in KERNELS:
            patch.setattr(home, name, hostile(getattr(home, name), name))
        for name in FOURIER.split():
            patch.setattr(np.fft, name, hostile_transform(getattr(np.fft, name)))
        yield


def hostile(kernel, name):
    """The kernel, with the last bits of what it returns moved. Calls within calls are moved once."""

    @wraps(kernel)
    def call(*args, **kwargs):
        if WITHIN.entered:
            return kernel(*args, **kwargs)
        WITHIN.entered = True
        try:
            result = kernel(*args, **kwargs)
            given = [memory(one) for one in tensors(args)]
            if not isinstance(result, Tensor):
                return type(result)([moved(one, (name, *given)) for one in result])
            alone = name in ALONE and isinstance(args[0], Tensor) and args[0].numel() == result.numel()
            return result if alone else moved(result, (name, *given))
        finally:
            WITHIN.entered = False

    return call


class Within(threading.local):
    entered = False


WITHIN = Within()


def tensors(values):
    """All tensors among arguments, in lists too."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors(value)


def memory(tensor):
    """Shape, and what else a kernel may be chosen by."""
    try:
        place = tensor.data_ptr() % 64
    except RuntimeError:  # a tensor that is being differentiated has no memory of its own
        place = 0
    return tuple(tensor.shape), tensor.is_contiguous(), place


def moved(result, key):
    """The result with its last bits moved; rows of one batch are treated alike."""
    if not (result.is_floating_point() or result.is_complex()) or result.device.type != "cpu":
        return result
    rows = result.ndim > 0 and len(key) > 1 and key[1][0][:1] == result.shape[:1]
    factor = factors(key, (1, *result.shape[1:]) if rows else tuple(result.shape), result.dtype)
    return result * (factor if result.is_complex() else torch.where(result == result.round(), 1.0, factor))


@lru_cache(maxsize=16384)
def factors(key, shape, dtype):
    """By how much each number is moved."""
    return (1 + torch.finfo(dtype).eps * torch.from_numpy(steps(key, shape))).to(dtype)


def steps(key, shape):
    """By how many last bits each number moves."""
    return np.random.default_rng(zlib.crc32(repr(key).encode())).choice([-2.0, -1.0, 1.0, 2.0], shape)


def hostile_transform(transform):
    """One of NumPy's Fourier transforms, moved likewise."""

    @wraps(transform)
    def call(a, *args, **kwargs):
        result = transform(a, *args, **kwargs)
        return result * (1 + np.finfo(result.dtype).eps * steps((transform.__name__, np.shape(a)), result.shape))

    return call
