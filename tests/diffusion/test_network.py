"""The network as the engine calls it: chunks, padding, dtypes, refusals."""

import pytest
import torch
from torch import nn

from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.denoisers import DataDenoiser
from parampi.errors import ConfigError

pytestmark = pytest.mark.usefixtures("hostile")

F32, F64 = torch.float32, torch.float64


class Recorder:
    """D = x sigma, and a list of what it was called with."""

    def __init__(self, dtype=None):
        self.calls = []
        if dtype is not None:
            self.dtype = dtype

    def __call__(self, x, sigma):
        self.calls.append((tuple(x.shape), x.dtype, tuple(sigma.shape), sigma.dtype))
        return x * sigma.to(x)[:, None, None]


def batch(count, dtype=F64):
    x = torch.arange(count * 6, dtype=dtype).view(count, 2, 3)
    return x, torch.arange(1, count + 1, dtype=dtype)


@pytest.mark.parametrize("count", [1, 2, 5, 6])
@pytest.mark.parametrize("size", [None, 1, 2, 6, 10])
@pytest.mark.parametrize("padded", [False, True])
def test_chunks_do_not_change_the_answer(count, size, padded):
    x, sigma = batch(count)
    recorder = Recorder()
    result = BatchedDenoiser(recorder, size, padded)(x, sigma)
    assert torch.equal(result, x * sigma[:, None, None])
    sizes = [shape[0] for shape, _, _, _ in recorder.calls]
    if padded:
        assert set(sizes) == {size or 1} and len(sizes) == -(-count // (size or 1))
    else:
        assert sum(sizes) == count and max(sizes) <= (size or count)


@pytest.mark.parametrize("padded", [False, True])
def test_no_fields_are_no_call(padded):
    recorder = Recorder()
    result = BatchedDenoiser(recorder, padded=padded)(torch.zeros(0, 2, 3), torch.zeros(0))
    assert result.shape == (0, 2, 3) and not recorder.calls


@pytest.mark.parametrize("own", [F32, torch.bfloat16, None])
@pytest.mark.parametrize("states", [F32, F64])
def test_the_denoiser_runs_in_its_own_dtype_and_answers_in_the_states_one(own, states):
    """Noise levels stay in single precision at least."""
    recorder = Recorder(own)
    result = BatchedDenoiser(recorder)(*batch(3, states))
    inner = own or states
    assert result.dtype == states
    assert recorder.calls == [((3, 2, 3), inner, (3,), torch.promote_types(inner, F32))]


def test_wrappers_choose_the_dtype_themselves():
    """A wrapper forms D in the states' dtype and only its network runs in single precision."""
    layer = nn.Conv1d(2, 2, 1)
    wrapped = DataDenoiser(lambda y, t: layer(y), network_dtype=F32)
    dtypes = []
    wrapped.register_forward_pre_hook(lambda module, inputs: dtypes.append(inputs[0].dtype))
    assert BatchedDenoiser(wrapped)(*batch(3)).dtype == F64
    assert dtypes == [F64]


def test_gradients_are_off():
    layer = nn.Linear(3, 3, dtype=F64)

    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x, sigma):
            return self.layer(x)

    assert not BatchedDenoiser(Linear())(*batch(2)).requires_grad


def test_time_is_counted():
    network = BatchedDenoiser(Recorder())
    network(*batch(2))
    once = network.seconds
    network(*batch(2))
    assert network.seconds > once > 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x, sigma: x[:, :1], r"returned \(3, 1, 3\) for fields of shape \(3, 2, 3\); it must return"),
        (lambda x, sigma: x[:1], r"returned \(1, 2, 3\) for fields of shape \(3, 2, 3\)"),
        (lambda x, sigma: None, r"returned NoneType for fields of shape \(3, 2, 3\)"),
        (lambda x, sigma: x.numpy(), r"returned ndarray for fields of shape \(3, 2, 3\)"),
    ],
)
def test_refuses_what_is_no_denoised_field(wrong, message):
    with pytest.raises(ConfigError, match=message):
        BatchedDenoiser(wrong)(*batch(3))


@pytest.mark.parametrize("size", [0, -2])
def test_refuses_an_impossible_batch(size):
    with pytest.raises(ConfigError, match=f"network_batch = {size}; give at least one field"):
        BatchedDenoiser(Recorder(), size)
