"""Large fields seen patch by patch: a denoiser of patches as a denoiser of whole fields."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import fold, interpolate, pad

from parampi.diffusion.denoisers import Denoiser
from parampi.diffusion.guidance import Guided
from parampi.errors import ConfigError


class Patched(Guided):
    """A denoiser of fields (B, C, y, x) made of one that sees patches of them, and averages them where they overlap.

    shape      of a patch, (y, x)
    overlap    points that two neighbours have in common
    boundary   points beyond the field that its outer patches see too: the field is reflected there
    positions  what tells a patch where it is: None, "index" for the indices y and x of its points (two channels of whole
               numbers), or an embedding (channels, y, x) of the whole field. They follow the channels of the condition
    batch      most patches in one call of the denoiser, None for no limit
    overview   how many channels of the condition, the last ones, each patch is given of the whole field too, made as large as a
               patch (bilinear), after its own part and before positions
    local      whether each patch is given its own part of the condition; without, it is given the overview alone

    A condition (B, C, y, x) of the field's own y and x is cut into patches like the field; any other goes with every patch. The
    grid is that of physicsnemo's `GridPatching2D`: every `shape - overlap - boundary` points a patch begins. Raises ConfigError
    for patches that do not advance, and for fields that are too small to be reflected.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        shape: Sequence[int],
        overlap: int = 0,
        *,
        boundary: int = 0,
        positions: Tensor | str | None = None,
        batch: int | None = None,
        overview: int = 0,
        local: bool = True,
    ):
        super().__init__(denoiser)
        if len(shape) != 2 or min(shape) < 1 or overlap < 0 or boundary < 0:
            raise ConfigError(
                f"patches of shape {list(shape)}, overlap {overlap}, boundary {boundary}: give [y, x], none below 0"
            )
        if min(shape) <= overlap + 2 * boundary:
            raise ConfigError(
                f"patches of shape {list(shape)} with overlap {overlap} and boundary {boundary} do not advance; a patch must "
                f"be larger than overlap + 2 boundary = {overlap + 2 * boundary}"
            )
        if batch is not None and batch < 1:
            raise ConfigError(f"batch = {batch}; give at least one patch per call, or leave it out")
        if not (positions is None or isinstance(positions, Tensor) or positions == "index"):
            raise ConfigError(f"positions = {positions!r}; give 'index', an embedding (channels, y, x), or leave it out")
        if overview < 0 or not (local or overview):
            raise ConfigError(
                f"overview = {overview} with local = {local}: give how many channels of the condition a patch sees as a whole, "
                f"at least one where it sees no part of its own"
            )
        self.shape, self.overlap, self.boundary, self.batch = tuple(shape), overlap, boundary, batch
        self.overview, self.local = overview, local
        self.strides = [length - overlap - boundary for length in shape]
        self.indexed = isinstance(positions, str)
        self.register_buffer("positions", positions if isinstance(positions, Tensor) else None, persistent=False)

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return D(x, sigma) or D(x, sigma, condition): x (B, C, y, x), sigma (B,)."""
        self.require(x.shape[1:])
        patches = self.cut(x)
        count = len(patches) // len(x)
        levels, given = sigma.repeat(count), self.conditions(x, condition, count)
        size = self.batch or len(patches)
        parts = [slice(k, k + size) for k in range(0, len(patches), size)]
        denoised = [
            self.denoiser(patches[p].clone(), levels[p], *(() if given is None else (given[p],))).clone() for p in parts
        ]
        return self.fused(torch.cat(denoised), x)

    def require(self, shape: Sequence[int]) -> None:
        """Raise ConfigError for fields of a shape that cannot be cut into patches."""
        if len(shape) != 3:
            raise ConfigError(f"patches are of fields (channels, y, x); these have shape {tuple(shape)}; give no patches")
        self.margins(shape[1:])

    def conditions(self, x: Tensor, condition: Tensor | None, count: int) -> Tensor | None:
        """Return the conditions (patches B, ...) of patches, their positions included; None for none."""
        parts = [] if condition is None else self.parts_of(x, condition, count)
        positions: Any = index_of(x) if self.indexed else self.positions
        if positions is not None:
            if positions.shape[1:] != x.shape[2:]:
                raise ConfigError(
                    f"positions have shape {tuple(positions.shape)}, and fields (y, x) = {tuple(x.shape[2:])}; give one for "
                    "each point, (channels, y, x)"
                )
            parts.append(self.cut(positions.to(x.device)[None].expand(len(x), *positions.shape)))
        if len({part.shape[2:] for part in parts}) > 1:
            raise ConfigError(
                f"a condition of shape {tuple(parts[0].shape[1:])} cannot be joined with positions or an overview of patches "
                f"{tuple(parts[-1].shape[1:])}; give a condition with the y and x of the field, or neither"
            )
        return None if not parts else torch.cat([part.to(parts[0].dtype) for part in parts], dim=1)

    def parts_of(self, x: Tensor, condition: Tensor, count: int) -> list[Tensor]:
        """Return what patches are given of a condition (B, ...): their own part, and its last channels as a whole."""
        parts = []
        if self.local:
            like_x = condition.ndim == 4 and condition.shape[2:] == x.shape[2:]
            parts.append(self.cut(condition) if like_x else condition.repeat(count, *(1 for _ in condition.shape[1:])))
        if self.overview:
            if condition.ndim != 4 or condition.shape[1] < self.overview:
                raise ConfigError(
                    f"an overview of {self.overview} channels is of a condition (channels, y, x), and this has shape "
                    f"{tuple(condition.shape[1:])}; give as many channels, or no overview"
                )
            whole = condition[:, -self.overview :]
            whole = interpolate(whole.to(x.dtype) if not whole.is_floating_point() else whole, self.shape, mode="bilinear")
            parts.append(whole.repeat(count, 1, 1, 1))
        return parts

    def counts(self, size: Sequence[int]) -> list[int]:
        """Return how many patches there are along y and x."""
        return [math.ceil(length / stride) for length, stride in zip(size, self.strides, strict=True)]

    def margins(self, size: Sequence[int]) -> list[tuple[int, int]]:
        """Return the points before and after fields of a size (y, x) that patches see. Raises ConfigError where these are too
        small to be reflected there."""
        margins = []
        sizes = zip(size, self.shape, self.strides, self.counts(size), strict=True)
        for length, patch, stride, count in sizes:
            after = stride * (count - 1) + patch - length
            if max(self.boundary, after) >= length:
                raise ConfigError(
                    f"patches of shape {list(self.shape)} reach {max(self.boundary, after)} points beyond fields of (y, x) = "
                    f"{tuple(size)}, which are too small to be reflected there; take smaller patches"
                )
            margins.append((self.boundary, after))
        return margins

    def cut(self, x: Tensor) -> Tensor:
        """Return the patches (patches B, C, *shape) of fields, those of all fields one after another."""
        (top, bottom), (left, right) = self.margins(x.shape[2:])
        whole = x.to(torch.float64) if not x.is_floating_point() else x
        whole = pad(whole, (left, right, top, bottom), mode="reflect")
        (height, width), (down, along) = self.shape, self.strides
        rows = whole.unfold(2, height, down).unfold(3, width, along)
        down_count, along_count = self.counts(x.shape[2:])
        rows = rows[:, :, :down_count, :along_count].permute(3, 2, 0, 1, 4, 5)
        return rows.reshape(-1, x.shape[1], height, width).to(x.dtype)

    def fused(self, patches: Tensor, x: Tensor) -> Tensor:
        """Return fields like x of their patches, averaged where these overlap."""
        (top, bottom), (left, right) = self.margins(x.shape[2:])
        size = x.shape[2] + top + bottom, x.shape[3] + left + right
        down_count, along_count = self.counts(x.shape[2:])
        rows = patches.view(along_count, down_count, len(x), -1).permute(2, 3, 1, 0).flatten(2)
        weights = torch.ones_like(rows[:1, : rows.shape[1] // x.shape[1]])
        options: dict[str, Any] = {"output_size": size, "kernel_size": self.shape, "stride": self.strides}
        whole = fold(rows, **options) / fold(weights, **options)
        return whole[..., top : top + x.shape[2], left : left + x.shape[3]]


def index_of(x: Tensor) -> Tensor:
    """Return the indices (2, y, x) of the points of fields."""
    axes = (torch.arange(length, device=x.device) for length in x.shape[2:])
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))
