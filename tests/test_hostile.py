"""The hostile library itself: it moves last bits, and nothing else."""

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.usefixtures("hostile")

F64 = torch.float64
KERNELS = {
    "transform": lambda x: torch.fft.rfft(x),
    "transform of two axes": lambda x: torch.fft.irfft2(torch.fft.rfft2(x[:, None] * x[..., None])),
    "product": lambda x: x @ WEIGHTS,
    "einsum": lambda x: torch.einsum("nd,dk->nk", x, WEIGHTS),
    "linear layer": lambda x: torch.nn.functional.linear(x, WEIGHTS),
    "convolution": lambda x: torch.nn.Conv1d(1, 3, 3, dtype=F64)(x[:, None]).detach(),
    "inner product": lambda x: torch.linalg.vecdot(x, x),
    "linear system": lambda x: torch.linalg.solve(WEIGHTS + 9 * torch.eye(16, dtype=F64), x[..., None]),
    "sum": lambda x: x.sum(-1),
    "softmax": lambda x: torch.softmax(x, -1),
    "square root": lambda x: x.abs().sqrt(),
    "NumPy's transform": lambda x: torch.from_numpy(np.fft.rfft(x.numpy())),
}
WEIGHTS = torch.randn(16, 16, generator=torch.Generator().manual_seed(1), dtype=F64)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=list(KERNELS))
def test_a_row_has_other_bits_in_another_batch_and_the_same_in_the_same(kernel):
    rows = torch.randn(9, 16, generator=torch.Generator().manual_seed(0), dtype=F64)

    def result(x):
        torch.manual_seed(5)
        return kernel(x.clone())

    whole, part = result(rows), result(rows[:4])
    assert torch.equal(result(rows), whole) and torch.equal(result(rows[:4]), part)
    assert not torch.equal(part, whole[:4])
    torch.testing.assert_close(part, whole[:4], rtol=1e-14, atol=1e-14)


def test_what_has_no_last_bit_stays():
    assert not torch.fft.fft(torch.zeros(3, 8)).any() and torch.ones(7, 5).sum(1).tolist() == [5.0] * 7
    assert torch.arange(5).sum() == 10 and torch.tensor([0.1]).sum() == torch.tensor(0.1)


def test_derivatives_pass():
    x = torch.randn(3, 8, dtype=F64, generator=torch.Generator().manual_seed(2))
    tangent = torch.func.jvp(lambda x: torch.fft.fft(x).real, (x,), (x,))[1]
    torch.testing.assert_close(tangent, torch.fft.fft(x).real)
    leaf = x.clone().requires_grad_()
    (leaf.sin() @ leaf.T).sum().backward()
    assert leaf.grad.isfinite().all()
