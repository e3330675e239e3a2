"""One basis of every kind and option, small."""

import importlib.util
from math import prod

import torch

from parampi.basis import make_basis

SEED = 20240
F64 = torch.float64
SPHERE = importlib.util.find_spec("ducc0") is not None


def draw(*shape, seed=SEED, dtype=F64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64).to(dtype)


def eof(shape, **options):
    return make_basis("eof", shape, samples=draw(7, *shape, seed=1) + 3, rank=4, **options)


ORTHONORMAL = {
    "fourier-1d": lambda: make_basis("fourier", (3, 10)),
    "fourier-1d-odd": lambda: make_basis("fourier", (1, 9), shells="full"),
    "fourier-2d": lambda: make_basis("fourier", (2, 6, 8)),
    "fourier-2d-odd": lambda: make_basis("fourier", (1, 5, 7), shells="full"),
    "fourier-2d-axes": lambda: make_basis("fourier", (2, 6, 5), shells="axes", channels="shared"),
    "fourier-2d-full": lambda: make_basis("fourier", (2, 4, 6), shells="full"),
    "fourier-3d": lambda: make_basis("fourier", (1, 4, 3, 6), shells="full"),
    "fourier-extent": lambda: make_basis("fourier", (1, 6, 8), extent=(1.0, 2.5)),
    "cosine-1d": lambda: make_basis("cosine", (2, 7)),
    "cosine-2d": lambda: make_basis("cosine", (1, 6, 5), shells="axes"),
    "cosine-3d": lambda: make_basis("cosine", (2, 3, 4, 5)),
    "channel-flow": lambda: make_basis("mixed", (2, 6, 8), kinds=("cosine", "fourier")),
    "bounded-x": lambda: make_basis("mixed", (1, 8, 5), kinds=("fourier", "cosine"), shells="full"),
    "slab": lambda: make_basis("mixed", (1, 4, 3, 6), kinds=("fourier", "cosine", "fourier"), shells="full"),
    "identity": lambda: make_basis("identity", (3, 4, 5)),
    "identity-shared": lambda: make_basis("identity", (3, 7), channels="shared"),
    "eof": lambda: eof((2, 4, 5)),
    "eof-own": lambda: eof((3, 9), channels="own"),
}
SPHERES = {
    "sphere-cells": lambda: make_basis("spherical_harmonics", (2, 6, 12), grid="equiangular"),
    "sphere-poles": lambda: make_basis("spherical_harmonics", (1, 7, 12), grid="equiangular-poles", ascending=True),
    "sphere-north": lambda: make_basis("spherical_harmonics", (1, 8, 15), grid="driscoll-healy", channels="shared"),
    "sphere-gauss": lambda: make_basis("spherical_harmonics", (2, 6, 9), grid="gauss-legendre", degree=4),
    "sphere-tables": lambda: make_basis("spherical_harmonics", (2, 6, 12), grid="equiangular", transform="tables"),
}
BASES = ORTHONORMAL | (SPHERES if SPHERE else {})


def size(basis):
    """Numbers of one field."""
    return prod(basis.shape)


def matrices(basis):
    """The matrices (M, N) of forward and (N, M) of inverse."""
    points = torch.eye(size(basis), dtype=F64).reshape(-1, *basis.shape)
    return basis.forward(points).T, basis.inverse(torch.eye(basis.modes, dtype=F64)).flatten(1).T
