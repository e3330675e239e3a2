"""How rounds and memory grow with the dimension."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from scaling_law.rows import Row

F64 = torch.float64


@dataclass(frozen=True)
class Fit:
    """Least squares over the dimensions of one method.

    constant, linear, quadratic   `rounds = constant + linear L + quadratic L^2`, L = log d, and the standard error of the last
    power    rounds as a power of `log(d / tolerance^2)`
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


def fits(rows: Sequence[Row], tolerance: float) -> list[Fit]:
    """Of all methods that were measured for at least four dimensions."""

    def named(row: Row) -> tuple[str, str, str]:
        return row.problem, row.kind, row.method

    order = {name: number for number, name in enumerate(dict.fromkeys(named(row) for row in rows))}
    groups = groupby(sorted(rows, key=lambda row: (order[named(row)], row.dim)), named)
    return [fit(members, tolerance) for members in (list(group) for _, group in groups) if len(members) >= 4]


def fit(rows: Sequence[Row], tolerance: float) -> Fit:
    logs, rounds, stored = (torch.tensor(numbers, dtype=F64) for numbers in zip(*numbered(rows), strict=True))
    polynomial, errors = least_squares(logs, rounds, 2)
    power = least_squares((logs - 2 * math.log(tolerance)).log(), rounds.log(), 1)[0][1]
    exponents = [float(least_squares(logs, numbers.log(), 1)[0][1]) for numbers in (rounds, stored)]
    constant, linear, quadratic = polynomial.tolist()
    name = rows[0].problem, rows[0].kind, rows[0].method
    return Fit(*name, constant, linear, quadratic, float(errors[2]), float(power), exponents[0], exponents[1])


def numbered(rows: Sequence[Row]) -> Iterator[tuple[float, int, int]]:
    for row in rows:
        yield math.log(row.dim), row.rounds, row.stored


def least_squares(x: Tensor, y: Tensor, degree: int) -> tuple[Tensor, Tensor]:
    """Coefficients of a polynomial, lowest first, and their standard errors."""
    powers = torch.stack([x**k for k in range(degree + 1)], 1)
    coefficients = torch.linalg.lstsq(powers, y[:, None]).solution[:, 0]
    left = ((y - powers @ coefficients) ** 2).sum() / max(len(x) - degree - 1, 1)
    return coefficients, (left * torch.linalg.inv(powers.T @ powers).diagonal()).sqrt()
