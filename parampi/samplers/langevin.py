"""One step of underdamped Langevin dynamics with the score held, exactly."""

import math


def moments(eps: float, g: float) -> tuple[float, float, float]:
    """Return (decay, rest, push) of `dy = v dt`, `dv = (s - g v) dt + sqrt(2 g) dW` over a time eps with s constant.

    In the mean `v' = decay v + rest s` and `y' = y + rest v + push s`, where decay = e^(-g eps), rest = (1 - decay) / g and
    push = (eps - rest) / g.
    """
    decay, rest = math.exp(-g * eps), -math.expm1(-g * eps) / g
    return decay, rest, series(g * eps, 2, 1.0, 0.0) / g**2


def noises(eps: float, g: float) -> tuple[float, float, float]:
    """Return (p, q, r): xi_y = p xi_1 and xi_v = q xi_1 + r xi_2, with xi_1, xi_2 standard normal, have the step's moments.

    Var xi_y = 2/g (eps - 2 (1 - a)/g + (1 - a^2)/2g),     Var xi_v = 1 - a^2,     Cov = (1 - a)^2 / g,     a = e^(-g eps).
    """
    rest = -math.expm1(-g * eps) / g
    p = math.sqrt(2 * series(g * eps, 3, 2.0, -0.5)) / g
    q = g * rest**2 / p
    return p, q, math.sqrt(max(-math.expm1(-2 * g * eps) - q**2, 0.0))


def series(z: float, first: int, once: float, twice: float) -> float:
    """Return `z - once (1 - e^-z) - twice (1 - e^-2z)`, whose terms below z^first cancel; its series where they do so badly."""
    if z > 0.5:
        return z + once * math.expm1(-z) + twice * math.expm1(-2 * z)
    return math.fsum((-z) ** k * (once + twice * 2**k) / math.factorial(k) for k in range(first, 24))
