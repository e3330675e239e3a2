"""The pretend device refuses what CUDA refuses, allows what it allows, and counts what it would wait for."""

import numpy as np
import pytest
import torch

if torch.cuda.is_available():
    pytest.skip("there is a device to try", allow_module_level=True)

from tests.pretend_device import NAME, counted

HERE = torch.arange(12.0).view(3, 4)


@pytest.fixture
def there():
    return HERE.to(NAME)


def assigned(target, index, value):
    target[index] = value


REFUSED = {
    "operands of two devices": lambda t: t + torch.ones(4),
    "a number of the device in an operation of the CPU": lambda t: torch.ones(4) * t[0, 0],
    "out of the CPU": lambda t: torch.stack([t, t], out=torch.empty(2, 3, 4)),
    "writing into the CPU's": lambda t: torch.ones(4).add_(t[0]),
    "a mask of the CPU": lambda t: t.masked_fill(HERE > 3, 0.0),
    "stacked with the CPU's": lambda t: torch.stack([t[0, 0], torch.tensor(1.0)]),
    "a matrix of the CPU": lambda t: t @ torch.ones(4),
    "the device's indices into the CPU's": lambda t: HERE[t[0, :2].long()],
    "the device's mask into the CPU's": lambda t: HERE[t > 3],
    "the CPU's values to the device's places": lambda t: assigned(t, torch.tensor([0]), torch.ones(1, 4)),
    "NumPy": lambda t: t.numpy(),
    "NumPy's arrays": np.asarray,
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(there, refused):
    with pytest.raises((RuntimeError, TypeError), match=r"same device|to numpy"):
        refused(there)


WAITS = {
    "cpu": (lambda t: t.cpu(), 1, 0),
    "to": (lambda t: t.to("cpu"), 1, 0),
    "item": (lambda t: t[0, 0].item(), 1, 0),
    "bool": (lambda t: bool((t > 3).any()), 1, 0),
    "list": (lambda t: t.tolist(), 1, 0),
    "places": (lambda t: t.nonzero(), 1, 0),
    "mask": (lambda t: t[t > 3], 1, 0),
    "values to a mask": (lambda t: assigned(t, t > 100, t[0, :0]), 1, 0),
    "equal": (lambda t: torch.equal(t, t), 1, 0),
    "assigned to the CPU's": (lambda t: assigned(torch.ones(3, 4), slice(None), t), 1, 0),
    "solved": (lambda t: torch.linalg.solve(t[:, :3] + 50 * torch.eye(3, device=NAME), t[:, 0]), 1, 0),
    "there": (lambda t: torch.ones(3).to(t), 0, 1),
    "made of numbers": (lambda t: torch.tensor([1.0], device=NAME), 0, 1),
    "the CPU's indices": (lambda t: t[torch.tensor([0, 2])], 0, 1),
    "a number to a mask": (lambda t: assigned(t, t > 3, 1.0), 0, 0),
    "there meanwhile": (lambda t: torch.ones(3).to(t, non_blocking=True), 0, 0),
    "a number of the CPU": (lambda t: t + torch.tensor(2.0), 0, 0),
    "indices": (lambda t: t[t[0, :2].long()], 0, 0),
    "made there": (lambda t: torch.arange(3, device=NAME) + torch.zeros(3, device=NAME), 0, 0),
    "solved unchecked": (lambda t: torch.linalg.solve_ex(t[:, :3], t[:, 0]), 0, 0),
}


@pytest.mark.parametrize(("work", "reads", "uploads"), WAITS.values(), ids=WAITS.keys())
def test_what_is_waited_for(there, work, reads, uploads):
    with counted() as waits:
        work(there)
    assert (waits.reads.total(), waits.uploads.total()) == (reads, uploads)


def test_numbers_are_those_of_the_cpu(there):
    assert there.device.type == NAME and not there.is_cpu
    made = torch.fft.irfft(torch.fft.rfft(there.double(), dim=1), dim=1)[1:].mT.contiguous()
    made[0] += 1
    made[:, made[0] > 6] = 0.0
    expected = HERE.double()[1:].mT.contiguous()
    expected[0] += 1
    expected[:, expected[0] > 6] = 0.0
    assert made.device.type == NAME
    torch.testing.assert_close(made.cpu(), expected)
    assert there.tolist() == HERE.tolist() and float(there.sum()) == float(HERE.sum())


def test_a_module_moves_there_and_is_differentiated(there):
    network = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Tanh())
    expected = torch.func.jvp(network, (HERE,), (HERE,))
    found = torch.func.jvp(network.to(NAME), (there,), (there,))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.cpu(), other)
