"""What the processor is given to do between two moments: operators, numbers that they read and write, transforms, memory."""

import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

FREE = {
    "alias", "as_strided", "detach", "diagonal", "empty", "empty_like", "empty_strided", "expand", "imag", "is_pinned",
    "lift_fresh", "new_empty", "new_empty_strided", "permute", "real", "_reshape_alias", "select", "set_", "slice", "split",
    "squeeze", "t", "transpose", "unbind", "unfold", "_unsafe_view", "unsqueeze", "view", "view_as_complex", "view_as_real",
}  # fmt: skip
"""Operators that move no numbers."""


class DispatchCounts(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts of the operators that are dispatched while this is the mode and not `paused`.

    kernels  operators that read or write numbers
    bytes    of the tensors that they read and write; each once per operator, whatever the cache has
    forward, inverse  real numbers that were Fourier transformed, and that came of inverse transforms
    alive, peak  bytes of tensors made since `forget` that are in memory, now and at most
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive, self.paused = 0, False
        self.known: set[int] = set()
        self.forget()

    def forget(self) -> None:
        """Begin to count anew; memory in use stays in use."""
        self.kernels = self.bytes = self.forward = self.inverse = 0
        self.peak = self.alive

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Count nothing, such as what a network does."""
        self.paused = True
        try:
            yield
        finally:
            self.paused = False

    def hold(self, tensors: Iterable[Any]) -> None:
        """Count the memory of tensors for as long as it is in use."""
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                continue
            storage = tensor.untyped_storage()
            if id(storage) in self.known:
                continue
            self.known.add(id(storage))
            self.alive += storage.nbytes()
            self.peak = max(self.peak, self.alive)
            weakref.finalize(storage, self.release, id(storage), storage.nbytes())

    def release(self, number: int, size: int) -> None:
        self.known.discard(number)
        self.alive -= size

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if self.paused:
            return result
        name, made = func.overloadpacket.__name__, tree_leaves(result)
        self.hold(made)
        if name not in FREE:
            read = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
            self.kernels += 1
            self.bytes += sum(size_of(t) for t in read) + sum(size_of(t) for t in made if not any(t is r for r in read))
            if name == "_fft_r2c":
                self.forward += args[0].numel()
            elif name == "_fft_c2r":
                self.inverse += result.numel()
        return result


def size_of(tensor: Any) -> int:
    """Return the bytes of the numbers that a tensor refers to, those of repeated ones once."""
    if not isinstance(tensor, Tensor):
        return 0
    count = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        count *= size if stride else 1
    return count * tensor.element_size()
