"""Functions of a user's that go round the network: what is made of a case's condition before, and of a drawn field after."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from parampi.diffusion.denoisers import placement
from parampi.errors import ConfigError

PrepareFunction = Callable[[Tensor], Any]
"""`prepare(condition)` returns what the network reads in the place of the condition (1, ...) of a case: a tensor (1, ...), or a
tuple of tensors that begins with it, of which `finish` receives the whole."""
FinishFunction = Callable[[Tensor, Any], Tensor]
"""`finish(field, prepared)` returns the field (1, *shape) that is kept, of the drawn one and of what `prepare` returned of its
case; of the condition where there is no `prepare`, and of None where there is no condition."""


@dataclass(frozen=True)
class CaseHooks:
    """`prepare` and `finish`, checked at every call; None where there is none."""

    prepare: PrepareFunction | None = None
    finish: FinishFunction | None = None

    @torch.no_grad()
    def prepared(self, condition: Tensor) -> tuple[Tensor, ...]:
        """Return what is made of one case's condition (1, ...), the condition of the network first. Raises ConfigError for what
        are no tensors, or no condition of one case."""
        if self.prepare is None:
            return (condition,)
        dtype = placement(self.prepare)[1]
        result = self.prepare(condition.to(dtype) if dtype and condition.is_floating_point() else condition.clone())
        parts = result if isinstance(result, tuple) else (result,)
        if not parts or not all(isinstance(part, Tensor) for part in parts):
            kinds = ", ".join(type(part).__name__ for part in parts)
            raise ConfigError(f"prepare returned ({kinds}); it must return a tensor (1, ...), or a tuple of tensors")
        if parts[0].shape[:1] != (1,):
            raise ConfigError(
                f"prepare returned a tensor of shape {tuple(parts[0].shape)}; it must begin with an axis of length 1, as the "
                "condition does: it is of one case"
            )
        return parts

    @torch.no_grad()
    def finished(self, field: Tensor, prepared: tuple[Tensor, ...] | None) -> Tensor:
        """Return the field (*shape) that is kept, of a drawn one. Raises ConfigError where it has another shape or is no field
        of real numbers."""
        if self.finish is None:
            return field
        # copies: a function that writes into what it is given would change it for others
        parts = prepared and tuple(part.to(field.device, copy=True) for part in prepared)
        result = self.finish(field[None].clone(), parts[0] if parts and len(parts) == 1 else parts)
        shape = (1, *field.shape)
        if not isinstance(result, Tensor) or result.shape != shape or not result.is_floating_point():
            kind = f"{result.dtype} of shape {tuple(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
            raise ConfigError(f"finish returned {kind}; it must return real numbers of the drawn field's shape {shape}")
        return result[0].to(field)


def check_hooks(prepare: Any, finish: Any, conditional: bool) -> CaseHooks:
    """Return the hooks. Raises ConfigError for what cannot be called, and for a `prepare` without a condition."""
    for name, function in (("prepare", prepare), ("finish", finish)):
        if isinstance(function, type) or (function is not None and not callable(function)):
            raise ConfigError(f"{name} = {function!r} is no function; give one, or leave it out")
    if prepare is not None and not conditional:
        raise ConfigError(
            "prepare is given, and there is no condition that it could prepare; give a condition, or leave it out"
        )
    return CaseHooks(prepare, finish)
