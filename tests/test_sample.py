"""`parampi.sample` in one process: what it returns, what members depend on, and what it refuses."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import parampi
from parampi import sample, sigmas
from parampi.diffusion.denoisers import EDMDenoiser
from parampi.diffusion.noise import normal
from parampi.errors import ConfigError, NonFiniteError
from parampi.report import MemberReport, Report
from parampi.samplers import DDIM, StepMap
from parampi.solvers import PIADM, Picard, Serial, Spectral
from tests.engines import GAUSSIAN, MIXTURE
from tests.serial_loop import serial
from tests.stencils import Made, langevin, levels, multistep

pytestmark = pytest.mark.usefixtures("hostile")

GRID = sigmas.vp_linear(20)
SHAPE = MIXTURE.shape


def draw(members=3, denoiser=MIXTURE, sampler=DDIM(1.0), **options):  # noqa: B008 (frozen)
    return sample(denoiser, denoiser.shape, members, GRID, sampler, **options)


class Small(nn.Module):
    """A convolutional network in single precision, whose kernels choose their order of summation by the batch."""

    shape = (2, 8, 8)

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(2, 16, 3, padding=1), nn.SiLU(), nn.Conv2d(16, 2, 3, padding=1))

    def forward(self, x, sigma):
        return self.layers(x) * torch.tanh(sigma)[:, None, None, None]


@pytest.fixture(scope="module")
def network():
    wrapped = EDMDenoiser(Small(), sigma_data=0.5)
    wrapped.shape = Small.shape
    return wrapped


# What it returns


@pytest.mark.parametrize("mode", ["fast", "bitwise"])
def test_rows_are_the_serial_members(mode):
    drawn = draw([4, 0, 7], tol=1e-8, mode=mode, seed=3)
    assert drawn.members == [4, 0, 7]
    assert drawn.fields.shape == (3, *SHAPE) and drawn.fields.dtype == torch.float64
    for field, member in zip(drawn.fields, drawn.members, strict=True):
        torch.testing.assert_close(field, serial(MIXTURE, SHAPE, member, GRID, 1.0, seed=3)[-1], rtol=1e-6, atol=1e-7)


def test_report_counts_what_was_done():
    calls = []

    def counted(x, sigma):
        calls.append(len(x))
        return MIXTURE(x, sigma)

    report = sample(counted, SHAPE, 4, GRID, DDIM(1.0), window=6, probe=False).report
    assert report.rounds == len(calls) == max(m.rounds for m in report.members)
    assert report.evaluations == sum(calls) == sum(m.evaluations for m in report.members)
    assert (report.steps, report.serial_rounds, report.serial_evaluations) == (20, 20, 80)
    assert report.speedup == 20 / report.rounds and report.redundancy == report.evaluations / 80
    assert report.outcome == "converged" and [m.member for m in report.members] == [0, 1, 2, 3]
    assert all(0 <= m.error <= report.tolerance and m.residual >= 0 for m in report.members)
    assert report.layout == {"ranks": 1, "groups": 1, "time_ranks": 1, "window": 6}
    assert set(report.seconds[0]) == {"network", "communication", "output", "total"}
    assert report.seconds[0]["total"] >= report.seconds[0]["network"] > 0


def test_residual_history_covers_every_round_of_every_member():
    report = draw(3, window=6).report
    for member in report.members:
        history = report.residuals[member.member]
        assert [r.round for r in history] == list(range(1, member.rounds + 1))
        assert sum(len(r.changes) for r in history) == member.evaluations
        assert history[0].first == 0 and history[-1].first + len(history[-1].changes) == 20


def test_report_is_plain_json():
    report = draw(2).report
    data = json.loads(report.to_json())
    assert data["rounds"] == report.rounds and data["members"][1]["member"] == 1
    assert "2 members" in report.summary() and "(serial 20" in report.summary()


def test_summary_counts_the_members_whose_estimate_is_above_the_tolerance():
    members = [MemberReport(k, 5, 50, 0.1, error, "converged") for k, error in enumerate([5e-3, 2e-2, 3e-2])]
    report = Report(20, 1e-2, serial_rounds=20, serial_evaluations=60, rounds=5, evaluations=150, members=members)
    assert report.above == [1, 2]
    assert report.summary().endswith("estimated error at most 3.0e-02 (tolerance 1.0e-02, 2 members above it)")
    assert replace(report, members=members[:1]).summary().endswith("at most 5.0e-03 (tolerance 1.0e-02)")


def test_natural_blocks_of_a_sampler_are_solved_one_after_another():
    """Also where the window, the longest of them, is named in the report."""
    plain = multistep(levels(12))
    step_map = StepMap(plain.sigmas, plain.state, plain.denoised_weight, plain.noise, blocks=torch.tensor([2, 5, 12]))
    seen = []
    report = sample(
        MIXTURE,
        SHAPE,
        1,
        GRID,
        Made(step_map),
        PIADM(sweeps=2),
        watch=lambda done, steps: seen.append((done.first[0], done.lengths[0])),
    ).report
    assert seen == [(0, 2)] * 2 + [(2, 3)] * 2 + [(5, 7)] * 2 and report.layout["window"] == 7
    blocks = []
    sample(MIXTURE, SHAPE, 1, GRID, Made(step_map), PIADM(sweeps=1), 6, watch=lambda done, steps: blocks.append(done.first[0]))
    assert blocks == [0, 6]


def test_rounds_and_evaluations_are_those_at_which_the_network_was_asked():
    """Velocities are points, but nobody asks for their denoised field."""
    calls = []

    def counted(x, sigma):
        calls.append(len(x))
        return MIXTURE(x, sigma)

    for solver in (Serial(), Picard("block")):
        calls.clear()
        window = None if isinstance(solver, Serial) else 3
        report = sample(counted, SHAPE, 2, GRID, Made(langevin(6)), solver, window, probe=False).report
        assert (report.steps, report.serial_rounds, report.serial_evaluations) == (12, 6, 12)
        assert report.rounds == len(calls) and report.evaluations == sum(calls)
        assert isinstance(solver, Picard) or (report.rounds, report.evaluations) == (6, 12)


def test_watch_sees_every_round():
    seen = []
    report = draw(2, window=5, watch=lambda done, steps: seen.append((done.number, done.slides.copy(), steps))).report
    assert [number for number, _, _ in seen] == list(range(1, report.rounds + 1))
    assert sum(slides for _, slides, _ in seen).tolist() == [20, 20]
    assert {steps for _, _, steps in seen} == {20}


@pytest.mark.parametrize("options", [{"mode": "bitwise"}, {"network_batch": 7}], ids=str)
def test_a_denoiser_may_return_the_same_memory_in_every_call(options):
    """As compiled ones do that replay a recorded graph."""
    memory = {}

    def recorded(x, sigma):
        return memory.setdefault(x.shape, torch.empty_like(x)).copy_(MIXTURE(x, sigma))

    recorded.shape = SHAPE
    expected = draw(3, window=5, **options).fields
    assert torch.equal(draw(3, recorded, window=5, **options).fields, expected)


def test_keep_receives_members_one_by_one_and_nothing_else_is_stored():
    expected, kept = draw(5, mode="bitwise"), []
    drawn = draw(5, mode="bitwise", batch=2, keep=lambda field, member: kept.append((member.member, field.clone())))
    assert drawn.fields is None and drawn.members == [0, 1, 2, 3, 4]
    assert [member for member, _ in kept] == drawn.members
    assert torch.equal(torch.stack([field for _, field in kept]), expected.fields)


def test_batches_add_up_their_rounds():
    whole, parts = draw(4).report, draw(4, batch=1).report
    assert parts.evaluations == whole.evaluations
    assert parts.rounds == sum(m.rounds for m in whole.members)


# What a member depends on


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize(
    "options",
    [{"members": [2]}, {"members": [3, 2]}, {"members": 12}, {"batch": 1}, {"batch": 3, "network_batch": 5}],
    ids=str,
)
def test_member_k_is_member_k(eta, options):
    """Same bits in bitwise mode; in fast mode the same up to rounding."""
    asked, size = {"members": 4, "window": 7, "sampler": DDIM(eta), **options}, options.get("network_batch")
    for mode, same in (("bitwise", torch.equal), ("fast", lambda a, b: torch.allclose(a, b, rtol=1e-12, atol=1e-13))):
        expected = draw(4, sampler=DDIM(eta), window=7, mode=mode, network_batch=size).fields[2]
        drawn = draw(mode=mode, **asked)
        assert same(drawn.fields[drawn.members.index(2)], expected)


@pytest.mark.parametrize("batch", [None, 1, 3])
@pytest.mark.parametrize("network_batch", [None, 4])
def test_member_k_is_member_k_with_a_network_too(network, batch, network_batch):
    options = {"mode": "bitwise", "network_batch": network_batch, "window": 7}
    everyone = draw(5, network, **options).fields
    assert torch.equal(draw([3], network, batch=batch, **options).fields[0], everyone[3])
    assert torch.equal(draw(5, network, batch=batch, **options).fields, everyone)


def test_seed_and_member_change_everything():
    drawn = [draw([member], seed=seed).fields[0] for seed, member in ((0, 0), (0, 1), (1, 0), (2**64 - 1, 2**32 - 1))]
    for i, a in enumerate(drawn):
        for b in drawn[:i]:
            assert (a != b).all()


def test_tolerance_decides_how_near_the_serial_run():
    exact = draw(3, solver=Serial()).fields
    errors = [((draw(3, tol=tol).fields - exact).norm() / exact.norm()).item() for tol in (1e-1, 1e-3, 1e-6)]
    assert errors[0] > errors[1] > errors[2] and errors[2] < 1e-6


def test_single_precision_states():
    double, single = draw(3), draw(3, dtype=torch.float32)
    assert single.fields.dtype == torch.float32
    torch.testing.assert_close(single.fields.double(), double.fields, rtol=1e-3, atol=1e-3)


def test_a_single_precision_network_leaves_states_in_double_precision(network):
    seen = set()
    network.network.register_forward_pre_hook(lambda module, inputs: seen.add((inputs[0].dtype, torch.is_grad_enabled())))
    assert draw(2, network).fields.dtype == torch.float64
    assert seen == {(torch.float32, False)}


def test_sigma_data_is_the_denoiser_s_unless_given():
    """It sets the scale of the start, and of what counts as a small change."""
    start = normal(0, [0], [0], GAUSSIAN.shape)[0, 0]
    for options, scale in (({}, GAUSSIAN.sigma_data), ({"sigma_data": 3.0}, 3.0)):
        expected = (GRID[0] ** 2 + scale**2).sqrt() * start
        seen = []

        def first(x, sigma, seen=seen):
            seen.append(x[0].clone())
            return GAUSSIAN(x, sigma)

        first.sigma_data = GAUSSIAN.sigma_data
        sample(first, GAUSSIAN.shape, 1, GRID, solver=Serial(), probe=False, **options)
        torch.testing.assert_close(seen[0], expected, rtol=1e-14, atol=0)


# What it refuses


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tol": 0.0}, r"tol = 0.0; .* must be positive"),
        ({"tol": float("nan")}, r"tol = nan; .* must be positive"),
        ({"mode": "exact"}, r"mode = 'exact' is not one of 'fast', 'bitwise'"),
        ({"seed": -1}, r"seed = -1 is not between 0 and 2\^64 - 1"),
        ({"seed": 2**64}, r"seed = 18446744073709551616 is not"),
        ({"shape": ()}, r"shape = \(\); give the shape"),
        ({"shape": (1, 0, 8)}, r"shape = \(1, 0, 8\); give the shape"),
        ({"batch": 0}, r"batch = 0; sweep at least one member"),
        ({"network_batch": 0}, r"network_batch = 0; give at least one field"),
        ({"members": 0}, r"members = 0; between 1 and 4294967296"),
        ({"members": 2**32 + 1}, r"members = 4294967297; between 1 and 4294967296"),
        ({"members": []}, r"members = \[\]; give different numbers"),
        ({"members": [1, 2, 1]}, r"members = \[1, 2, 1\]; give different numbers"),
        ({"members": [-1]}, r"members = \[-1\]; .* from 0 to 4294967295"),
        ({"members": [2**32]}, r"members = \[4294967296\]; .* from 0 to 4294967295"),
        ({"window": 0}, r"window = 0 has no points"),
        ({"solver": Serial(), "window": 4}, r"window = 4 makes no sense for the serial solver"),
        ({"time_ranks": 2}, r"time_ranks = 2 does not divide the number of ranks, 1; choose one of 1"),
        ({"sigmas": torch.tensor([1.0, 2.0, 0.0])}, r"sigmas\[0\] = 1 is followed by sigmas\[1\] = 2"),
        ({"sigma_data": 0.0}, r"sigma_data = 0.0; .* must be positive"),
        ({"sigma_data": -1.0}, r"sigma_data = -1.0; .* must be positive"),
        ({"sigma_data": "1"}, r"sigma_data = '1'; .* must be positive and finite"),
        ({"sigma_data": float("inf")}, r"sigma_data = inf; .* must be positive and finite"),
        ({"tol": None}, r"tol = None; .* must be positive"),
        ({"tol": "1e-3"}, r"tol = '1e-3'; .* must be positive and finite, 1e-3 is usual"),
        ({"tol": float("inf")}, r"tol = inf; .* must be positive and finite"),
        ({"tol": -float("inf")}, r"tol = -inf; .* must be positive and finite"),
        ({"tol": True}, r"tol = True; .* must be positive"),
        ({"tol": torch.ones(2)}, r"tol = tensor.*; .* must be positive"),
        ({"keep_on": "everywhere"}, r"keep_on = 'everywhere' is not one of 'root', 'groups'"),
        ({"keep": 3}, r"keep = 3 cannot be called; give a function, or leave it out"),
        ({"condition": [0.0, 0.0]}, r"condition = \[0.0, 0.0\] cannot be called; give a function"),
        ({"members": "3"}, r"members = '3'; give how many, or a list of member numbers, as whole numbers"),
        ({"members": [0.5, 1.7]}, r"members = \[0.5, 1.7\]; give how many, or a list of member numbers"),
        ({"members": True}, r"members = True; give how many, or a list"),
        ({"members": [True, False]}, r"members = \[True, False\]; give how many, or a list"),
        ({"members": 2.0}, r"members = 2.0; give how many, or a list"),
        ({"members": None}, r"members = None; give how many, or a list"),
        ({"seed": 1.5}, r"seed = 1.5 is not between 0 and 2\^64 - 1; give a whole number"),
        ({"shape": 8}, r"shape = 8; give the shape of one member's field, such as \(channels, y, x\)"),
        ({"shape": (1, 8.0, 8)}, r"shape = \(1, 8.0, 8\); give the shape"),
        ({"shape": "188"}, r"shape = '188'; give the shape"),
        ({"window": 2.5}, r"window = 2.5 is no whole number; give one, or leave it out"),
        ({"batch": "1"}, r"batch = '1' is no whole number"),
        ({"network_batch": 1.0}, r"network_batch = 1.0 is no whole number"),
        ({"time_ranks": True}, r"time_ranks = True is no whole number"),
        ({"dtype": torch.int64}, r"dtype = torch.int64 is not one of torch.float64, torch.float32; the network keeps its own"),
        ({"dtype": torch.float16}, r"dtype = torch.float16 is not one of torch.float64, torch.float32"),
        ({"dtype": "float64"}, r"dtype = 'float64' is not one of torch.float64, torch.float32"),
        (
            {"sigmas": "karras"},
            r"sigmas of type str are no list of noise levels \(.*\); give a tensor or a list of",
        ),
        ({"sigmas": torch.ones(3) + 1j}, r"sigmas of type Tensor are no list of noise levels \(they are complex\)"),
        ({"sampler": DDIM}, r"sampler = DDIM is a class; give an object such as parampi.samplers.DDIM\(\)"),
        ({"sampler": "ddim"}, r"sampler = 'ddim' is a name, which only configurations take; give an object such as "),
        (
            {"sampler": Picard(), "solver": DDIM()},
            r"solver = DDIM\(eta=0.0, .*\) is no solver, which derives from ",
        ),
        ({"sampler": Picard()}, r"sampler = Picard\(.*\) is no sampler, for it has no method steps\(sigmas\); give an object "),
        ({"sampler": ""}, r"sampler = '' is a name"),
        ({"solver": Picard}, r"solver = Picard is a class; give an object such as parampi.solvers.Picard\(\)"),
        ({"solver": "picard"}, r"solver = 'picard' is a name, which only configurations take; give an object such as "),
        ({"denoiser": "net.py"}, r"denoiser = 'net.py' cannot be called; give a function D\(x, sigma\)"),
        ({"denoiser": Small}, r"denoiser = Small is a class; give a function D\(x, sigma\)"),
    ],
    ids=str,
)
def test_refuses_arguments_that_make_no_sense(options, message):
    def unused(x, sigma):
        pytest.fail("the network was called before the arguments were checked")

    with pytest.raises(ConfigError, match=message) as refusal:
        sample(**{"denoiser": unused, "shape": SHAPE, "members": 2, "sigmas": GRID, **options})
    assert "\n" not in str(refusal.value)


def test_takes_numbers_of_numpy_and_torch_and_a_list_of_noise_levels():
    plain = sample(MIXTURE, SHAPE, [1, 2], GRID, window=5, tol=1e-3)
    other = sample(MIXTURE, torch.Size(SHAPE), np.array([1, 2]), GRID.tolist(), window=np.int64(5), tol=torch.tensor(1e-3))
    assert torch.equal(plain.fields, other.fields) and plain.members == other.members


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x, sigma: x[:, :, :4], r"returned \(1, 1, 4, 8\) for fields of shape \(1, 1, 8, 8\)"),
        (lambda x, sigma: (x, sigma), r"returned tuple for fields of shape"),
        (lambda x, sigma: x + 1j, r"returned torch.complex128; it must return real numbers"),
        (lambda x, sigma: x.round().long(), r"returned torch.int64; it must return real numbers"),
        (EDMDenoiser(lambda x, time: x + 1j), "the network must return real numbers, but returned torch.complex128"),
        (lambda x, sigma: x[:-1], r"returned \(0, 1, 8, 8\)"),
    ],
)
def test_refuses_a_denoiser_that_returns_another_shape_or_kind(wrong, message):
    with pytest.raises(ConfigError, match=message):
        sample(wrong, SHAPE, 2, GRID)


@pytest.mark.parametrize("returned", [(3, 1, 4, 8), (39, 1, 8, 8)])
def test_refuses_them_during_the_run_too(returned):
    with pytest.raises(ConfigError, match=f"returned {re.escape(str(returned))} for fields of shape"):
        sample(lambda x, sigma: x.new_zeros(returned), SHAPE, 2, GRID, probe=False)


def test_a_basis_that_does_not_fit_is_refused_before_the_network_is_called():
    def unused(x, sigma):
        pytest.fail("the network was called")

    with pytest.raises(ConfigError, match="a spectrum of shape"):
        sample(unused, SHAPE, 2, GRID, solver=Spectral(statistics=parampi.Statistics(spectrum=[1.0, 2.0])))


# What happens when the network fails


class Failing:
    """The standard normal's denoiser, but NaN for one member below a noise level. Without noise, a member's field keeps its
    direction from the start to the end, which tells whose it is."""

    shape = (1, 2, 3)

    def __init__(self, member, below, value=float("nan")):
        self.member, self.below, self.value = member, below, value
        self.starts = normal(0, range(6), [0], self.shape)[0].flatten(1)

    def __call__(self, x, sigma):
        denoised = x / (1 + sigma.view(-1, 1, 1, 1) ** 2)
        owner = torch.nn.functional.cosine_similarity(x.flatten(1)[:, None], self.starts[None], dim=2).argmax(1)
        denoised[(owner == self.member) & (sigma < self.below)] = self.value
        return denoised


LATE = 16
BELOW = (GRID[LATE - 1] + GRID[LATE]).item() / 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("mode", ["fast", "bitwise"])
@pytest.mark.parametrize(
    ("solver", "window", "number"), [(Serial(), None, LATE + 1), (Picard(), None, 1), (Picard("block", guess="gaussian"), 6, 3)]
)
def test_a_network_that_fails_is_told_by_member_point_sigma_and_round(value, mode, solver, window, number):
    told = f"for member 3 at point {LATE} .sigma = {GRID[LATE]:.6g}. in round {number};"
    with pytest.raises(NonFiniteError, match=told) as caught:
        draw(5, Failing(3, BELOW, value), DDIM(), solver=solver, window=window, mode=mode)
    error = caught.value
    assert (error.member, error.point, error.round) == (3, LATE, number) and error.sigma == GRID[LATE]
    assert error.ensemble.members == [] and error.ensemble.fields is None
    assert error.ensemble.report.outcome == "nonfinite"


def test_what_was_finished_before_is_kept():
    whole = draw(5, Failing(9, BELOW), DDIM(), mode="bitwise").fields
    with pytest.raises(NonFiniteError) as caught:
        draw([4, 1, 3, 0], Failing(3, BELOW), DDIM(), batch=1, mode="bitwise")
    kept = caught.value.ensemble
    assert kept.members == [4, 1] and torch.equal(kept.fields, whole[[4, 1]])
    assert [m.outcome for m in kept.report.members] == ["converged", "converged"]


def test_members_of_the_same_batch_that_were_finished_before_are_kept():
    whole = draw(6, window=5)
    rounds = [m.rounds for m in whole.report.members]
    first = min(rounds)
    calls = 0

    def tired(x, sigma):
        nonlocal calls
        calls += 1
        return MIXTURE(x, sigma) if calls <= first else torch.full_like(x, torch.nan)

    with pytest.raises(NonFiniteError) as caught:
        sample(tired, SHAPE, 6, GRID, DDIM(1.0), window=5, probe=False)
    kept = caught.value.ensemble
    assert caught.value.round == first + 1 and 0 < len(kept.members) < 6
    assert kept.members == [m for m in range(6) if rounds[m] == first]
    assert torch.equal(kept.fields, whole.fields[kept.members])


def test_everything_else_a_network_raises_comes_through():
    def broken(x, sigma):
        raise RuntimeError("no kernel image")

    with pytest.raises(RuntimeError, match="no kernel image"):
        sample(broken, SHAPE, 2, GRID)


def test_everything_a_user_needs_is_at_hand():
    assert all(hasattr(parampi, name) for name in parampi.__all__)
