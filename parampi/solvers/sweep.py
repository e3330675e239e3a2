"""One sweep as a solver sees it: the window's states and denoised fields, and operations over its points and so over ranks."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from parampi.basis.row_by_row import row_by_row


@dataclass(frozen=True)
class Sweep:
    """One rank's part of a round. Its n steps make n points; they read K points each.

    x        (K + n, m, *shape) old states that the steps read, from K points before the first that is made on
    old      (n, m, *shape) old states of the points that are made: rows of x, but where a lead time of a roll-out ends there
    fields   `() -> denoised` (n, m, *shape), the denoised fields of the steps' own points
    forget   gives the memory of the denoised fields back, where no later step reads them; a solver that needs them no more, nor
             the step map, may call it, and has neither from then on
    step_map `() -> mapped` (n, m, *shape), the step map's values `F_i(x_old)`; `mapped` computes them once, when they are used
    denoised_weight    (K, n, m, 1 ... 1) how changes of denoised fields enter a step, and `state` changes of states, of the
    point itself and of those before: the step map's weights, 0 for the starts of lead times
    own_weight (n, m, 1 ... 1) the weight of the steps' own denoised fields, also at the starts of lead times
    slopes   (K, n, m, 1 ... 1) the solver's linear model, and `response` (1, n, m, 1 ... 1) the slope dD/dx that it assumes
    levels   (K, n, m, 1 ... 1) noise levels of the points read
    scale    (n, m, 1 ... 1) sqrt(sigma^2 + sigma_data^2) of the points made
    steps    (n, m) their indices within their lead time, on the CPU, and `active` which of them belong to a window: all numbers
             are 0 elsewhere
    places   rows and columns (B,) at which the network was evaluated
    moves    (n, m, 1) where steps belong to a window and their own points change, which starts of lead times do not; None for
               everywhere
    changes_read  `(change) -> (n, m, *shape)`: the changes of the steps' own points, of those of all rows (K + n, m, *field);
               0 for the starts of lead times

    Equations that are no steps from point to point have no step map, and no taps of all numbers but the noise levels.

    The operations below are collective: all ranks of the group call them in the same order.

    scan      affine scan over all points of the windows, `(slopes, values) -> y` (K + n, m, *field), from 0; see
              `parampi.parallel.affine_scan`
    scan_in_place  the same, `(slopes, y)`, of values that are the rows of y after the first K
    operators the same for any linear operators, `(apply, values) -> y`; see `parampi.parallel.operator_scan`
    around    `(y, before, after) -> y[i - before ... i + after]`: rows (before + n + after, ...), with those of so many points
              before and after, 0 outside the window
    products  `(a, b) -> (n, m)`: inner products of the fields of each point and member, float64
    derivative  `(x, sigma, v) -> dD v`: the denoiser's derivative (B, *shape) in directions v at the B `places`; counts as
              network evaluations
    """

    x: Tensor
    old: Tensor
    fields: Callable[[], Tensor]
    forget: Callable[[], None]
    step_map: Callable[[], Tensor]
    state: Tensor
    denoised_weight: Tensor
    own_weight: Tensor
    slopes: Tensor
    response: Tensor
    levels: Tensor
    scale: Tensor
    steps: Tensor
    active: Tensor
    places: tuple[Tensor, Tensor]
    moves: Tensor | None
    changes_read: Callable[[Tensor], Tensor]
    scan: Callable[[Tensor, Tensor], Tensor]
    scan_in_place: Callable[[Tensor, Tensor], None]
    operators: Callable[[Callable[[int, Tensor], Tensor], Tensor], Tensor]
    around: Callable[[Tensor, int, int], Tensor]
    products: Callable[[Tensor, Tensor], Tensor]
    derivative: Callable[[Tensor, Tensor, Tensor], Tensor]

    @property
    def taps(self) -> int:
        return len(self.levels)

    @property
    def denoised(self) -> Tensor:
        """The denoised fields (n, m, *shape) of the steps' own points."""
        return self.fields()

    @cached_property
    def mapped(self) -> Tensor:
        """The step map's values `F_i(x_old)` (n, m, *shape)."""
        return self.step_map()

    @property
    def assumed(self) -> Tensor:
        """(n, m, 1 ... 1) slope dD/dx of the steps' own points that the linear model assumes."""
        return self.response[0]

    @property
    def sigmas(self) -> Tensor:
        """(n, m, 1 ... 1) noise levels of the steps' own points."""
        return self.levels[0]

    def before(self, rows: Tensor, tap: int) -> Tensor:
        """Return those of rows (K + n, ...) that steps read at a tap, (n, ...)."""
        stop = len(rows) - 1 - tap
        return rows[self.taps - 1 - tap : stop]

    def lagged(self, rows: Tensor, lag: int) -> Tensor:
        """Return rows (n, ...) from `lag` points before, 0 outside the window; collective."""
        return self.around(rows, lag, -lag)

    def totals(self, numbers: Tensor) -> Tensor:
        """Return sums (n, m, ...) over all points of the window up to each, of numbers (n, m, ...)."""
        ones = numbers.new_ones((1, len(numbers), *(1 for _ in numbers.shape[1:])))
        return self.scan(ones, numbers)[1:]


@dataclass(frozen=True)
class GuessContext:
    """One rank's part of windows that points enter. Some of its n points are known, those after them enter.

    x       (K + n, m, *shape) states, the K that come before the points made first; those of points that enter mean nothing
    enters  (n, m, 1 ... 1) which points do
    steps   (n, m) indices of the steps that make the points, within their lead time, on the CPU
    fresh   (n, m, *shape), or 0: what a guess takes from the noise and from the latest denoised fields
    slopes  (K, n, m, 1 ... 1) of the guess, and `pull` (1, n, m, 1 ... 1) what it takes of the data's mean
    state, denoised_weight, levels  (K, n, m, 1 ... 1) the step map's numbers, and the noise levels of the points read
    scan    affine scan over all points of the windows, `(slopes, values, first) -> y` (K + n, m, *field), from `first` (K, ...)
    scan_in_place  the same, `(slopes, y)`, where y has `first` and the values
    restarts   (K, n, m, 1 ... 1) where a step reads the start of a lead time after the first; None for nowhere
    starts  (n, m, *shape) these starts, of each step's lead time
    drawn   (n, m, *shape) the fields drawn at the lead time before, the mean to expect where they are known, which `expects`
            (n, m, 1 ... 1) says; None for nowhere
    lagged  rows (n, m, ...) of the iteration's memory that its `guess_reads` names, at the points that steps read at each tap;
            None where points inherit nothing
    shares  (K, n, m, 1 ... 1) how much of the denoised fields at the points that steps read is extrapolated: what steps make
            of that is in `fresh`; None for nothing
    all_enter  whether all n points enter, and `begins` whether the scan begins on this rank, so that the first K states count
    """

    x: Tensor
    enters: Tensor
    steps: Tensor
    fresh: Tensor | float
    slopes: Tensor
    state: Tensor
    denoised_weight: Tensor
    levels: Tensor
    scan: Callable[[Tensor, Tensor, Tensor], Tensor]
    scan_in_place: Callable[[Tensor, Tensor], None]
    pull: Tensor
    restarts: Tensor | None = None
    starts: Tensor | None = None
    drawn: Tensor | None = None
    expects: Tensor | None = None
    lagged: list[Tensor] | None = None
    shares: Tensor | None = None
    all_enter: bool = False
    begins: bool = True

    def restarted(self, slopes: Tensor, values: Tensor | float, starts: Tensor | None) -> tuple[Tensor, Tensor | float]:
        """Return slopes (K, n, m, ...) and values (n, m, *field) of steps that take `starts` (n, m, *field) for the states of
        the points where lead times begin."""
        if self.restarts is None or starts is None:
            return slopes, values
        where = self.restarts.reshape(*self.restarts.shape[:3], *(1 for _ in slopes.shape[3:]))
        for tap in range(len(slopes)):
            values = values + torch.where(where[tap], slopes[tap], 0.0) * starts
        return torch.where(where, 0.0, slopes), values


class Iteration(ABC):
    """Base of the objects that make the states of points that enter, and the new states of a sweep.

    memory  fields (n, m, ...) by name, kept from sweep to sweep, that belong to the points a rank makes; the engine moves them
            with the points when windows slide, and gives 0 to points that enter
    loses   whether new states may differ from those of the linear model; the difference is then lost when points are frozen
    guess_reads  name of the memory that first guesses read in a roll-out
    passes_on  whether guesses of points that several ranks hold differ by rounding from rank to rank; their owner's then count
    stop_statistics   (E, n, m) float64 beside the states, what the stop rule reads of the last sweep beside the changes
    bequeaths  rows of the stop statistics that points hand on to the same point of the next lead time, where they are positive
    disturbs   rows that tell at the first step of a lead time how the end of the one before has changed: all points of the lead
               time are told
    learns     how many numbers per member the iteration takes from the stop rule's verdicts
    learned    (m, learns) float64 on the CPU, these numbers after the last verdict, on all ranks; 0 before the first
    bitwise    whether bits must not depend on the number of rows: library kernels are then called row by row
    """

    memory: dict[str, Tensor]
    stop_statistics: Tensor
    learned: Tensor
    bequeaths: range = range(0)
    disturbs: range = range(0)
    learns: int = 0
    bitwise: bool = False
    loses: bool = False
    passes_on: bool = False
    guess_reads: str = ""

    def __init__(self) -> None:
        self.memory = {}
        self.stop_statistics = torch.zeros(0, 0, 0, dtype=torch.float64)
        self.learned = torch.zeros(0, 0, dtype=torch.float64)

    def state(self) -> dict[str, Tensor]:
        """Return all that is kept from sweep to sweep, rows (n, m, ...) of the points a rank makes."""
        return dict(self.memory)

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state` returned, its rows moved to the points that this rank makes now."""
        self.memory = dict(state)

    def inherit(self, handed_on: Tensor, disturbances: Tensor) -> None:
        """Take what the same points of the current lead time hand on to points that enter or wait, (n, m, B) for `bequeaths` of
        length B, and how the ends before them have changed, (n, m, D); 0 elsewhere. None by default."""
        assert not self.bequeaths, f"{type(self).__name__} hands numbers on, but does not take them"

    def make_bitwise(self) -> None:
        """Make the bits of a row independent of the rows beside it; the engine calls this first in `bitwise` mode."""
        self.bitwise = True

    def each(self, work: Callable[..., Tensor], *rows: Tensor) -> Tensor:
        """Return `work(*rows)`, a library's kernel applied to rows (n, m, ...)."""
        return row_by_row(work, *rows) if self.bitwise else work(*rows)

    def derivatives_per_point(self, shape: tuple[int, ...]) -> int:
        """Count the derivatives of the network per evaluated point and sweep, beside its value, for fields of this shape."""
        return 0

    def guess(self, entry: GuessContext) -> Tensor:
        """Return all states (K + n, m, *shape): the known ones to the last bit, and first guesses for those that enter."""
        taps = len(entry.slopes)
        slopes, pull, fresh = entry.slopes, entry.pull[0], entry.fresh
        if entry.shares is not None:
            slopes, pull = slopes + entry.shares * (entry.state - slopes), pull * (1 - entry.shares[0])
        fresh = fresh if entry.drawn is None else fresh + pull * entry.drawn
        slopes, fresh = entry.restarted(slopes, fresh, entry.starts)
        y = entry.x.new_empty(entry.x.shape)
        y[:taps] = entry.x[:taps]
        fresh = fresh if isinstance(fresh, Tensor) else y.new_full((), fresh)
        torch.where(entry.enters, fresh, entry.x[taps:], out=y[taps:])
        del fresh
        entry.scan_in_place(torch.where(entry.enters, slopes, 0.0), y)
        return y

    def response(self, sweep: Sweep, change: Tensor) -> Tensor:
        """Return the changes (n, m, *shape) of the denoised fields that the model predicts for changes of the steps' own
        points."""
        return sweep.assumed * change

    @abstractmethod
    def sweep(self, sweep: Sweep) -> Tensor:
        """Return new states (n, m, *shape). Where nothing that step i reads has changed, they must be `mapped` to the last
        bit."""
