"""Networks that run faster on a GPU: graphs of their calls, half precisions, and torch.compile."""

import pytest
import torch

import parampi
from parampi import accelerated
from parampi.denoisers import EDMDenoiser
from parampi.networks.captured import MOST
from tests.networks.accelerated import SIZE, Small, error, inputs

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU"),
    pytest.mark.filterwarnings("default"),  # of compilers and drivers
]


@pytest.fixture(autouse=True)
def full_precision():
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def on_gpu(count, channels=1):
    return inputs(count, channels, "cuda")


def test_cuda_graphs_return_the_bits_of_the_calls_they_recorded():
    network, plain = accelerated(Small().cuda(), cuda_graphs=True), Small().cuda()
    for count in (1, 3, 1, 3):
        for given in (on_gpu(count), tuple(2 * one for one in on_gpu(count))):
            assert torch.equal(network(*given), plain(*given))
    assert len(network.fast.recordings.graphs) == 2
    first, second = network(*on_gpu(3)), network(*(2 * one for one in on_gpu(3)))
    assert not torch.equal(first, second), "two calls return the same memory"


def test_cuda_graphs_read_conditions():
    network, plain = accelerated(Small().cuda(), cuda_graphs=True), Small().cuda()
    x, level = on_gpu(2)
    for shift in (1, 2, 3):
        assert torch.equal(network(x, level, x.roll(shift, -1)), plain(x, level, x.roll(shift, -1)))


def test_cuda_graphs_are_kept_for_so_many_sizes():
    network, plain = accelerated(Small().cuda(), cuda_graphs=True), Small().cuda()
    for count in range(1, MOST + 4):
        assert torch.equal(network(*on_gpu(count)), plain(*on_gpu(count)))
    assert len(network.fast.recordings.graphs) == MOST


class Waiting(Small):
    """Reads a number off the GPU in every call."""

    def forward(self, x, noise, condition=None):
        return super().forward(x, noise) * (1.0 if float(noise.max()) < 1e9 else 0.0)


def test_cuda_graphs_of_a_network_that_waits_for_the_gpu_are_done_without(capsys):
    network, plain = accelerated(Waiting().cuda(), cuda_graphs=True), Small().cuda()
    for count in (2, 2, 5):
        assert torch.equal(network(*on_gpu(count)), plain(*on_gpu(count)))
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "parampi: cuda_graphs: a call with 2 fields cannot be recorded (" in said
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    # the GPU goes on, and other networks are recorded
    again = accelerated(Small().cuda(), cuda_graphs=True)
    assert torch.equal(again(*on_gpu(2)), plain(*on_gpu(2))) and len(again.fast.recordings.graphs) == 1
    torch.randn(3, device="cuda")


def test_cuda_graphs_are_left_out_of_derivatives():
    network, plain, (x, level) = accelerated(Small().cuda(), cuda_graphs=True), Small().cuda(), on_gpu(2)
    network(x, level)
    expected = torch.func.jvp(lambda z: plain(z, level), (x,), (x.roll(1, -1),))[1]
    assert torch.equal(torch.func.jvp(lambda z: network(z, level), (x,), (x.roll(1, -1),))[1], expected)


@pytest.mark.parametrize(("half", "most"), [("bfloat16", 2e-2), ("float16", 3e-3)])
@pytest.mark.parametrize("graphs", [False, True])
def test_cuda_autocast(half, most, graphs):
    if half == "bfloat16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("this GPU does not compute in bfloat16")
    network, plain = accelerated(Small().cuda(), autocast=half, cuda_graphs=graphs), Small().cuda()
    found, expected = network(*on_gpu(3)), plain(*on_gpu(3))
    assert found.dtype is torch.float32 and 1e-6 < error(found, expected) < most


def test_cuda_channels_last():
    network, plain = accelerated(Small(4).cuda(), channels_last=True), Small(4).cuda()
    assert error(network(*on_gpu(3, 4)), plain(*on_gpu(3, 4))) < 1e-5


@pytest.mark.parametrize("settings", [{}, {"cuda_graphs": True}, {"bitwise": True}], ids=["alone", "graphs", "bitwise"])
def test_cuda_compile(settings):
    pytest.importorskip("triton", reason="torch.compile on a GPU needs triton")
    torch.compiler.reset()
    network, plain = accelerated(Small().cuda(), compile=True, **settings), Small().cuda()
    for count in (1, 3, 5, 20):
        assert error(network(*on_gpu(count)), plain(*on_gpu(count))) < 1e-5


def test_cuda_members_drawn_with_graphs_are_those_without():
    options = {"shape": (1, SIZE, SIZE), "members": 2, "sigmas": parampi.sigmas.karras(12), "tol": 1e-3, "window": 6}
    plain = parampi.sample(EDMDenoiser(Small().cuda()), **options).fields
    network = accelerated(Small().cuda(), cuda_graphs=True)
    drawn = parampi.sample(EDMDenoiser(network), **options).fields
    assert network.fast.recordings.graphs and error(drawn, plain) < 1e-6
