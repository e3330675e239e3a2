"""The numbers of a slice's steps are those of the chain's, step by step, tap by tap and member by member."""

from dataclasses import fields

import pytest
import torch

from parampi.diffusion.batched import BatchedDenoiser
from parampi.engine.coefficients import Coefficients
from parampi.engine.problem import SamplingProblem
from parampi.solvers import ParaSolver, Picard
from tests.engines import GAUSSIAN
from tests.stencils import stencils

F64 = torch.float64
STENCILS = stencils()
every_stencil = pytest.mark.parametrize("step_map", STENCILS.values(), ids=list(STENCILS))


def whole(step_map, solver=None):
    chain = SamplingProblem(BatchedDenoiser(GAUSSIAN), step_map, torch.arange(2), GAUSSIAN.shape, 0, GAUSSIAN.sigma_data)
    return Coefficients.of(chain, solver or Picard())


@every_stencil
@pytest.mark.parametrize("solver", [Picard(), Picard("window", "identity", "frozen"), ParaSolver()], ids=str)
def test_a_chain_has_one_number_per_step_and_tap(step_map, solver):
    given, model = whole(step_map, solver), solver.model(step_map, GAUSSIAN.sigma_data)
    assert torch.equal(given.state, step_map.state) and torch.equal(given.noise, step_map.noise)
    assert torch.equal(given.slopes, model.slopes) and torch.equal(given.response[:, 0], model.response)
    for one in fields(given):
        assert len(getattr(given, one.name)) == step_map.steps, one.name
    for i in range(step_map.steps):
        for tap in range(step_map.taps):
            assert given.levels[i, tap] == (step_map.sigmas[i - tap] if tap <= i else 0)
    scale = (step_map.sigmas**2 + GAUSSIAN.sigma_data**2).sqrt()
    assert torch.equal(given.scale[:, 0], scale[:-1]) and torch.equal(given.scale_made[:, 0], scale[1:])


@every_stencil
@pytest.mark.parametrize("dtype", [torch.float32, F64], ids=str)
def test_a_slice_has_them_shaped_for_its_states(step_map, dtype):
    """Two members at different steps, the second with a step beyond the last: 0 where a step is in no window."""
    given, n = whole(step_map), step_map.steps
    steps = torch.tensor([[0, max(n - 2, 0)], [min(1, n - 1), n - 1], [2, n]])
    active = torch.tensor([[True, True], [True, True], [False, False]])
    found = given.at(steps, active, torch.zeros(5, 2, 1, 3, 4, dtype=dtype))
    for one in fields(given):
        numbers, whole_numbers = getattr(found, one.name), getattr(given, one.name)
        taps = whole_numbers.shape[1]
        assert numbers.shape == (taps, 3, 2, 1, 1, 1) and numbers.dtype == dtype
        for row, member in ((0, 0), (0, 1), (1, 0), (1, 1)):
            expected = whole_numbers[steps[row, member]].to(dtype)
            assert torch.equal(numbers[:, row, member].flatten(), expected), one.name
        assert not numbers[:, 2].any()


def test_a_slice_without_steps_has_no_numbers():
    found = whole(STENCILS["three taps"]).at(
        torch.zeros(0, 2, dtype=torch.int64), torch.zeros(0, 2, dtype=torch.bool), torch.zeros(3, 2, 4)
    )
    assert found.state.shape == (3, 0, 2, 1) and found.noise.shape == (2, 0, 2, 1)
