"""Empirical orthogonal functions: the patterns along which samples vary most."""

from math import prod
from typing import ClassVar

import torch
from torch import Tensor

from parampi.basis.base import register
from parampi.basis.transform import F64, Transform, check_option, check_shape, per_channel
from parampi.errors import ConfigError

ROUGH = 1e-4
"""Largest deviation from orthonormal that vectors may have; they are made orthonormal to rounding."""


@register("eof")
class EOF(Transform):
    """Coefficients of r orthonormal vectors over whole fields, all channels together, then the rest of the field they leave.

    Each vector is a shell. The rest is one more (`channels="shared"`), or one for each channel (`"own"`).

    Either `samples` (N, *shape), whose r = `rank` leading right singular vectors are taken after their mean is subtracted, or
    `vectors` (r, *shape), orthonormal. The sign of a vector from samples is such that its largest entry is positive; vectors
    of (nearly) equal singular values are as good as any others of the same span.

    On a CPU the products are done field by field, elsewhere in one product of all fields.
    """

    tables: ClassVar[tuple[str, ...]] = ("vectors",)

    def __init__(
        self,
        shape: tuple[int, ...],
        samples: Tensor | None = None,
        rank: int | None = None,
        *,
        vectors: Tensor | None = None,
        channels: str = "shared",
    ):
        shape = check_shape("EOF", shape, 1)
        check_option("EOF", "channels", channels, ("own", "shared"))
        self.vectors = chosen(shape, samples, rank, vectors)
        left = 1 - self.vectors.square().sum(0)
        coefficients = torch.arange(len(self.vectors))
        rest = per_channel(torch.zeros(prod(shape[1:]), dtype=torch.int64), shape[0], channels == "shared").flatten()
        shell = torch.cat([coefficients, len(coefficients) + rest])
        noise = torch.cat([torch.ones(len(coefficients), dtype=F64), left.clamp(min=0)])
        super().__init__(shape, shell, torch.ones(len(shell), dtype=F64), noise)

    def analyse(self, rows: Tensor) -> Tensor:
        vectors, flat = self.like(self.vectors, rows), rows.flatten(1)
        coefficients = products(vectors, flat)
        return torch.cat([coefficients, flat - products(vectors.T, coefficients)], dim=1)

    def synthesise(self, rows: Tensor) -> Tensor:
        vectors = self.like(self.vectors, rows)
        fields = products(vectors.T, rows[:, : len(vectors)]) + rows[:, len(vectors) :]
        return fields.reshape(len(rows), *self.shape)


def products(matrix: Tensor, rows: Tensor) -> Tensor:
    """Return the products (R, a) of matrix (a, b) with rows (R, b); on a CPU one by one."""
    if rows.device.type == "cpu":
        return torch.stack([torch.mv(matrix, row.clone()) for row in rows])
    return rows @ matrix.T


def chosen(shape: tuple[int, ...], samples: Tensor | None, rank: int | None, vectors: Tensor | None) -> Tensor:
    """Return orthonormal vectors (r, D), float64, from samples and a rank, or from vectors: tensors, or lists as files have."""
    samples, vectors = (torch.tensor(one, dtype=F64) if isinstance(one, list) else one for one in (samples, vectors))
    if samples is not None and rank is not None and vectors is None:
        return leading(samples, rank, shape)
    if vectors is not None and samples is None and rank is None:
        return orthonormal(vectors, shape)
    raise ConfigError("EOF needs either samples (N, *shape) and a rank, or vectors (rank, *shape) alone")


def leading(samples: Tensor, rank: int, shape: tuple[int, ...]) -> Tensor:
    """Return the (rank, D) leading right singular vectors of centred samples (N, *shape), float64."""
    if samples.ndim != len(shape) + 1 or tuple(samples.shape[1:]) != shape:
        raise ConfigError(f"EOF got samples of shape {tuple(samples.shape)}; expected (N, {', '.join(map(str, shape))})")
    flat = samples.to(F64).flatten(1)
    most = min(len(flat) - 1, flat.shape[1])
    if not 1 <= rank <= most:
        raise ConfigError(
            f"EOF's rank = {rank} is not possible with {len(flat)} samples of {flat.shape[1]} numbers, whose differences from "
            f"their mean span at most {most} dimensions; " + ("give a rank from 1 to that" if most > 0 else "give more samples")
        )
    vectors = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)[2][:rank]
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    signed: Tensor = vectors * largest.sign()
    return signed.contiguous()


def orthonormal(vectors: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return orthonormal vectors (r, *shape) as (r, D) float64; those of single precision are made orthonormal to double."""
    if vectors.ndim != len(shape) + 1 or tuple(vectors.shape[1:]) != shape or not 1 <= len(vectors) <= prod(shape):
        raise ConfigError(
            f"EOF got vectors of shape {tuple(vectors.shape)}; expected (rank, {', '.join(map(str, shape))}) "
            f"with a rank from 1 to {prod(shape)}"
        )
    flat = vectors.to(F64).flatten(1)
    error = float((flat @ flat.T - torch.eye(len(flat), dtype=F64, device=flat.device)).abs().max())
    if not error <= ROUGH:
        raise ConfigError(
            f"EOF got vectors whose scalar products differ from those of orthonormal ones by {error:.2g}; "
            "orthonormalise them, for example by torch.linalg.qr(vectors.flatten(1).T).Q.T"
        )
    q, r = torch.linalg.qr(flat.T)
    signed: Tensor = q * torch.diagonal(r).sign()
    return signed.T.contiguous()
