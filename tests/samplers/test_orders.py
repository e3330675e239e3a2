"""Orders of convergence with options other than the defaults, whose order the contract measures."""

import pytest
import torch

from parampi.samplers import EDM, PIADMODE, DPMpp2M, DPMpp2MSDE, DPMpp2S, DPMpp3M, Euler, EulerAncestral, Heun, UniPC
from tests.samplers.orders import F64, log_uniform, order_of_means, order_of_variances

pytestmark = pytest.mark.slow


def gentle(steps):
    """Two tiny steps before the others, so that what a solver begins with at lower order does not count."""
    levels = log_uniform(steps)
    h = (levels[0] / levels[1]).log()
    return torch.cat([levels[:1], levels[0] * (-torch.tensor([1.0, 2.0], dtype=F64) * h**2).exp(), levels[1:]])


@pytest.mark.parametrize(
    ("sampler", "order"),
    [
        (DPMpp2M("heun"), 2),
        (DPMpp2MSDE("heun"), 2),
        (DPMpp2S("heun"), 2),
        (DPMpp2S("midpoint", "grid"), 2),
        (DPMpp2S("heun", "grid", lower_order_final=False), 2),
        (EDM(s_churn=0.0), 2),
        (EDM(s_churn=10.0, s_tmin=0.5, s_tmax=2.0), 2),
        (Euler(s_churn=10.0), 1),
        (EulerAncestral(0.5), 1),
        (PIADMODE(corrections=0), 1),
        (PIADMODE(blocks=2, time=0.5, friction=1.0), 1),
        (UniPC(corrector=False), 2),
        (UniPC("bh1", corrector=False), 2),
        (UniPC("bh1", lower_order_final=False), 3),
        (UniPC("bh2", lower_order_final=False), 3),
    ],
    ids=repr,
)
def test_order_of_the_variance(sampler, order):
    assert order_of_variances(sampler) == pytest.approx(order, abs=0.06)


@pytest.mark.parametrize(("curvature", "order"), [("published", 2), ("taylor", 3)])
def test_3m_is_of_third_order_only_with_the_curvature_of_the_parabola(curvature, order):
    """The published weights count the second difference half; what is left is an error of second order, at every step."""
    sampler = DPMpp3M(curvature=curvature)
    assert order_of_variances(sampler, grid=gentle) == pytest.approx(order, abs=0.06)
    assert order_of_means(sampler, grid=gentle) == pytest.approx(order, abs=0.06)


def test_a_first_step_of_first_order_is_seen_from_a_low_level():
    assert order_of_variances(DPMpp3M(curvature="taylor")) == pytest.approx(2, abs=0.06)


def test_heun_and_churn_of_a_given_step_cost_the_same_evaluations():
    assert EDM().steps(log_uniform(20)).evaluations == Heun().steps(log_uniform(20)).evaluations == 40
