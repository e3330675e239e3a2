"""Networks that run faster: the values they return, what is refused, and what a run's files say of them."""

import json

import netCDF4
import pytest
import torch
from torch import nn

import parampi
from parampi import ConfigError, InterruptionError, accelerated
from parampi.__main__ import main
from parampi.denoisers import EDMDenoiser
from parampi.diffusion.asking import arithmetic
from parampi.guidance import ClassifierFree
from parampi.networks.accelerated import of_its_own
from parampi.networks.captured import MOST, Captured, Graph
from parampi.networks.loading import load
from parampi.run.config import load as load_config
from parampi.run.job import run
from parampi.run.planning.forecasts import network_name
from tests.networks.accelerated import SIZE, Small, error, inputs, needs_a_compiler
from tests.networks.test_programs import exported, traced
from tests.small import signalled_after, write_project

CPU = torch.device("cpu")
COMPILED = torch._dynamo.utils.counters["stats"]


@pytest.fixture(scope="module")
def compiled():
    """The network compiled: its programs are made once for all tests."""
    torch.compiler.reset()
    return accelerated(Small(), compile=True)


def test_without_settings_it_is_the_network_itself():
    network = Small()
    assert accelerated(network) is network


@pytest.mark.parametrize("channels", [1, 4])
def test_channels_last_changes_rounding_alone(channels):
    x, level = inputs(3, channels)
    expected = Small(channels)(x, level)
    network = accelerated(Small(channels), channels_last=True)
    assert network.plain.network.first.weight.is_contiguous(memory_format=torch.channels_last)
    found = network(x, level)
    assert found.is_contiguous() and error(found, expected) < 1e-5
    assert error(network(x, level, x.roll(1, -1)), Small(channels)(x, level, x.roll(1, -1))) < 1e-5


def test_autocast_rounds_to_bfloat16_and_returns_what_it_was_given():
    x, level = inputs(3)
    found, expected = accelerated(Small(), autocast="bfloat16")(x, level), Small()(x, level)
    assert found.dtype is torch.float32 and 1e-4 < error(found, expected) < 2e-2
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(found, Small()(x, level).float())


def test_a_denoiser_keeps_the_type_of_its_states():
    network, x = accelerated(Small(), autocast="bfloat16"), inputs(2)[0].double()
    found = EDMDenoiser(network)(x, torch.tensor([2.0, 0.5], dtype=torch.float64))
    plain = EDMDenoiser(Small())(x, torch.tensor([2.0, 0.5], dtype=torch.float64))
    assert found.dtype is torch.float64 and 1e-6 < error(found, plain) < 2e-2


@pytest.mark.slow
@needs_a_compiler
def test_a_compiled_network_returns_the_same_for_batches_of_any_size(compiled):
    for count in (1, 3):
        compiled(*inputs(count))
    made = COMPILED["unique_graphs"]
    for count in (1, 2, 5, 9, 15):
        found, expected = compiled(*inputs(count)), Small()(*inputs(count))
        assert found.shape == expected.shape and error(found, expected) < 1e-5
    assert COMPILED["unique_graphs"] == made, "a size that came anew was compiled anew"


@pytest.mark.slow
@needs_a_compiler
def test_a_compiled_network_treats_the_fields_of_a_batch_alike(compiled):
    x, level = inputs(4)
    together = compiled(x, level)
    for row in range(4):
        assert torch.equal(compiled(x[[row] * 4], level[[row] * 4])[row], together[row])


@pytest.mark.slow
@needs_a_compiler
def test_derivatives_are_those_of_the_network(compiled):
    (x, level), plain = inputs(2), Small()
    expected = torch.func.jvp(lambda z: plain(z, level), (x,), (x.roll(1, -1),))[1]
    assert torch.equal(torch.func.jvp(lambda z: compiled(z, level), (x,), (x.roll(1, -1),))[1], expected)
    leaf = x.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(compiled(leaf, level).square().sum(), leaf)
    (known,) = torch.autograd.grad(plain(leaf, level).square().sum(), leaf)
    assert torch.equal(gradient, known)


def test_torch_counts_the_programs_of_each_network_by_themselves():
    network, given = Small(), inputs(2)
    one, other = of_its_own(network.forward), of_its_own(network.forward)
    assert len({one.__code__, other.__code__, Small.forward.__code__}) == 3
    assert torch.equal(one(*given), network(*given)) and torch.equal(other(*given), network(*given))


def test_what_the_compiler_fails_with_is_said_in_a_line():
    network, settings = accelerated(Small(width=12), compile=True), {"cpp.cxx": ("no-such-compiler",)}
    with (
        torch._inductor.config.patch(settings | {"force_disable_caches": True}),
        pytest.raises(
            ConfigError, match=r"compile: torch\.compile fails with .*; it needs a C\+\+ compiler .* or leave compile out"
        ),
    ):
        network(*inputs(1))


def test_an_error_of_the_network_is_its_own():
    network = accelerated(Small(), autocast="bfloat16", channels_last=True)
    with pytest.raises(RuntimeError, match="channels"):
        network(*inputs(1, channels=3))


class Volumes(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Conv3d(1, 1, 3, padding=1)


CPU_REFUSALS = [
    ({"compile": "fast"}, r"compile = 'fast'; give true, false or one of default, reduce-overhead, "),
    ({"compile": "max-autotune", "bitwise": True}, "chooses kernels by timing them, .* take compile: true"),
    ({"autocast": "float8"}, "autocast = 'float8'; give one of bfloat16, float16"),
    ({"cuda_graphs": True}, "cuda_graphs: graphs of calls are of CUDA GPUs, and the network is on cpu; leave it out"),
    ({"cuda_graphs": True, "compile": "reduce-overhead"}, "makes CUDA graphs itself; leave cuda_graphs out"),
]


@pytest.mark.parametrize(("settings", "words"), CPU_REFUSALS)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        accelerated(Small(), **settings)


def test_float16_is_refused_where_the_processor_does_not_compute_in_it(monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_fp16_supported", lambda: False)
    with pytest.raises(
        ConfigError, match="autocast = float16: cpu computes in float16 only by way of other types, slowly; take bf"
    ):
        accelerated(Small(), autocast="float16")


def test_autocast_that_would_change_nothing_is_refused():
    for network, found in ((Small().double(), "float64"), (Small().bfloat16(), "bfloat16"), (nn.Identity(), "there are none")):
        with pytest.raises(ConfigError, match=f"autocast = bfloat16 is of networks in float32, .*{found}"):
            accelerated(network, autocast="bfloat16")


def test_layouts_of_other_fields_are_refused():
    with pytest.raises(ConfigError, match="the network has weights of 5 axes"):
        accelerated(Volumes(), channels_last=True)
    network = accelerated(nn.Sequential(nn.Linear(4, 4)), channels_last=True)
    with pytest.raises(ConfigError, match=r"is called with fields of shape \(4,\); leave it out"):
        network(torch.ones(2, 4), torch.ones(2))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize(("make", "kind"), [(exported, "torch.export"), (traced, "TorchScript")])
def test_programs_are_neither_compiled_nor_laid_out_anew(tmp_path, make, kind):
    network = load(make(tmp_path / "net", 2), CPU)
    with pytest.raises(
        ConfigError, match=f"compile: the network is a program of {kind}, .* leave compile out, or give the class"
    ):
        accelerated(network, compile=True)
    with pytest.raises(ConfigError, match=f"channels_last: the network is a program of {kind}, .* leave channels_last out"):
        accelerated(network, channels_last=True)


def test_programs_run_under_autocast(tmp_path):
    torch.export.save(torch.export.export(Small(), inputs(2)), tmp_path / "net.pt2")
    found = accelerated(load(tmp_path / "net.pt2", CPU), autocast="bfloat16")(*inputs(2))
    assert found.dtype is torch.float32 and torch.equal(found, accelerated(Small(), autocast="bfloat16")(*inputs(2)))


class Doubled(Captured):
    """Records nothing: a "graph" doubles its first input."""

    def record(self, key, given):
        graph = Graph(None, given, None)
        object.__setattr__(graph, "graph", type("Replayed", (), {"replay": lambda _: None})())
        object.__setattr__(graph, "output", 2 * given[0])
        self.recordings.graphs[key] = graph
        return graph


def test_graphs_are_kept_for_so_many_sizes_and_no_more():
    network = Doubled(Small())
    for count in range(1, MOST + 3):
        x, level = inputs(count)
        expected = 2 * x if count <= MOST else Small()(x, level)
        assert torch.equal(network(x, level), expected)
    assert len(network.recordings.graphs) == MOST
    network.double()
    assert not network.recordings.graphs, "weights moved, and the graphs of the former ones are still used"


def test_the_probe_knows_what_a_network_computes_in():
    half = EDMDenoiser(accelerated(Small(), autocast="bfloat16"))
    assert arithmetic(half) is torch.bfloat16 and arithmetic(ClassifierFree(half, half, 2.0)) is torch.bfloat16
    assert arithmetic(EDMDenoiser(Small().half())) is torch.float16
    assert arithmetic(EDMDenoiser(Small())) is None and arithmetic(lambda x, sigma: x) is None


def test_the_probe_passes_a_network_under_autocast_and_still_sees_a_mixed_batch():
    grid = parampi.sigmas.karras(12)
    network = accelerated(Small(), autocast="bfloat16")
    assert parampi.check_denoiser(EDMDenoiser(network), (1, SIZE, SIZE), grid) == 9

    class Mixed(Small):
        def forward(self, x, noise, condition=None):
            return super().forward(x, noise) + 0.5 * x.roll(1, 0)

    with pytest.raises(ConfigError, match="must depend on itself alone"):
        parampi.check_denoiser(EDMDenoiser(accelerated(Mixed(), autocast="bfloat16")), (1, SIZE, SIZE), grid)


def half_project(folder, **changes):
    return write_project(folder, model__autocast="bfloat16", **changes)


def test_the_file_says_how_the_network_was_run_and_a_member_is_drawn_again_so(tmp_path, capsys):
    path = half_project(tmp_path, sampling__members=1)
    assert main(["run", str(path)]) == 0
    assert "the network is run with autocast bfloat16" in capsys.readouterr().out
    with netCDF4.Dataset(tmp_path / "out/ensemble.nc") as file:
        model = json.loads(file.parampi_config)["model"]
    assert [model[key] for key in ("compile", "autocast", "channels_last", "cuda_graphs")] == [False, "bfloat16", False, False]
    assert main(["rerun", str(tmp_path / "out/ensemble.nc"), "--member", "0", "--trust"]) == 0


@pytest.mark.parametrize("override", ["model.autocast=null", "model.channels_last=true", "model.compile=true"])
def test_a_run_does_not_go_on_in_another_way(tmp_path, capsys, override):
    path = half_project(tmp_path, checkpoint__every=0)
    with signalled_after(2), pytest.raises(InterruptionError):
        run(load_config(path))
    assert main(["resume", str(tmp_path / "out"), "--trust", override]) == 2
    key = override.partition("=")[0]
    assert f"is of another configuration: other values of {key}; go on without these overrides" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"model__compile": "fast"},
            'model.compile = "fast": give true, false or a mode of torch.compile, default, reduce-overhead',
        ),
        ({"model__autocast": "half"}, "model.autocast = \"half\": input should be 'bfloat16' or 'float16'"),
        ({"model__cuda_graphs": True}, "model.cuda_graphs: graphs of calls are of CUDA GPUs, and the network is on cpu"),
        ({"model__channels_last": True, "model__shape": [1, 2, 4, 8]}, "shape = [1, 2, 4, 8] has 4 axes; leave it out"),
        ({"model__compile": "max-autotune", "parallel__mode": "bitwise"}, "and parallel.mode = bitwise promises not to; take"),
    ],
)
def test_configurations_that_cannot_be_are_refused(tmp_path, capsys, changes, words):
    path = write_project(tmp_path, **{"parallel__device": "cpu"} | changes)
    assert main(["run", str(path)]) == 2
    assert words in capsys.readouterr().err


def test_measured_calls_are_of_the_network_as_it_is_run(tmp_path):
    plain = load_config(write_project(tmp_path))
    fast = load_config(half_project(tmp_path), ["model.compile=reduce-overhead", "model.channels_last=true"])
    assert network_name(fast) == f"{network_name(plain)} compile reduce-overhead, autocast bfloat16, channels_last"
