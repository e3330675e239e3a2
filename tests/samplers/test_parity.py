"""Samplers equal their peers: diffusers' schedulers and the algorithms of EDM, in double precision with the same noise."""

import re
import warnings

import pytest
import torch

from parampi.diffusion.sigmas import vp_linear
from parampi.samplers import DDIM, EDM, DPMpp2M, UniPC
from tests.samplers import elucidated, parity
from tests.samplers.peers import F64, Case, cases, difference, doubled, levels, run_ours, run_peer, scheduler
from tests.samplers.walk import walk

diffusers = pytest.importorskip("diffusers", reason="diffusers, an extra of the tests, is not installed")
PROBLEMS = parity.problems()
LARGEST = 1e-10


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{type(case.sampler).__name__}, {case.peer}, {case.label}")
def test_equals_the_scheduler(case):
    """The mixture; the other problems are gone through for one case of each sampler below, and by the table of the docs."""
    denoise, shape = PROBLEMS[1]
    assert difference(case, denoise, shape) <= LARGEST


@pytest.mark.parametrize("problem", [0, 2], ids=["gaussian", "network"])
@pytest.mark.parametrize(
    "case", {(type(c.sampler), c.peer): c for c in cases()}.values(), ids=lambda c: type(c.sampler).__name__
)
def test_equals_the_scheduler_on_other_problems(case, problem):
    denoise, shape = PROBLEMS[problem]
    assert difference(case, denoise, shape) <= LARGEST


@pytest.mark.parametrize("problem", PROBLEMS, ids=["gaussian", "mixture", "network"])
def test_heun_and_edm_equal_algorithms_1_and_2(problem):
    for sampler, _, value in elucidated.differences([problem]):
        assert value <= LARGEST, sampler


def test_edm_without_churn_is_heun():
    grid = elucidated.GRIDS["18 steps to 0"]
    heun, edm = elucidated.Heun().steps(grid), EDM(s_churn=0.0).steps(grid)
    assert all(torch.equal(getattr(heun, name), getattr(edm, name)) for name in ("sigmas", "state", "drift", "noise"))


def test_the_comparison_sees_another_sampler():
    """A test that cannot fail would be none: one option off is four orders of magnitude above the bound."""
    denoise, shape = PROBLEMS[1]
    case = Case(DPMpp2M("heun"), "DPMSolverMultistepScheduler", 20, {"solver_type": "midpoint"})
    assert difference(case, denoise, shape) > 1e-5


# Where a peer is not its own sampler.


def test_the_parallel_ddim_scheduler_forgets_its_last_level():
    """diffusers issue 14216: DDIMParallelScheduler's batched step goes to sigma = 0 whatever `set_alpha_to_one` says.

    Its own step by step form keeps the level of training time 0, and so does DDIM here.
    """
    options = {"timestep_spacing": "trailing", "set_alpha_to_one": False, "clip_sample": False}
    case = Case(DDIM(), "DDIMScheduler", 20, options)
    denoise, shape = PROBLEMS[1]
    start = 10 * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=F64)
    grid, expected = run_peer(case, denoise, start, [])
    assert grid[-1] > 0
    ours = walk(DDIM().steps(grid), denoise, start, [])
    assert (ours[-1] - expected).norm() <= LARGEST * expected.norm()
    parallel = diffusers.DDIMParallelScheduler
    with doubled(parallel, []):
        made = parallel(**options)
        made.set_timesteps(case.steps)
        before, sigma = ours[-2], grid[-2]
        scaled = (before / (1 + sigma**2).sqrt())[None]
        noise = ((before - denoise(before, sigma)) / sigma)[None]
        batched = made.batch_step_no_noise(noise, made.timesteps[-1:], scaled)[0]
    wrong = float((batched - ours[-1] / (1 + grid[-1] ** 2).sqrt()).norm() / expected.norm())
    to_zero = denoise(before, sigma)
    assert wrong > 1e-3
    assert (batched - to_zero).norm() <= LARGEST * to_zero.norm()


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_the_ddim_scheduler_steps_beside_its_own_times_with_linspace_spacing(eta):
    """It steps down by train_steps // steps training times, which is not the distance of the times at which it evaluates."""
    case = Case(
        DDIM(eta), "DDIMScheduler", 20, {"timestep_spacing": "linspace", "clip_sample": False}, step_options={"eta": eta}
    )
    denoise, shape = PROBLEMS[1]
    assert difference(case, denoise, shape) > 1e-3


def test_unipc_bh1_of_the_peer_is_not_a_number_at_sigma_zero():
    """Its B(h) is infinite there and multiplies a correction of 0; the sampler here takes the limit."""
    case = Case(UniPC("bh1"), "UniPCMultistepScheduler", 10, {"solver_type": "bh1", "final_sigmas_type": "zero"})
    denoise, shape = PROBLEMS[1]
    start = 10 * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=F64)
    grid, theirs = run_peer(case, denoise, start, [])
    assert grid[-1] == 0 and theirs.isnan().any()
    assert run_ours(case, denoise, grid, start, []).isfinite().all()


@pytest.mark.parametrize(
    ("spacing", "to_zero"), [("linspace", True), ("leading", True), ("trailing", True), ("trailing", False)]
)
def test_the_linear_grid_is_that_of_the_ddim_scheduler(spacing, to_zero):
    case = Case(DDIM(), "DDIMScheduler", 20, {"timestep_spacing": spacing, "set_alpha_to_one": to_zero})
    with doubled(diffusers.DDIMScheduler, []):
        theirs = levels(scheduler(case))
    torch.testing.assert_close(vp_linear(20, spacing=spacing, final_zero=to_zero), theirs, rtol=1e-12, atol=1e-14)


def test_the_documented_table_has_the_rows_that_the_generator_makes():
    documented = re.findall(r"^\| (\S+) +\| (.+?) +\| (\d+) ", parity.PAGE.read_text(), re.MULTILINE)
    expected = {}
    for case in cases():
        key = type(case.sampler).__name__, case.peer
        expected[key] = expected.get(key, 0) + 1
    for sampler, name, _ in elucidated.differences(PROBLEMS[:1]):
        expected[sampler, name] = expected.get((sampler, name), 0) + 1
    assert {(a, b): int(n) for a, b, n in documented} == expected


@pytest.fixture(autouse=True)
def quiet():
    """The schedulers' own deprecations are not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
