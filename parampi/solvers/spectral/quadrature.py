"""Exponentially fitted quadrature in log sigma, through points on both sides of a step."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

NODES = 16
"""Of Gauss-Legendre quadrature in each step."""


@dataclass(frozen=True)
class Fitted:
    """Steps `z[i+1] = passed[i] z[i] + sum_j weights[i,j] rho[begin[i] + j]` of `dz/dt = (L - 1) z + rho`, t = -log sigma, in
    modes of variance c, with `L = c / (c + sigma^2)`. `rho` is taken for the polynomial in t through P points, as many behind
    the step as before it where there are. In a step to sigma = 0, where rho vanishes with sigma, it is one in sigma.

    passed (N, M), weights (N, P, M), begin (N,); M modes, N steps
    """

    passed: Tensor
    weights: Tensor
    begin: Tensor

    @classmethod
    def of(cls, sigmas: Tensor, variance: Tensor, order: int) -> "Fitted":
        """For noise levels (N + 1,) and variances (M,), both float64 on the CPU; the last level may be 0."""
        steps = len(sigmas) - 1
        begin = (torch.arange(steps) - order // 2 + 1).clamp(0, steps - order)
        passed = propagator(sigmas[1:, None], sigmas[:-1, None], variance)
        weights = torch.stack([step_weights(sigmas, i, int(begin[i]), variance, order) for i in range(steps)])
        return cls(passed, weights, begin)


def propagator(there: Tensor, here: Tensor, variance: Tensor) -> Tensor:
    """`sqrt((c + there^2) / (c + here^2))`, what Gaussian data of variance c make of a state."""
    return ((variance + there**2) / (variance + here**2)).sqrt()


def step_weights(sigmas: Tensor, i: int, begin: int, variance: Tensor, order: int) -> Tensor:
    """(P, M) of step i."""
    here, there = sigmas[i], sigmas[i + 1]
    nodes = sigmas[begin : begin + order]
    if there == 0:
        return to_zero(nodes, here, variance)
    places, shares = np.polynomial.legendre.leggauss(NODES)
    length = torch.log(here / there)
    between = here * torch.exp(-length * torch.from_numpy((places + 1) / 2))  # (Q,) levels inside the step
    basis = lagrange(torch.log(nodes), torch.log(between))
    passed = propagator(there, between[:, None], variance)
    return (basis * torch.from_numpy(shares / 2) * length) @ passed


def to_zero(nodes: Tensor, here: Tensor, variance: Tensor) -> Tensor:
    """Weights (P, M) of the step from `here` to 0: the integral of Phi(0, s) rho(s) / s, rho a polynomial in s with rho(0) = 0.

    With s = sqrt(c) sinh(u), Phi(0, s) ds = sqrt(c) du. A mode of variance 0 ends at 0 whatever rho is.
    """
    places, shares = np.polynomial.legendre.leggauss(NODES)
    root = variance.clamp(min=0).sqrt()
    most = torch.asinh(here / root.clamp(min=1e-150))  # (M,)
    u = most * torch.from_numpy((places + 1) / 2)[:, None]  # (Q, M)
    levels = root * torch.sinh(u)
    basis = lagrange(nodes, levels) / nodes.view(-1, 1, 1)
    # the polynomials through 0 too, divided by s: their factor s / node cancels
    weights: Tensor = (basis * torch.from_numpy(shares / 2)[:, None]).sum(1) * root * most
    return torch.where(variance > 0, weights, 0.0)


def lagrange(nodes: Tensor, places: Tensor) -> Tensor:
    """Polynomials (P, *places) that are 1 at one of P nodes and 0 at the others."""
    rows = []
    for j in range(len(nodes)):
        others = torch.cat([nodes[:j], nodes[j + 1 :]])
        factors = (places[..., None] - others) / (nodes[j] - others)
        rows.append(factors.prod(-1))
    return torch.stack(rows)
