"""The engine on a GPU, or where there is none on the pretend device: the CPU's fields to rounding, with every solver, sampler
and way to call it; and how often it makes the CPU wait."""

import json
import os
import subprocess
import warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import netCDF4
import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

import parampi
from parampi import sigmas
from parampi.basis import make_basis
from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.denoisers import EDMDenoiser
from parampi.diffusion.guidance import ClassifierFree, Conditioned
from parampi.diffusion.patches import Patched
from parampi.diffusion.posterior import DiffusionPosterior, MomentMatching
from parampi.engine import EngineOptions, SamplingProblem, engine_for
from parampi.engine.lead_times import LeadTimes
from parampi.engine.network_calls import measure_calls
from parampi.engine.snapshot import restore
from parampi.parallel import SerialGroup
from parampi.run.checkpoint.writer import contents, read_snapshot
from parampi.run.config import load
from parampi.run.job import run
from parampi.samplers import DDIM, DDPM, SAMPLERS, Collocation, DPMpp2M, Heun
from parampi.solvers import PIADM, Newton, Parareal, ParaSolver, ParaTAA, Picard, Serial, Spectral
from parampi.solvers.spectral import bands
from tests import forecasts
from tests.basis.cases import ORTHONORMAL, SPHERE
from tests.crew import crew
from tests.ranks.launch import mpiexec
from tests.small import write_conditions, write_project

CUDA = torch.cuda.is_available()
if not CUDA:
    from tests import pretend_device  # it would be taken for the accelerator
DEVICE = torch.device(os.environ.get("PARAMPI_TEST_DEVICE", "cuda" if CUDA else "pretend"))
SHAPE = (2, 8, 8)
GRID = sigmas.karras(8, 0.05, 10.0)
WIDTH = 0.3
F64 = torch.float64


class TwoModes:
    """E[x0 | x] where each value is +1 or -1, with a width, and neighbours push one another; a condition pushes all."""

    sigma_data, dtype = 1.0, F64

    def __init__(self, device):
        self.device = torch.device(device)

    def __call__(self, x, sigma, condition=0.0):
        squares = sigma.view(-1, 1, 1, 1) ** 2
        share = WIDTH**2 / (WIDTH**2 + squares)
        pushed = x + 0.3 * x.roll(1, -1) + condition
        return share * x + (1 - share) * torch.tanh(pushed / (WIDTH**2 + squares))


class Forecast:
    """The closed form of tests/forecasts.py, on a device."""

    dtype, sigma_data = F64, 1.0

    def __init__(self, device):
        self.device = torch.device(device)

    def __call__(self, x, sigma, condition):
        assert x.device.type == condition.device.type == self.device.type
        return forecasts.denoise(x, sigma, condition)


class Net(torch.nn.Module):
    """A network of single precision with parameters."""

    def __init__(self):
        super().__init__()
        self.mix = torch.nn.Conv2d(3, 2, 3, padding=1)
        with torch.no_grad():
            self.mix.weight.copy_(0.1 * torch.sin(torch.arange(54.0)).view(2, 3, 3, 3))
            self.mix.bias.zero_()

    def forward(self, x, time, condition=None):
        level = time.view(-1, 1, 1, 1).expand(len(x), 1, *x.shape[2:])
        pushed = x if condition is None else x + condition.view(len(x), -1, 1, 1)
        return torch.tanh(self.mix(torch.cat([pushed, level], dim=1)))


def drawn(denoiser, sampler, solver, members=2, grid=GRID, **options):
    return parampi.sample(denoiser, SHAPE, members, grid, sampler, solver, seed=4, **{"tol": 1e-7, **options})


def rolled(device, solver, start_on=None, **options):
    start = forecasts.starts(2).to(start_on or device)
    own = {"condition": forecasts.condition, "update": forecasts.update, "tol": 1e-7, **options}
    return parampi.rollout(
        Forecast(device), start, forecasts.SHAPE, 3, sigmas=forecasts.GRID, sampler=DDPM(), solver=solver, **own
    )


def assert_same(found, expected, atol=1e-6):
    """Rounding may move a verdict at its edge, and then a state by far less than the tolerance."""
    assert found.fields.device.type == "cpu"
    assert_close(found.fields, expected.fields, rtol=0, atol=atol)
    assert abs(found.report.rounds - expected.report.rounds) <= 1


def named(value):
    return type(value).__name__ + getattr(value, "advance", "")


SOLVERS = [
    Serial(),
    Picard(),
    Picard(advance="block"),
    ParaSolver(),
    ParaTAA(),
    PIADM(blocks=2),
    Parareal(),
    Newton(),
    Spectral(),
]
CAUSAL = [kind() for name, kind in SAMPLERS.distinct().items() if name not in ("collocation", "ddim")]


@pytest.mark.parametrize("solver", SOLVERS, ids=named)
@pytest.mark.parametrize("sampler", [DDIM(0.0), DDPM(), Heun(), DPMpp2M()], ids=named)
def test_solvers_draw_the_fields_of_the_cpu(solver, sampler):
    try:
        expected = drawn(TwoModes("cpu"), sampler, solver)
    except parampi.errors.ConfigError as refusal:
        pytest.skip(str(refusal))
    assert_same(drawn(TwoModes(DEVICE), sampler, solver), expected)


@pytest.mark.parametrize("sampler", [*CAUSAL, Collocation()], ids=named)
def test_samplers_draw_the_fields_of_the_cpu(sampler):
    assert_same(drawn(TwoModes(DEVICE), sampler, Spectral()), drawn(TwoModes("cpu"), sampler, Spectral()))


@pytest.mark.parametrize("solver", [Picard(), Spectral(), ParaTAA(), Parareal()], ids=named)
@pytest.mark.parametrize("options", [{"flight": 1}, {"flight": 2}, {"window": 7}], ids=str)
def test_rolls_out(solver, options):
    if isinstance(solver, Parareal) and "window" in options:
        pytest.skip("Parareal knows no window")
    assert_same(rolled(DEVICE, solver, **options), rolled("cpu", solver, **options))


@pytest.mark.parametrize("places", ["cpu", "device"])
def test_rolls_out_with_hooks_and_conditions_from_either_place(places):
    """States of two lead times are read; `condition`, `update` and the hooks may answer on the CPU."""
    place = DEVICE if places == "device" else "cpu"

    def rolled_on(device, put):
        def condition(states, lead, numbers):
            return forecasts.condition(states, lead, numbers).to(put)

        def update(state, kept, lead, numbers):
            return forecasts.update(state, kept, lead, numbers).to(put)

        return parampi.rollout(
            Forecast(device), lambda numbers: forecasts.starts(3, history=2)[numbers].to(put), forecasts.SHAPE, 3, members=3,
            history=2, sigmas=forecasts.GRID, sampler=DDPM(), solver=Spectral(), condition=condition, update=update, tol=1e-7,
            prepare=lambda read: (0.5 * read.to(put), read.to(put)), finish=lambda x, made: x.to(put) + 0.1 * made[1].to(put),
        )  # fmt: skip

    assert_same(rolled_on(DEVICE, place), rolled_on("cpu", "cpu"))


@pytest.mark.parametrize("solver", [Picard(), Spectral(), Parareal()], ids=named)
def test_repeats_bits_whoever_is_in_the_batch(solver):
    options = {"mode": "bitwise", "network_batch": 4, "window": None if solver.wavefront else 5, "tol": 1e-4}
    both = drawn(TwoModes(DEVICE), DDPM(), solver, **options)
    again = drawn(TwoModes(DEVICE), DDPM(), solver, batch=1, **options)
    assert torch.equal(both.fields, again.fields)


@pytest.mark.parametrize("solver", [Picard(), Spectral(), Newton(), Parareal()], ids=named)
def test_halves_that_alternate_repeat_the_bits_of_all_members_at_once(solver):
    options = {"mode": "bitwise", "network_batch": 4, "window": None if solver.wavefront else 5, "tol": 1e-4, "members": 3}
    together, halves = (drawn(TwoModes(DEVICE), DDPM(), solver, overlap=overlap, **options) for overlap in (False, True))
    assert torch.equal(halves.fields, together.fields) and halves.report.members == together.report.members


@pytest.mark.parametrize("solver", [Spectral(), Picard()], ids=named)
def test_states_in_single_precision(solver):
    expected = drawn(TwoModes("cpu"), DDIM(0.0), solver)
    found = drawn(TwoModes(DEVICE), DDIM(0.0), solver, tol=1e-4, dtype=torch.float32)
    error = (found.fields.double() - expected.fields).norm() / expected.fields.norm()
    assert found.fields.dtype == torch.float32 and error < 1e-4


def guided_freely(device):
    forced = TwoModes(device)
    return ClassifierFree(Half(forced), forced, 1.5, interval=(0.1, 5.0))


class Half(TwoModes):
    """The same with a condition of its own."""

    def __init__(self, inner):
        super().__init__(inner.device)

    def __call__(self, x, sigma):
        return super().__call__(x, sigma, 0.4)


def guided_once(device):
    network = Conditioned(Net(), torch.tensor(0.5), torch.tensor(0.0))
    return ClassifierFree(EDMDenoiser(network).to(device), None, 2.0)


def observed(kind):
    def guided(device):
        # what is observed stays where the user had it: on the CPU
        values = 0.3 * torch.ones(2, 8, 4, dtype=F64)
        return kind(TwoModes(device), lambda x: x[..., ::2], values, 0.5)

    return guided


def patched(device):
    return Patched(TwoModes(device), (6, 6), 2)


@pytest.mark.parametrize(
    "guided",
    [guided_freely, guided_once, observed(MomentMatching), observed(DiffusionPosterior), patched],
    ids=lambda g: g.__name__,
)
def test_guides(guided):
    options = {"sigma_data": 1.0, "tol": 1e-5}
    found, expected = (drawn(guided(place), DDPM(), Picard(), **options) for place in (DEVICE, torch.device("cpu")))
    assert_same(found, expected, atol=1e-3)


@pytest.mark.parametrize("places", ["cpu", "device"])
@pytest.mark.parametrize("solver", [Picard(), Parareal(), Newton()], ids=named)
def test_draws_with_conditions_hooks_and_noise_from_either_place(solver, places):
    place = DEVICE if places == "device" else torch.device("cpu")

    def drawn_on(device, put):
        return drawn(
            TwoModes(device), DDPM(), solver, members=3, batch=2, case_of=lambda number: number % 2,
            condition=lambda numbers: torch.tensor([[[[0.2 * (n % 2)]]] for n in numbers], dtype=F64).to(put),
            prepare=lambda given: (2 * given.to(put), given.to(put)), finish=lambda x, made: x.to(put) + made[1].to(put),
            start=lambda numbers: 10 * torch.stack([outside(number, 0) for number in numbers]).to(put),
            noise=lambda member, point: outside(member, point).to(put),
        )  # fmt: skip

    assert_same(drawn_on(DEVICE, place), drawn_on(torch.device("cpu"), "cpu"))


def outside(member, point):
    return torch.randn(SHAPE, dtype=F64, generator=torch.Generator().manual_seed(100 * member + point))


@pytest.mark.parametrize("solver", [Picard(), Spectral()], ids=named)
def test_a_network_that_was_moved_there(solver):
    condition = torch.tensor([0.3])
    found = drawn(EDMDenoiser(Net()).to(DEVICE), DDPM(), solver, tol=1e-4, condition=condition, network_batch=8)
    expected = drawn(EDMDenoiser(Net()), DDPM(), solver, tol=1e-4, condition=condition, network_batch=8)
    assert_same(found, expected, atol=1e-3)


def engine_on(device, solver, leads=0, members=2, group=None, **options):
    """An engine of the two modes; of a roll-out of so many `leads` of the forecast."""
    denoiser, shape, grid, rolling = TwoModes(device), SHAPE, GRID, None
    if leads:
        denoiser, shape, grid = Forecast(device), forecasts.SHAPE, forecasts.GRID
        rolling = LeadTimes(leads, forecasts.starts(members), forecasts.condition, forecasts.update)
    equations = (Collocation() if options.pop("collocation", False) else DDPM()).steps(grid)
    problem = SamplingProblem(
        BatchedDenoiser(denoiser), equations, torch.arange(members), shape, 4, device=torch.device(device), leads=rolling
    )
    return engine_for(problem, solver, group or SerialGroup(), EngineOptions(tolerance=1e-7, mode="fast", **options))


RESUMED = [(Picard(), 0), (Spectral(), 0), (ParaTAA(), 0), (Parareal(), 0), (Spectral(), 2), (Picard(), 2), (Parareal(), 2)]


@pytest.mark.parametrize(("solver", "leads"), RESUMED, ids=str)
def test_goes_on_from_a_checkpoint(solver, leads, tmp_path):
    """What the CPU's disk keeps of a round is that of the device; on either of them the run goes on."""
    before = engine_on(DEVICE, solver, leads)
    for _ in range(4):
        before.advance()
    save_file(contents(before), tmp_path / "rank-0.safetensors")
    whole, left = before.run().cpu(), [read_snapshot([str(tmp_path), column, 1]) for column in range(2)]
    for device in ("cpu", DEVICE):
        resumed = engine_on(device, solver, leads)
        restore(resumed, left)
        assert_close(resumed.run().cpu(), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("solver", [Picard(), Spectral()], ids=named)
def test_a_state_is_loaded_as_it_is(solver):
    run, other = engine_on(DEVICE, solver), engine_on(DEVICE, solver)
    for _ in range(3):
        run.advance()
    other.load(run.state())
    assert_close(other.run().cpu(), run.run().cpu(), rtol=0, atol=1e-6)
    assert other.tail.device.type == DEVICE.type


@pytest.mark.skipif(CUDA, reason="threads would share one stream; MPI's ranks are in test_is_shared_by_ranks")
@pytest.mark.parametrize("options", [{}, {"leads": 2, "flight": 2}, {"collocation": True}], ids=str)
@pytest.mark.parametrize("solver", [Spectral(), ParaTAA(), Parareal()], ids=named)
def test_ranks_share_the_windows(solver, options):
    if options.get("collocation") and not isinstance(solver, Spectral):
        pytest.skip("only spectral solves collocation")
    alone = engine_on("cpu", solver, **options).run()
    shared = crew(2, lambda group: engine_on(DEVICE, solver, group=group, **options).run())[0]
    assert_close(shared.cpu(), alone, rtol=0, atol=1e-6)


BASES = [("fourier-2d", "fast"), ("cosine-2d", "fast"), ("channel-flow", "fast"), ("identity", "fast")]


@pytest.mark.parametrize(
    ("name", "mode"), [*BASES, ("eof", "fast"), ("eof", "bitwise"), ("sphere", "fast"), ("sphere", "bitwise")]
)
def test_bases_of_the_spectral_solver(name, mode):
    made = {**ORTHONORMAL, "sphere": lambda: make_basis("spherical_harmonics", (1, 6, 12), grid="gauss-legendre")}
    if name == "sphere" and not SPHERE:
        pytest.skip("no ducc0")
    basis = made[name]()
    samples = 1 + torch.randn(20, *basis.shape, dtype=F64, generator=torch.Generator().manual_seed(0))
    solver = Spectral(statistics=parampi.Statistics.from_samples(samples, basis))
    found, expected = (
        parampi.sample(TwoModes(device), basis.shape, 2, GRID, DDPM(), solver, tol=1e-6, mode=mode, network_batch=8)
        for device in (DEVICE, "cpu")
    )
    assert_same(found, expected, atol=1e-5)


@pytest.mark.parametrize("leads", [1, 3])
@pytest.mark.parametrize("solver", ["picard", "spectral"])
def test_a_run_there_and_its_files(solver, leads, tmp_path):
    """The verb `run`, with conditions from files, checkpoints, and members finished one by one."""
    fields = []
    for name, folder in (("cpu", tmp_path / "here"), (DEVICE.type, tmp_path / "there")):
        folder.mkdir()
        write_conditions(folder / "cond.nc")
        changes = {"condition__files": "cond.nc", "condition__variables": ["vorticity"], "condition__lead_times": leads}
        own = {"sampling__members": 2, "parallel__device": name, "sampling__solver": {"name": solver}, "condition__select": [2]}
        run(load(write_project(folder, **changes, **own, checkpoint__every=0, sampling__tolerance=1e-6)))
        with netCDF4.Dataset(folder / "out" / "ensemble.nc") as file:
            assert file.parampi_complete == 1
            fields.append(file["vorticity"][:])
    assert abs(fields[1] - fields[0]).max() < 1e-4 * abs(fields[0]).max()


def test_calls_are_timed_there():
    calls = measure_calls(BatchedDenoiser(TwoModes(DEVICE)), SHAPE, 1.0, most=2)
    assert [call.fields for call in calls] == [1, 2]


ONCE = [
    (Serial(), {}),
    (Picard(), {}),
    (Picard(), {"window": 4}),
    (ParaSolver(), {}),
    (ParaTAA(), {}),
    (PIADM(blocks=2), {}),
    (Parareal(), {}),
    (Newton(), {}),
    *((solver, {"leads": 3, "flight": flight}) for solver in (Picard(), ParaTAA()) for flight in (1, 2)),
    (Parareal(), {"leads": 3}),
    *((Spectral(), options) for options in ({}, {"window": 4}, {"leads": 3, "flight": 2}, {"collocation": True})),
]


@pytest.mark.skipif(DEVICE.type == "cpu", reason="a CPU waits for nobody")
@pytest.mark.parametrize(("solver", "options"), ONCE, ids=str)
def test_waits_once_a_round(solver, options):
    """The CPU reads the numbers of the verdict, and nothing else of the device."""
    engine, rounds = engine_on(DEVICE, solver, **options), []
    while not engine.finished:
        with waited() as waits:
            engine.advance()
        rounds.append(waits)
    assert len(rounds) > 2 and all(waits.total() == 1 for waits in rounds), max(rounds, key=Counter.total)


@pytest.mark.skipif(DEVICE.type == "cpu", reason="a CPU waits for nobody")
def test_bands_of_several_shells_make_nobody_wait(monkeypatch):
    monkeypatch.setattr(bands, "MOST", 3)
    test_waits_once_a_round(Spectral(), {"collocation": True})


@pytest.mark.skipif(DEVICE.type == "cpu", reason="a CPU waits for nobody")
@pytest.mark.parametrize(
    ("solver", "options"), [(Picard(), {}), (Spectral(), {"window": 4}), (Spectral(), {"leads": 3})], ids=str
)
def test_waits_once_in_a_round_of_each_half(solver, options):
    engine = engine_on(DEVICE, solver, members=3, overlap=True, **options)
    while not engine.finished:
        halves = sum(not half.finished for half in engine.halves)
        with waited() as waits:
            engine.advance()
        assert waits.total() == halves, waits


class Slow(TwoModes):
    """The two modes after some time on the device, and on which streams they were called."""

    def __init__(self, device):
        super().__init__(device)
        self.streams = set()

    def __call__(self, x, sigma):
        self.streams.add(torch.cuda.current_stream().cuda_stream)
        torch.cuda._sleep(100_000_000)
        return super().__call__(x, sigma)


@pytest.mark.skipif(not CUDA, reason="no CUDA device")
@pytest.mark.parametrize("solver", [Picard(), Spectral()], ids=named)
def test_a_half_is_swept_while_the_network_evaluates_the_other(solver):
    """The round of one half is over, verdict and all, before the call for the other is; what is drawn waited for its calls."""
    slow, equations = Slow(DEVICE), DDPM().steps(sigmas.karras(5, 0.05, 10.0))
    problem = SamplingProblem(BatchedDenoiser(slow), equations, torch.arange(2), SHAPE, 4, device=DEVICE)
    engine = engine_for(problem, solver, SerialGroup(), EngineOptions(tolerance=1e-7, overlap=True))
    engine.advance()  # loads kernels, for which a device may wait
    for k in (0, 1):
        engine.begin(k)
    engine.conclude(0)
    assert not engine.calls[1].mark.query(), "the sweep of one half waited for the call of the other"
    engine.conclude(1)
    engine.enter_halves()
    assert_close(engine.run().cpu(), engine_for(
        replace(problem, network=BatchedDenoiser(TwoModes("cpu")), device=torch.device("cpu")), solver, SerialGroup(),
        EngineOptions(tolerance=1e-7),
    ).run(), rtol=0, atol=1e-6)  # fmt: skip
    assert slow.streams and torch.cuda.default_stream().cuda_stream not in slow.streams


@pytest.mark.skipif(not CUDA, reason="no CUDA device")
def test_calls_are_timed_without_a_wait(monkeypatch):
    engine = engine_on(DEVICE, Picard())
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "synchronize", lambda *_: pytest.fail("waited"))
        engine.run()
    assert engine.problem.network.seconds > 0


@contextmanager
def waited():
    """Yield a count of waits by the lines that ask for them; on CUDA torch tells."""
    waits = Counter()
    if not CUDA:
        with pretend_device.counted() as kinds:
            yield waits
        waits.update(kinds.reads + kinds.uploads)
        return
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield waits
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits.update(f"{one.filename}:{one.lineno}" for one in told if "synchronizing CUDA" in str(one.message))


@pytest.mark.mpi
@pytest.mark.skipif(DEVICE.type not in ("cpu", "cuda"), reason="no CUDA device")
@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("solver", ["picard", "spectral"])
def test_is_shared_by_ranks(ranks, solver, tmp_path):
    called("parampi", "init", "--directory", str(tmp_path / "project"))
    rounds, one = launched(tmp_path, 1, solver)
    on_ranks, several = launched(tmp_path, ranks, solver)
    assert abs(one - several).max() < 1e-3 * abs(one).max() and abs(rounds - on_ranks) <= 1


def launched(folder, ranks, solver):
    """Run the small project of `parampi init` on ranks along time; return its rounds and fields."""
    output = folder / f"on{ranks}"
    overrides = [
        f"sampling.solver.name={solver}",
        f"output.directory={output}",
        f"parallel.device={DEVICE.type}",
    ]
    command = [mpiexec()[0], "-n", str(ranks), "parampi", "run", str(folder / "project" / "run.yaml"), *overrides]
    called(*command, f"parallel.time_ranks={ranks}")
    with netCDF4.Dataset(output / "ensemble.nc") as file:
        fields = next(v for v in file.variables.values() if v.dimensions[0] == "member" and v.ndim == 3)[:]
    return json.loads((output / "report.json").read_text())["rounds"], fields


def called(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
