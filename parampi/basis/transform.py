"""The base of all bases: shapes and dtypes of fields and modes, shells, and moving to another device."""

from collections.abc import Sequence
from copy import copy
from typing import ClassVar, Self

import torch
from torch import Tensor

from parampi.basis.base import Basis, Device, Points
from parampi.basis.rows import by_blocks
from parampi.basis.shells import Shells
from parampi.errors import ConfigError

F64 = torch.float64


class Transform:
    """A basis whose subclass says how rows of fields (R, *shape) become rows of modes (R, M), and back."""

    tables: ClassVar[tuple[str, ...]] = ()  # attributes that follow the dtype of the fields

    def __init__(self, shape: tuple[int, ...], shell: Tensor, weight: Tensor, noise: Tensor):
        self.shape = shape
        self.modes, self.shells = len(shell), int(shell.max()) + 1
        self.shell, self.weight, self.noise = shell, weight, noise
        self.groups = Shells(shell, weight, self.shells)

    def analyse(self, rows: Tensor) -> Tensor:
        """Return modes (R, M) of contiguous rows (R, *shape)."""
        raise TypeError(f"{type(self).__name__} does not say how fields become modes")

    def synthesise(self, rows: Tensor) -> Tensor:
        """Return fields (R, *shape) of contiguous rows of modes (R, M)."""
        raise TypeError(f"{type(self).__name__} does not say how modes become fields")

    def forward(self, fields: Tensor) -> Tensor:
        """Return modes (..., M) of fields (..., *shape)."""
        rows, batch = self.rows(fields, self.shape, "fields")
        return by_blocks(self.analyse, rows, (self.modes,)).reshape(*batch, self.modes)

    def inverse(self, modes: Tensor) -> Tensor:
        """Return fields (..., *shape) of modes (..., M)."""
        rows, batch = self.rows(modes, (self.modes,), "modes")
        return by_blocks(self.synthesise, rows, self.shape).reshape(*batch, *self.shape)

    def shell_sums(self, modes_like: Tensor) -> Tensor:
        """Return `sum(weight * modes_like)` over each shell, (..., S) float64."""
        rows, batch = self.rows(modes_like, (self.modes,), "modes")
        return self.groups.sums(rows).reshape(*batch, self.shells)

    def spread(self, per_shell: Tensor) -> Tensor:
        """Return values per shell (..., S) at their modes, (..., M)."""
        rows, batch = self.rows(per_shell, (self.shells,), "values per shell")
        return self.groups.spread(rows).reshape(*batch, self.modes)

    def squares(self, fields: Tensor) -> Tensor:
        """Return the sums of squares (...), float64, of fields (..., *shape)."""
        flat = fields.flatten(fields.ndim - len(self.shape))
        squares: Tensor = torch.linalg.vecdot(flat, flat).double()
        return squares

    def smoothing(self, points: Points) -> Tensor | None:
        """Return the factors (M,) of a Gaussian average over neighbouring points; None where the basis does not know
        neighbours."""
        return None

    def halved(self) -> Basis | None:
        """Return the basis of a grid half as fine; None where there is none."""
        return None

    def rows(self, values: Tensor, tail: tuple[int, ...], what: str) -> tuple[Tensor, torch.Size]:
        """Return values (*batch, *tail) as contiguous rows (R, *tail), and batch. Raises ConfigError for another shape or
        dtype."""
        name = type(self).__name__
        split = values.ndim - len(tail)
        if split < 0 or values.shape[split:] != tail:
            raise ConfigError(f"{name} got {what} of shape {tuple(values.shape)}, expected (..., {', '.join(map(str, tail))})")
        if values.dtype not in (torch.float32, torch.float64):
            raise ConfigError(
                f"{name} got {what} of {values.dtype}; modes need float32 or float64: convert with .float() or .double()"
            )
        rows = values.flatten(0, split - 1) if split else values[None]
        return rows.contiguous(), values.shape[:split]

    def like(self, table: Tensor, rows: Tensor) -> Tensor:
        """Return a table on the device and with the precision of rows: itself where `to` has been called for them."""
        return table.to(rows.device, rows.dtype.to_complex() if table.is_complex() else rows.dtype)

    def to(self, device: Device = None, dtype: torch.dtype | None = None) -> Self:
        """Return the same basis with its tables on a device and in a dtype."""
        if dtype not in (None, torch.float32, torch.float64):
            raise ConfigError(f"{type(self).__name__} cannot have tables of {dtype}; give torch.float32 or torch.float64")
        moved = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                target = dtype if name in self.tables and dtype else value.dtype
                setattr(moved, name, value.to(device, target))
        moved.groups = self.groups.to(device)
        return moved


def check_shape(
    name: str, shape: Sequence[int], least: int, *, most: int | None = None, axes: str = "(C, *space)"
) -> tuple[int, ...]:
    """Return the shape. Raises ConfigError unless it is of positive integers, with `least` to `most` axes."""
    whole = all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in shape)
    if not whole or not least <= len(shape) <= (most or len(shape)):
        span = f"{least}" if most == least else f"{least} to {most}" if most else f"at least {least}"
        raise ConfigError(f"{name} got the shape {tuple(shape)}; expected {axes}, {span} positive integers")
    return tuple(shape)


def check_option(name: str, option: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raise ConfigError for an option whose value is not among its choices."""
    if value not in allowed:
        raise ConfigError(f"{name}'s {option} = {value!r} is not one of {', '.join(map(repr, allowed))}")


def per_channel(shell: Tensor, channels: int, shared: bool) -> Tensor:
    """Return shells (C, ...) of all channels from those of one (...): its own for each channel, channel by channel, or the
    same."""
    step = 0 if shared else int(shell.max()) + 1
    first = (step * torch.arange(channels)).reshape(-1, *[1] * shell.ndim)
    return shell + first
