"""Samplers equal their peers: diffusers' schedulers and the algorithms of EDM, in double precision with the same noise."""

import dataclasses
import warnings

import pytest
import torch

from parampi.diffusion.sigmas import VPTimes, karras, log_uniform, training_times, vp_linear
from parampi.errors import ConfigError
from parampi.samplers import DDIM, EDM, DPMpp2M, Euler, UniPC
from tests.samplers import elucidated, parity
from tests.samplers.peers import F64, Case, cases, difference, doubled, levels, run_ours, run_peer, scheduler
from tests.samplers.walk import walk

diffusers = pytest.importorskip("diffusers", reason="diffusers, an extra of the tests, is not installed")
PROBLEMS = parity.problems()
LARGEST = 1e-10


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.name}, {case.peer}, {case.label}")
def test_equals_the_scheduler(case):
    """The mixture; the other problems are gone through for one case of each row below, and by the table of the docs."""
    denoise, shape = PROBLEMS[1]
    assert difference(case, denoise, shape) <= LARGEST


@pytest.mark.slow
@pytest.mark.parametrize("problem", [0, 2], ids=["gaussian", "network"])
@pytest.mark.parametrize("case", {case.row: case for case in cases()}.values(), ids=lambda case: ", ".join(case.row))
def test_equals_the_scheduler_on_other_problems(case, problem):
    denoise, shape = PROBLEMS[problem]
    assert difference(case, denoise, shape) <= LARGEST


@pytest.mark.parametrize("problem", PROBLEMS, ids=["gaussian", "mixture", "network"])
def test_heun_and_edm_equal_algorithms_1_and_2(problem):
    for row, compute in elucidated.differences([problem]):
        assert compute() <= LARGEST, row


def test_edm_without_churn_is_heun():
    grid = elucidated.GRIDS["18 steps to 0"]
    heun, edm = elucidated.Heun().steps(grid), EDM(s_churn=0.0).steps(grid)
    assert all(torch.equal(getattr(heun, name), getattr(edm, name)) for name in ("sigmas", "state", "denoised_weight", "noise"))


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
    with doubled(parallel):
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
    """Its B(h) is infinite there and multiplies a correction of 0, which is none; the sampler here makes none."""
    case = Case(UniPC("bh1"), "UniPCMultistepScheduler", 10, {"solver_type": "bh1", "final_sigmas_type": "zero"})
    denoise, shape = PROBLEMS[1]
    start = 10 * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=F64)
    grid, theirs = run_peer(case, denoise, start, [])
    assert grid[-1] == 0 and theirs.isnan().any()
    assert run_ours(case, denoise, grid, start, []).isfinite().all()


def test_unipc_of_the_peer_corrects_its_last_state_with_a_step_of_no_length():
    """With Karras's levels down to sigma_min the multistep schedulers append the last level once more. Here such a grid is
    refused. DPM-Solver's scheduler goes nowhere in that step; UniPC's returns the last state corrected, one evaluation more."""
    case = Case(UniPC(), "UniPCMultistepScheduler", 12, {"use_karras_sigmas": True, "final_sigmas_type": "sigma_min"})
    denoise, shape = PROBLEMS[1]
    start = 10 * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=F64)
    grid, theirs = run_peer(case, denoise, start, [])
    assert len(grid) == 12
    with pytest.raises(ConfigError, match="drop repeated ones"):
        UniPC().steps(torch.cat([grid, grid[-1:]]))
    sampler = UniPC(lower_order_final=False)
    predicted = run_ours(dataclasses.replace(case, sampler=sampler), denoise, grid, start, [])
    to_nearby = torch.cat([grid, grid[-1:] * (1 - 1e-9)])
    corrected = run_ours(dataclasses.replace(case, sampler=UniPC()), denoise, to_nearby, start, [])
    assert (corrected - theirs).norm() < 1e-8 * theirs.norm()
    assert (predicted - theirs).norm() > 1e-6 * theirs.norm()


def test_the_euler_scheduler_asks_the_network_before_it_adds_the_noise():
    """Algorithm 2 evaluates the raised state at the raised level; used as documented, the scheduler's step adds the noise to
    the state after the network has seen it. Given the network's answer to the raised state, its step is the algorithm's."""
    churn = {"s_churn": 3.0}
    case = Case(Euler(**churn), "EulerDiscreteScheduler", 12, scaled=False, step_options=churn)
    denoise, shape = PROBLEMS[1]
    assert difference(case, denoise, shape) <= LARGEST
    assert difference(case, denoise, shape, churned=False) > 1e-2


@pytest.mark.parametrize(
    ("spacing", "to_zero"), [("linspace", True), ("leading", True), ("trailing", True), ("trailing", False)]
)
def test_the_linear_grid_is_that_of_the_ddim_scheduler(spacing, to_zero):
    options = {"timestep_spacing": spacing, "set_alpha_to_one": to_zero}
    same_grid(vp_linear(20, spacing=spacing, final_zero=to_zero), "DDIMScheduler", 20, options)


@pytest.mark.parametrize("peer", ["DPMSolverMultistepScheduler", "UniPCMultistepScheduler"])
@pytest.mark.parametrize("spacing", ["linspace", "leading"])
@pytest.mark.parametrize("to_zero", [True, False])
def test_the_linear_grid_of_the_multistep_schedulers_leaves_out_the_last_of_one_more_time(spacing, to_zero, peer):
    times = training_times(21, 1000, spacing)[:-1]
    options = {"timestep_spacing": spacing, "final_sigmas_type": "zero" if to_zero else "sigma_min"}
    same_grid(vp_linear(20, spacing=times, final_zero=to_zero), peer, 20, options)


@pytest.mark.parametrize("to_zero", [True, False])
@pytest.mark.parametrize(("kind", "option"), [(karras, "use_karras_sigmas"), (log_uniform, "use_exponential_sigmas")])
def test_karras_and_exponential_grids_between_the_ends_of_the_linear_schedule(kind, option, to_zero):
    """Without a last 0 the peer's last level stands twice: n levels are n - 1 steps."""
    ends = VPTimes().sigma(torch.tensor([0.0, 999.0])).tolist()
    options = {option: True, "final_sigmas_type": "zero" if to_zero else "sigma_min"}
    ours = kind(12 if to_zero else 11, *ends, final_zero=to_zero)
    same_grid(ours, "DPMSolverMultistepScheduler", 12, options)


def same_grid(ours, peer, steps, options):
    case = Case(DDIM(), peer, steps, options)
    with doubled(getattr(diffusers, peer)):
        theirs = levels(scheduler(case))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def test_the_documented_table_has_the_rows_that_the_generator_makes():
    lines = parity.PAGE.read_text().splitlines()
    documented = [tuple(cell.strip() for cell in line.strip("|").split("|")[:4]) for line in lines[2:]]
    assert documented == [(*row, str(len(all_))) for row, all_ in parity.grouped(PROBLEMS).items()]
    assert tuple(cell.strip() for cell in lines[0].strip("|").split("|")) == parity.HEADER


@pytest.fixture(autouse=True)
def quiet():
    """The schedulers' own deprecations are not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
