"""Exponentially fitted quadrature in log sigma, through points on both sides of a step."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

NODES = 16
"""Number of nodes of Gauss-Legendre quadrature in each step."""


@dataclass(frozen=True)
class Fitted:
    """Weights of N exponentially fitted steps in M modes.

    The steps are `z[i+1] = passed[i] z[i] + sum_j weights[i,j] rho[begin[i] + j]` of `dz/dt = (L - 1) z + rho`, t = -log sigma,
    in modes of variance c, with `L = c / (c + sigma^2)`. `rho` is replaced by the polynomial in t through P points, as many
    after the step as before it where there are. In a step to sigma = 0, where rho vanishes with sigma, it is one in sigma.

    passed   (N, M) factors of the states
    weights  (N, P, M) weights of rho
    begin    (N,) first point that a step reads
    """

    passed: Tensor
    weights: Tensor
    begin: Tensor

    @classmethod
    def of(cls, sigmas: Tensor, variance: Tensor, order: int) -> "Fitted":
        """Return the quadrature for noise levels (N + 1,) and variances (M,), both float64 on the CPU; the last level may be
        0."""
        steps = len(sigmas) - 1
        begin = (torch.arange(steps) - order // 2 + 1).clamp(0, steps - order)
        passed = propagator(sigmas[1:, None], sigmas[:-1, None], variance)
        weights = torch.stack(
            [step_weights(sigmas, i, begin=int(begin[i]), variance=variance, order=order) for i in range(steps)]
        )
        return cls(passed, weights, begin)


def propagator(end: Tensor, start: Tensor, variance: Tensor) -> Tensor:
    """Return `sqrt((c + end^2) / (c + start^2))`, the factor of a state along the flow from one noise level to another for
    Gaussian data of variance c."""
    return ((variance + end**2) / (variance + start**2)).sqrt()


def step_weights(sigmas: Tensor, i: int, *, begin: int, variance: Tensor, order: int) -> Tensor:
    """Return the weights (P, M) of step i."""
    start, end = sigmas[i], sigmas[i + 1]
    nodes = sigmas[begin : begin + order]
    if end == 0:
        return to_zero(nodes, start, variance)
    places, shares = np.polynomial.legendre.leggauss(NODES)
    length = torch.log(start / end)
    between = start * torch.exp(-length * torch.from_numpy((places + 1) / 2))  # (Q,) levels inside the step
    basis = lagrange(torch.log(nodes), torch.log(between))
    passed = propagator(end, between[:, None], variance)
    return (basis * torch.from_numpy(shares / 2) * length) @ passed


def to_zero(nodes: Tensor, start: Tensor, variance: Tensor) -> Tensor:
    """Return the weights (P, M) of the step from `start` to 0: the integral of Phi(0, s) rho(s) / s, rho a polynomial in s with
    rho(0) = 0.

    With s = sqrt(c) sinh(u), Phi(0, s) ds = sqrt(c) du. A mode of variance 0 ends at 0 whatever rho is.
    """
    places, shares = np.polynomial.legendre.leggauss(NODES)
    root = variance.clamp(min=0).sqrt()
    most = torch.asinh(start / root.clamp(min=1e-150))  # (M,)
    u = most * torch.from_numpy((places + 1) / 2)[:, None]  # (Q, M)
    levels = root * torch.sinh(u)
    basis = lagrange(nodes, levels) / nodes.view(-1, 1, 1)
    # the polynomials through 0 too, divided by s: their factor s / node cancels
    weights: Tensor = (basis * torch.from_numpy(shares / 2)[:, None]).sum(1) * root * most
    return torch.where(variance > 0, weights, 0.0)


def lagrange(nodes: Tensor, places: Tensor) -> Tensor:
    """Return polynomials (P, *places) that are 1 at one of P nodes and 0 at the others."""
    rows = []
    for j in range(len(nodes)):
        others = torch.cat([nodes[:j], nodes[j + 1 :]])
        factors = (places[..., None] - others) / (nodes[j] - others)
        rows.append(factors.prod(-1))
    return torch.stack(rows)
