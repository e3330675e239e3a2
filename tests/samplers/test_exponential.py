"""The functions of exponential integrators, against fifty digits."""

import math
from decimal import Decimal, localcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from parampi.samplers.exponential import log_steps, phi

F64 = torch.float64


def exact(k, z):
    with localcontext() as context:
        context.prec = 120
        z = Decimal(z)
        return float((z.exp() - sum(z**j / math.factorial(j) for j in range(k))) / z**k)


@settings(deadline=None)
@given(k=st.integers(1, 4), z=st.floats(-700, -1e-12))
def test_phi_is_exact_to_rounding(k, z):
    assert float(phi(k, torch.tensor([z], dtype=F64))) == pytest.approx(exact(k, z), rel=2e-14)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_phi_at_its_ends(k):
    values = phi(k, torch.tensor([0.0, -math.inf], dtype=F64)).tolist()
    assert values == [1 / math.factorial(k), 0.0]


def test_log_steps_of_close_levels_and_to_zero():
    levels = torch.tensor([1 + 2**-40, 1.0, 0.5, 0.0], dtype=F64)
    assert log_steps(levels).tolist() == pytest.approx([math.log1p(2**-40), math.log(2), math.inf], rel=1e-15)
