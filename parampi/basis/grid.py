"""Fourier and cosine modes of fields on regular grids of one to three dimensions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, pi
from typing import Self

import torch
from torch import Tensor

from parampi.basis.axes import Axis, Bounded, HalfPeriodic, make_axis, ordered
from parampi.basis.base import Device, Points, register
from parampi.basis.field_layout import F64, CoefficientLayout
from parampi.basis.transform import Transform, check_option, check_shape, per_channel
from parampi.basis.wavenumbers import SHELLS, lengths, mean_per_shell, shells_of
from parampi.errors import ConfigError

KINDS = ("fourier", "cosine")
FEW = 8
"""Points of an axis below which no grid half as fine is made of it."""


@dataclass(frozen=True)
class AxisPlan:
    """The transforms along the axes of a grid.

    axes       by axis, in the order in which they are transformed
    orders     arrangement of channels and axes before each of them, the one to transform last
    backwards  the same of the inverse
    stored     axes as the coefficients have them
    together   whether they are transformed by one call, as `rfftn` does: where all are periodic
    """

    axes: Mapping[int, Axis]
    orders: tuple[tuple[int, ...], ...]
    backwards: tuple[tuple[int, ...], ...]
    stored: tuple[int, ...]
    together: bool

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of coefficients along the axes, as they are stored."""
        return tuple(len(self.axes[axis].numbers()) for axis in self.stored)


@dataclass(frozen=True)
class GridModes:
    """The modes of a grid as they are stored; see `Transform` and `Mixed`. `vectors` (D, M / C) are those of one channel."""

    shell: Tensor
    weight: Tensor
    noise: Tensor
    vectors: Tensor
    wavenumber: Tensor


@register("mixed")
class Mixed(Transform):
    """Fourier modes along periodic axes and cosine modes along bounded ones, orthonormal, channel by channel.

    Bounded axes have their points in the middle of n equal cells (DCT-II). The last periodic axis has the coefficients of
    wavenumbers 0 ... n // 2 only, whose conjugates are counted by a weight of 2. Real and imaginary parts are neighbours. Where
    all axes are periodic the modes of a channel are in the order of `rfftn`.

    `kinds`: "fourier" or "cosine" for each axis of space.
    `shells`
        "radial"  by the length of the wavevector in units of the domain's lowest wavenumber, rounded to the nearest integer
        "axes"    by the absolute wavenumber along each axis
        "full"    every coefficient by itself, with its conjugate
    `channels`: "own" shells for every channel, channel by channel, or "shared" ones.
    `extent`: lengths of the domain along its axes, in any unit, for "radial"; all the same if not given.

    `wavevector` (D, M) float64: wavenumbers of each mode along the axes of space, in cycles per domain (multiples of 1/2 along
    bounded ones); a spectrum known in closed form is a function of it. `wavenumber` (S,) float64: mean length of a shell's
    wavevectors (rounded ones for "radial"), in units of the lowest of the domain.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        kinds: Sequence[str],
        *,
        shells: str = "radial",
        channels: str = "own",
        extent: Sequence[float] | None = None,
    ):
        name = type(self).__name__
        shape = check_shape(name, shape, 2, most=4, axes="(C, *space) with 1 to 3 axes of space")
        check_option(name, "shells", shells, SHELLS)
        check_option(name, "channels", channels, ("own", "shared"))
        self.kinds = check_kinds(name, tuple(kinds), shape)
        self.extent = check_extent(name, extent, shape)
        plan = plan_axes(self.kinds, shape[1:])
        self.axes, self.orders, self.backwards, self.sizes = dict(plan.axes), plan.orders, plan.backwards, plan.sizes
        self.complex, self.together = "fourier" in self.kinds, plan.together
        modes = number_modes(plan, shape[0], shells, shared=channels == "shared", extent=self.extent)
        super().__init__(shape, modes.shell, modes.weight, modes.noise)
        self.vectors, self.wavenumber = modes.vectors, modes.wavenumber

    @property
    def wavevector(self) -> Tensor:
        """Wavenumbers (D, M) of each mode along the axes of space."""
        return self.vectors.repeat(1, self.shape[0])

    def smoothing(self, points: Points) -> Tensor | None:
        """Return the factors (M,) of a Gaussian average over neighbouring points."""
        sizes = torch.tensor(self.shape[1:], dtype=F64)
        phase = 2 * pi * self.vectors * (torch.as_tensor(points, dtype=F64) / sizes).to(self.vectors.device)[:, None]
        return torch.exp(-0.5 * phase.square().sum(0)).repeat(self.shape[0])

    def halved(self) -> "Mixed | None":
        """Return the same modes on a grid half as fine along axes of an even number of points, at least `FEW`."""
        space = tuple(n // 2 if n % 2 == 0 and n >= FEW else n for n in self.shape[1:])
        if space == self.shape[1:]:
            return None
        return Mixed((self.shape[0], *space), self.kinds, shells="axes").to(self.shell.device)

    def to(self, device: Device = None, dtype: torch.dtype | None = None) -> Self:
        moved = super().to(device, dtype)
        moved.axes = {name: axis.to(device, dtype) for name, axis in self.axes.items()}
        return moved

    def analyse(self, rows: Tensor) -> Tensor:
        if self.together:
            z = torch.fft.rfftn(rows, dim=self.space, norm="ortho")
            return torch.view_as_real(z).view(len(rows), self.modes)
        x = rows.flatten(0, 1)
        for order, axis in zip(self.orders, self.axes.values(), strict=True):
            x = axis.apply(x.permute(order).contiguous())
        return (torch.view_as_real(x) if self.complex else x).reshape(len(rows), self.modes)

    @property
    def space(self) -> tuple[int, ...]:
        """Axes of space, counted from the last."""
        return tuple(range(1 - len(self.shape), 0))

    def synthesise(self, rows: Tensor) -> Tensor:
        if self.together:
            z = torch.view_as_complex(rows.view(len(rows), self.shape[0], *self.sizes, 2))
            fields: Tensor = torch.fft.irfftn(z, s=self.shape[1:], dim=self.space, norm="ortho")
            return fields
        z = rows.reshape(-1, *self.sizes, *([2] if self.complex else []))
        z = torch.view_as_complex(z) if self.complex else z
        for order, axis in reversed(list(zip(self.backwards, self.axes.values(), strict=True))):
            z = axis.undo(z.contiguous()).permute(order)
        return z.reshape(len(rows), *self.shape)


@register("fourier")
class Fourier(Mixed):
    """Modes of a domain that is periodic along all axes; see `Mixed`. Radial shells are those of `fields.spectra`."""

    def __init__(
        self, shape: tuple[int, ...], *, shells: str = "radial", channels: str = "own", extent: Sequence[float] | None = None
    ):
        super().__init__(shape, ["fourier"] * (len(shape) - 1), shells=shells, channels=channels, extent=extent)


@register("cosine")
class Cosine(Mixed):
    """Modes of a domain that is bounded along all axes; see `Mixed`. Wavenumbers of its shells count half cycles."""

    def __init__(
        self, shape: tuple[int, ...], *, shells: str = "radial", channels: str = "own", extent: Sequence[float] | None = None
    ):
        super().__init__(shape, ["cosine"] * (len(shape) - 1), shells=shells, channels=channels, extent=extent)


def plan_axes(kinds: tuple[str, ...], space: tuple[int, ...]) -> AxisPlan:
    """Return the transforms of a grid of this many points, in the order in which they are done."""
    together = set(kinds) == {"fourier"}
    now, orders, axes = list(range(len(space))), list[tuple[int, ...]](), dict[int, Axis]()
    for axis in ordered(kinds):
        after = [a for a in now if a != axis] + [axis]
        orders.append((0, *(1 + now.index(a) for a in after)))
        half = not any(isinstance(a, HalfPeriodic) for a in axes.values())
        axes[axis], now = make_axis(kinds[axis], space[axis], half), after
    backwards = tuple(tuple(order.index(i) for i in range(len(order))) for order in orders)
    return AxisPlan(axes, tuple(orders), backwards, tuple(range(len(space))) if together else tuple(now), together)


def number_modes(plan: AxisPlan, channels: int, shells: str, *, shared: bool, extent: Tensor) -> GridModes:
    """Return shells, weights, noise and wavevectors of the modes as they are stored."""
    layout = CoefficientLayout.of({axis: plan.axes[axis] for axis in plan.stored})
    length = lengths(layout.vectors, extent)
    noise = torch.ones(len(length), 1, dtype=F64)
    if any(not isinstance(axis, Bounded) for axis in plan.axes.values()):
        noise = torch.where(layout.real[:, None], torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5])).to(F64)
    parts = noise.shape[1]

    def per_mode(values: Tensor) -> Tensor:
        return values.repeat_interleave(parts, dim=-1).repeat(*[1] * (values.ndim - 1), channels)

    shell = per_channel(shells_of(shells, layout, length).repeat_interleave(parts), channels, shared).flatten()
    return GridModes(
        shell=shell,
        weight=per_mode(layout.weight),
        noise=noise.flatten().repeat(channels),
        vectors=layout.vectors.repeat_interleave(parts, dim=-1),
        wavenumber=mean_per_shell(per_mode(length.round() if shells == "radial" else length), shell),
    )


def check_kinds(name: str, kinds: tuple[str, ...], shape: tuple[int, ...]) -> tuple[str, ...]:
    for kind in kinds:
        check_option(name, "kind of axis", kind, KINDS)
    if len(kinds) != len(shape) - 1:
        raise ConfigError(
            f"{name} got {len(kinds)} kinds of axes for fields of shape {shape}; give one for each of its "
            f"{len(shape) - 1} axes of space, 'fourier' where it is periodic and 'cosine' where it is bounded"
        )
    return kinds


def check_extent(name: str, extent: Sequence[float] | None, shape: tuple[int, ...]) -> Tensor:
    lengths = [1.0] * (len(shape) - 1) if extent is None else [float(length) for length in extent]
    if len(lengths) != len(shape) - 1 or not all(isfinite(length) and length > 0 for length in lengths):
        raise ConfigError(
            f"{name}'s extent = {lengths} for fields of shape {shape}; give the {len(shape) - 1} positive lengths of the domain"
        )
    return torch.tensor(lengths, dtype=F64)
