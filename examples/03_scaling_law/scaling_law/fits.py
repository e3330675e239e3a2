"""The growth of rounds and memory with the dimension, by least squares."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from scaling_law.problems import F64
from scaling_law.rows import ScalingRow


@dataclass(frozen=True)
class ScalingFit:
    """Least squares over the dimensions of one method.

    constant, linear, quadratic   `rounds = constant + linear L + quadratic L^2`, L = log d
    quadratic_error   standard error of `quadratic`
    power             rounds as a power of `log(d / tolerance^2)`
    rounds_exponent, memory_exponent   rounds and stored numbers as powers of d
    """

    problem: str
    kind: str
    method: str
    constant: float
    linear: float
    quadratic: float
    quadratic_error: float
    power: float
    rounds_exponent: float
    memory_exponent: float


def fit_rows(rows: Sequence[ScalingRow], tolerance: float) -> list[ScalingFit]:
    """Return the fits of all methods that were measured for at least four dimensions."""

    def name(row: ScalingRow) -> tuple[str, str, str]:
        return row.problem, row.kind, row.method

    order = {key: number for number, key in enumerate(dict.fromkeys(map(name, rows)))}
    groups = groupby(sorted(rows, key=lambda row: (order[name(row)], row.dim)), name)
    return [fit_method(members, tolerance) for members in (list(group) for _, group in groups) if len(members) >= 4]


def fit_method(rows: Sequence[ScalingRow], tolerance: float) -> ScalingFit:
    """Return the fit of one method's rows."""
    logs = torch.tensor([math.log(row.dim) for row in rows], dtype=F64)
    rounds, stored = (torch.tensor(numbers, dtype=F64) for numbers in zip(*((r.rounds, r.stored) for r in rows), strict=True))
    polynomial, errors = least_squares(logs, rounds, 2)
    power = least_squares((logs - 2 * math.log(tolerance)).log(), rounds.log(), 1)[0][1]
    exponents = [float(least_squares(logs, numbers.log(), 1)[0][1]) for numbers in (rounds, stored)]
    name = rows[0].problem, rows[0].kind, rows[0].method
    constant, linear, quadratic = polynomial.tolist()
    return ScalingFit(*name, constant, linear, quadratic, float(errors[2]), float(power), exponents[0], exponents[1])


def least_squares(x: Tensor, y: Tensor, degree: int) -> tuple[Tensor, Tensor]:
    """Return the coefficients of a polynomial, lowest first, and their standard errors."""
    powers = torch.stack([x**k for k in range(degree + 1)], 1)
    coefficients = torch.linalg.lstsq(powers, y[:, None]).solution[:, 0]
    residual_variance = ((y - powers @ coefficients) ** 2).sum() / max(len(x) - degree - 1, 1)
    return coefficients, (residual_variance * torch.linalg.inv(powers.T @ powers).diagonal()).sqrt()
