"""Bands of neighbouring shells, which is what ranks tell one another of a round: no more for large fields than for small ones.

What the stop rule needs of shells is where errors add up and where they do not, and which of them would carry an error the
farthest. Both change little from a shell to the next. A band is a larger shell: squares are summed, and its ratio is the secant
of all its modes, sum_s ratio_s L_s |dx_s|^2 / sum_s L_s |dx_s|^2.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from parampi.basis import Basis
from parampi.basis.shells import Shells

F64 = torch.float64
MOST = 16
"""Largest number of bands."""
FAINTEST = 1e-12
"""Least variance, relative to the largest, that is told from smaller ones; also the least factor of an average."""


@dataclass(frozen=True, eq=False)
class Bands:
    """Groups of shells that are alike, of like variance and wavenumber. Fields of few shells have a band for each.

    place    (S,) logarithms of variances / wavenumbers, by which shells are neighbours
    band     (S,) int64 the band of each
    freedom  (S,) degrees of freedom of the shells
    count    of the bands, B
    """

    place: Tensor
    band: Tensor
    freedom: Tensor
    count: int

    @classmethod
    def of(cls, basis: Basis, variance: Tensor, freedom: Tensor, most: int | None = None) -> "Bands":
        """Return the bands of shells of these variances and degrees of freedom (S,), at most so many."""
        least = max(FAINTEST * float(variance.max()), 1e-300)
        place = variance.clamp(min=least).log() - wavenumbers(basis, freedom)
        few = basis.shells <= (most or MOST)
        band = torch.arange(basis.shells) if few else narrowest(place, most or MOST)
        return cls(place, band, freedom, int(band.max()) + 1)

    @property
    def single(self) -> bool:
        """Whether every shell is a band."""
        return self.count == len(self.band)

    @cached_property
    def groups(self) -> Shells:
        return Shells(self.band, torch.ones(len(self.band), dtype=F64), self.count)

    @cached_property
    def between(self) -> tuple[Tensor, Tensor, Tensor]:
        """For each shell the bands below and above its place (S,), and the share of the latter (S,)."""
        centre = self.means(self.place, self.freedom)
        order = centre.argsort()
        high = torch.searchsorted(centre[order], self.place).clamp(1, self.count - 1)
        below, above = order[high - 1], order[high]
        share = (self.place - centre[below]) / (centre[above] - centre[below])
        return below, above, share.clamp(0, 1)

    def to(self, device: torch.device) -> "Bands":
        """Return the same bands with their tables on a device; made on the CPU, so that no sweep waits for it."""
        moved = Bands(self.place.to(device), self.band.to(device), self.freedom.to(device), self.count)
        if not self.single:
            moved.__dict__["groups"] = self.groups.to(device)
            if self.count > 1:
                moved.__dict__["between"] = tuple(table.to(device) for table in self.between)
        return moved

    def sums(self, per_shell: Tensor) -> Tensor:
        """Return sums (..., B), float64, of numbers (..., S) of shells."""
        if self.single:
            return per_shell
        return self.groups.sums(per_shell.reshape(-1, len(self.band))).reshape(*per_shell.shape[:-1], self.count)

    def means(self, per_shell: Tensor, weight: Tensor) -> Tensor:
        """Return means (..., B) of numbers (..., S), by weights (..., S); by degrees of freedom where these are all 0."""
        if self.single:
            return per_shell
        weight = torch.where(self.sums(weight)[..., self.band] > 0, weight, self.freedom)
        return self.sums(weight * per_shell) / self.sums(weight)

    def spread(self, per_band: Tensor) -> Tensor:
        """Return numbers (..., S) of shells, from positive ones (..., B) of bands: linear in the logarithms between the middles
        of bands; 0 where they are."""
        if self.single or self.count == 1:
            return per_band.expand(*per_band.shape[:-1], len(self.band))
        below, above, share = self.between
        logarithm = per_band.clamp(min=1e-300).log()
        between = (logarithm[..., below] * (1 - share) + logarithm[..., above] * share).exp()
        return torch.where(per_band[..., below] > 0, between, 0.0)

    def shared(self, per_band: Tensor, variance: Tensor) -> Tensor:
        """Return what shells (..., S) have of numbers (..., B) of bands, in proportion to their variances (S,) and degrees of
        freedom."""
        if self.single:
            return per_band
        part = variance * self.freedom
        whole = self.sums(part)[self.band]
        return torch.where(whole > 0, part / whole, 0.0) * per_band[..., self.band]


def wavenumbers(basis: Basis, freedom: Tensor) -> Tensor:
    """Return the logarithms (S,) of shells' mean wavenumbers, as averages over neighbouring points damp them; of their numbers
    where a basis knows no neighbours."""
    factors = basis.smoothing(1.0)
    if factors is None:
        return torch.arange(1, basis.shells + 1, dtype=F64).log()
    mean = basis.shell_sums(basis.noise * factors.to(basis.noise)) / freedom.clamp(min=1e-300)
    number = (-2 * mean.clamp(FAINTEST, 1.0).log()).sqrt()
    # the mean of a field has its place an octave below the lowest wavenumber
    lowest = number[number > 0].min() if bool((number > 0).any()) else number.new_ones(())
    return number.clamp(min=0.5 * float(lowest)).log()


def narrowest(place: Tensor, most: int) -> Tensor:
    """Return so many groups (S,) of neighbouring places, of which the widest is as narrow as can be."""
    ordered, order = place.sort()
    low, high = 0.0, float(ordered[-1] - ordered[0])
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if len(begins(ordered, middle)) <= most else (middle, high)
    first = begins(ordered, high)
    while len(first) < most:
        first = halved(ordered, first)
    group = torch.empty(len(place), dtype=torch.int64)
    group[order] = torch.searchsorted(torch.tensor(first), torch.arange(len(place)), right=True) - 1
    return group


def begins(ordered: Tensor, width: float) -> list[int]:
    """Return where groups of ordered places (S,) begin that are at most so wide."""
    first = [0]
    while True:
        end = int(torch.searchsorted(ordered, ordered[first[-1]] + width, right=True))
        if end >= len(ordered):
            return first
        first.append(end)


def halved(ordered: Tensor, first: list[int]) -> list[int]:
    """Return where groups begin after the widest of them, of those of several places, has become two."""
    ends = [*first[1:], len(ordered)]
    widths = [
        float(ordered[end - 1] - ordered[begin]) if end - begin > 1 else -1.0 for begin, end in zip(first, ends, strict=True)
    ]
    widest = max(range(len(first)), key=widths.__getitem__)
    begin, end = first[widest], ends[widest]
    middle = int(torch.searchsorted(ordered, (ordered[begin] + ordered[end - 1]) / 2, right=True))
    return sorted([*first, min(max(middle, begin + 1), end - 1)])
