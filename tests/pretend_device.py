"""A device that torch takes for another than the CPU, on machines that have none: its tensors' numbers lie in the CPU's memory.

It refuses what CUDA refuses and the CPU alone never shows: operands of two devices, `out=` and places to write that are
elsewhere, indices of the device into the CPU's tensors, `.numpy()`. Allowed are copies, the CPU's numbers (0-dim tensors) in
operations number by number, and the CPU's indices into the device's tensors. It counts what a GPU waits for, see `Waits`.

It is torch's device for private use, PrivateUse1, with kernels in Python. Its registration is the process's and stays.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

import parampi

NAME = "pretend"
aten = torch.ops.aten
PACKAGE = str(Path(parampi.__file__).parent)
READS = {
    aten._local_scalar_dense.default, aten.equal.default, aten.is_nonzero.default, aten.nonzero.default,
    aten.masked_select.default, aten._unique2.default, aten.unique_dim.default, aten.unique_consecutive.default,
    aten.repeat_interleave.Tensor, aten.bincount.default, aten._linalg_check_errors.default,
}  # fmt: skip
"""Operations for whose result, or for whose size, the CPU waits."""
INDEXING = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default}
TAKES_NUMBERS = {aten.index_put_.default, aten.index_put.default, aten.fill_.Tensor, aten.masked_fill_.Tensor, aten.where.self}
"""Operations that take a number from the CPU, beside those that go number by number."""

GROWING = ("arange", "arange.start", "arange.start_step", "eye", "eye.m", "linspace")
"""Operations that torch makes of others which change a tensor's shape: these cannot."""


@dataclass
class Waits:
    """What a GPU would have waited for, by the line of the package that asked, `solvers/newton.py:12`.

    reads    numbers, sizes or fields that the CPU reads, and waits until all that was queued before is done
    uploads  copies from the CPU's pageable memory, for which it waits too, though nothing depends on it
    """

    reads: Counter[str] = field(default_factory=Counter)
    uploads: Counter[str] = field(default_factory=Counter)

    def enter(self, kind: str) -> None:
        frame = sys._getframe(1)
        while frame.f_back is not None and not frame.f_code.co_filename.startswith(PACKAGE):
            frame = frame.f_back
        path = frame.f_code.co_filename
        name = path.removeprefix(f"{PACKAGE}/") if path.startswith(PACKAGE) else "elsewhere"
        getattr(self, kind)[f"{name}:{frame.f_lineno}"] += 1


_counting: list[Waits] = []


@contextmanager
def counted() -> Iterator[Waits]:
    """Count what the device's tensors make the CPU wait for."""
    waits = Waits()
    _counting.append(waits)
    try:
        yield waits
    finally:
        _counting.remove(waits)


def wait(kind: str) -> None:
    for waits in _counting:
        waits.enter(kind)


class OnDevice(torch.Tensor):
    """A tensor of the device; `held` has its numbers."""

    held: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "OnDevice":
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset()}
        made = torch.Tensor._make_wrapper_subclass(cls, held.size(), dtype=held.dtype, device=f"{NAME}:0", **layout)
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return executed(operation, args, kwargs or {})

    def __setitem__(self, index: Any, value: Any) -> None:
        # as CUDA has it: Python's numbers come as the CPU's, with which a mask is filled without a look at its size
        number = isinstance(value, int | float)
        super().__setitem__(index, torch.tensor(value, dtype=self.dtype) if number else value)

    def __repr__(self, **options: Any) -> str:
        return f"{self.held!r} on {self.device}"

    def numpy(self, **options: Any) -> Any:
        raise TypeError(f"can't convert {self.device} device type tensor to numpy; use Tensor.cpu() first")

    def tolist(self) -> Any:
        wait("reads")
        return self.held.tolist()

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.held.untyped_storage()


@dataclass(frozen=True)
class Rules:
    """What is known of an operation: which arguments are written, by name; whether it takes the CPU's numbers; what it is."""

    written: dict[str, bool]
    numbers: bool
    copies: bool
    moves: bool
    indexes: bool
    reads: bool


@cache
def rules_of(operation: Any) -> Rules:
    written = {one.name: one.alias_info is not None and one.alias_info.is_write for one in operation._schema.arguments}
    numbers = operation in TAKES_NUMBERS or torch.Tag.pointwise in operation.tags
    copies, moves = operation is aten.copy_.default, operation is aten._to_copy.default
    return Rules(written, numbers, copies, moves, operation in INDEXING, operation in READS)


class Arguments:
    """Arguments of an operation, with the CPU's tensors in the places of the device's; `own` are the latter by the former, and
    `foreign` is whether there are tensors of the CPU beside them."""

    def __init__(self, args: Any, kwargs: dict[str, Any]):
        self.own: dict[int, OnDevice] = {}
        self.foreign = False
        self.args = [self.held(value) for value in args]
        self.kwargs = {name: self.held(value) for name, value in kwargs.items() if name != "pin_memory"}

    def held(self, value: Any) -> Any:
        kind = type(value)
        if kind is OnDevice:
            self.own[id(value.held)] = value
            return value.held
        if kind is list or kind is tuple:
            return kind([self.held(one) for one in value])
        self.foreign = self.foreign or isinstance(value, torch.Tensor)
        return value

    def placed(self, made: Any) -> Any:
        """Return results as the device's: those that were written in place as what they were."""
        if isinstance(made, torch.Tensor):
            known = self.own.get(id(made))
            if known is not None and known.shape != made.shape:
                raise NotImplementedError("an operation that changes the shape of its own tensor")
            return OnDevice(made) if known is None else known
        return type(made)([self.placed(one) for one in made]) if type(made) in (list, tuple) else made


def executed(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Return what an operation makes of tensors of the device; refuse what CUDA refuses, and count waits."""
    rules, given, target = rules_of(operation), Arguments(args, kwargs), kwargs.get("device")
    if given.foreign and given.own and not rules.copies:
        refuse_mixed(operation, rules, args, kwargs)
    count(rules, args, kwargs)
    here = target is None or torch.device(target).type == NAME
    if target is not None and here:
        given.kwargs["device"] = torch.device("cpu")
    result = operation(*given.args, **given.kwargs)
    if not here or (rules.copies and not isinstance(args[0], OnDevice)):
        return result
    return given.placed(result)


def tensors_of(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for one in value for t in tensors_of(one)] if type(value) in (list, tuple) else []


def refuse_mixed(operation: Any, rules: Rules, args: Any, kwargs: dict[str, Any]) -> None:
    """Raise RuntimeError where tensors of the CPU stand beside the device's, and CUDA would not take them."""
    named = [*zip(rules.written, args, strict=False), *kwargs.items()]
    for name, tensor in [(name, t) for name, value in named for t in tensors_of(value)]:
        as_number = tensor.ndim == 0 and rules.numbers and not rules.written[name]
        as_index = rules.indexes and name == "indices" and isinstance(args[0], OnDevice)
        if not isinstance(tensor, OnDevice) and not as_number and not as_index:
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, {NAME}:0 and cpu: "
                f"{name} of {operation}, of shape {tuple(tensor.shape)}, is the CPU's"
            )


def count(rules: Rules, args: Any, kwargs: dict[str, Any]) -> None:
    """Count what a GPU would wait for in an operation."""
    if rules.copies:
        waits = not (kwargs.get("non_blocking") or (len(args) > 2 and args[2]))
        places = [isinstance(t, OnDevice) for t in args[:2]]
        if waits and places[0] != places[1]:
            wait("uploads" if places[0] else "reads")
    elif rules.moves:
        if "device" in kwargs and kwargs["device"].type == "cpu" and not kwargs.get("non_blocking"):
            wait("reads")
    elif rules.indexes and isinstance(args[0], OnDevice):
        indices = [index for index in args[1] if index is not None]
        masks = [index for index in indices if index.dtype in (torch.bool, torch.uint8)]
        filled = len(args) > 2 and not isinstance(args[2], OnDevice) and len(indices) == 1
        if any(isinstance(mask, OnDevice) for mask in masks) and not filled:
            wait("reads")
        if any(not isinstance(index, OnDevice) for index in indices):
            wait("uploads")
    elif rules.reads:
        wait("reads")


def _made(operation: Any, *args: Any, **kwargs: Any) -> Any:
    """Make a tensor of the device out of none."""
    # zeros without memory know no subclasses
    return executed(aten.zeros.default if operation is aten._efficientzerotensor.default else operation, args, kwargs)


def _copied(*args: Any) -> Any:
    return executed(aten.copy_.default, args, {})


_setup_privateuseone_for_python_backend(NAME)
_factories, _copies = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
_factories.fallback(_made, "PrivateUse1")
# torch.tensor(..., device=...) copies below the place where subclasses are asked
_copies.impl("copy_", _copied, "PrivateUse1")
for _name in GROWING:
    _operation = getattr(getattr(aten, _name.partition(".")[0]), _name.partition(".")[2] or "default")
    _copies.impl(_name, partial(_made, _operation), "PrivateUse1")
