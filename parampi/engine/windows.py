"""The engine: windows of points, swept until they agree, for the members of one group of ranks.

One round is one batched network evaluation and one scan over ranks:

    D = denoise(x_old)                                                    all points of this rank's slice, all members, at once
    F = sum_l state[l] x_old[i-l] + denoised_weight[l] D[i-l] + noise xi            the step map
    y[i+1] = sum_l A[l] y[i-l] + (F_i - x_old[i+1])                       the scan; y = x_new - x_old
    x_new[i+1] = F_i + sum_l A[l] y[i-l]                                  (what a solver makes of a sweep may differ from this)

Where all y that a step reads are exactly 0, x_new[i+1] is F_i(x_old) exactly: after k rounds the first k points are the serial
sampler's. Rank 0 judges the changes and broadcasts by how many points each member's window slides. Members' windows are
independent: a hard member neither delays the others nor changes them.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.engine.history import History, Round, Watch
from parampi.engine.problem import SamplingProblem
from parampi.engine.slice import Slice
from parampi.errors import NonFiniteError
from parampi.parallel import Group, Mode, affine_scan, exchange_halo, operator_scan, redistribute
from parampi.solvers import Solver, Sweep, check_solver, linear_correction

Integers = NDArray[np.int64]
GO_ON, FAIL = 0, 1


class Engine:
    """One group's windows. `advance` until `finished`; then `result` holds the final fields on the group's rank 0."""

    def __init__(
        self, chain: SamplingProblem, solver: Solver, group: Group, window: int | None = None, tolerance: float = 1e-3,
        mode: Mode = "fast", watch: Watch | None = None,
    ):  # fmt: skip
        equations = chain.equations
        check_solver(solver, equations, chain.shape)
        solver = solver.bind(chain.shape, chain.sigma_data)
        self.chain, self.group, self.mode, self.watch = chain, group, mode, watch
        self.rule = solver.rule(equations, chain.sigma_data, tolerance)
        self.account = History.empty(len(chain.members))
        self.iteration = solver.iteration(equations, chain.sigma_data)
        size, ends = solver.window(window, equations), solver.ends(window, equations)
        self.slice = Slice(chain, solver, self.iteration, group, size, ends, mode)
        asked = np.cumsum(equations.evaluated.numpy()) * (1 + self.iteration.tangents(chain.shape))
        self.cumulative_evaluations = np.concatenate([[0], asked])

    @property
    def finished(self) -> bool:
        return bool((self.first == self.chain.steps).all())

    @property
    def first(self) -> Integers:
        """Index (m,) of the frozen point of each member's window."""
        return self.slice.window.first

    @property
    def result(self) -> Tensor:
        """Fields (m, *shape) at each member's frozen point, on the group's rank 0: the final ones when `finished`."""
        return self.slice.window.x[self.slice.window.taps - 1]

    @property
    def tail(self) -> Tensor:
        """Fields (m, *shape) at the last point of each member's window; for one rank."""
        window, lengths = self.slice.window, self.slice.lengths
        return torch.stack([window.x[window.taps - 1 + n, m] for m, n in enumerate(lengths)])

    def advance(self) -> None:
        """One round: evaluate, sweep, judge, slide. Raises NonFiniteError, on all ranks of the group."""
        slides = self.judge(self.sweep())
        if slides.any():
            old = self.slice.window
            self.slice.slide(self.first + slides)
            self.iteration.load({name: self.slice.moved(rows, old) for name, rows in self.iteration.state().items()})

    def sweep(self) -> Tensor:
        """Evaluate the step map and sweep; relative changes (n, m) at this rank's points, what the points made from them
        lose, and the solver's stop_statistics: (2 + E, n, m), inf where D or what a step made is not finite."""
        own, taps = self.slice, self.slice.window.taps
        x, denoised = own.window.x, own.evaluate()
        sweep = self.seen(denoised)
        new, old = self.iteration.sweep(sweep), x.clone()
        x[taps:] = new
        exchange_halo(self.group, own.window)
        change = x - old
        if taps > 1:
            own.denoised[taps - 1 :] += self.iteration.response(sweep, change[taps - 1 : -1])
        found = torch.zeros(2, *own.active.shape, dtype=torch.float64)
        found[0] = self.norms(change[taps - 1 : -1], own.here.scale)
        if self.iteration.loses:
            found[1] = self.norms(new - linear_correction(sweep, sweep.slopes, change), own.here.scale_made)
        # the sum of a field is finite if the field is, which is all that is asked: its bits may depend on the shape
        finite = (denoised.flatten(2).sum(2) + new.flatten(2).sum(2)).isfinite()
        found[0][~finite.cpu()] = torch.inf
        return torch.cat([found, self.iteration.stop_statistics]) if len(self.iteration.stop_statistics) else found

    def seen(self, denoised: Tensor) -> Sweep:
        """The sweep as the solver sees it."""
        own, here, group, mode = self.slice, self.slice.here, self.group, self.mode
        active_ranks = own.window.slices.active_ranks

        def start(values: Tensor, taps: int) -> Tensor:
            return values.new_zeros((taps, *values.shape[1:]))

        return Sweep(
            own.window.x, denoised, own.mapped, here.state, here.denoised_weight, here.slopes, here.response, here.levels,
            here.scale_made[0], own.steps, own.active, own.asked,
            scan=lambda slopes, values: affine_scan(group, slopes, values, start(values, len(slopes)), active_ranks, mode),
            operators=lambda apply, values: operator_scan(group, apply, values, start(values, own.window.taps), active_ranks),
            around=self.around, products=self.products, tangents=self.chain.derivative,
        )  # fmt: skip

    def around(self, rows: Tensor, before: int, after: int) -> Tensor:
        """Rows (n, ...) of the points made, with those of so many points before and after; 0 outside the window."""
        window, positions, rank = self.slice.window, self.slice.positions, self.group.rank

        def made(rank: int, before: int = 0, after: int = 0) -> tuple[Integers, Integers]:
            mine = window.slices.of(rank)
            return window.between(mine.start + 1 - before, mine.stop + 1 + after)

        count = before + len(positions) + after
        return redistribute(self.group, rows, made(rank)[0], made, lambda r: made(r, before, after), count)

    def products(self, a: Tensor, b: Tensor) -> Tensor:
        """Inner products (n, m) of fields (n, m, *shape); row by row where bits must not depend on the shape."""
        a, b = a.flatten(2), b.flatten(2)
        if self.mode != "bitwise":
            total: Tensor = torch.linalg.vecdot(a, b)
            return total.double()
        pairs = zip(a.flatten(0, 1), b.flatten(0, 1), strict=True)
        rows = [torch.dot(one.clone(), other.clone()) for one, other in pairs]
        return (torch.stack(rows).view(a.shape[:2]) if rows else a.new_zeros(a.shape[:2])).double()

    def norms(self, fields: Tensor, scale: Tensor) -> Tensor:
        """Root mean squares (n, m) of fields (n, m, *shape) on the scale (1, n, m, 1 ... 1) of their points."""
        total, scales = self.products(fields, fields).sqrt().cpu(), scale[0].view(self.slice.active.shape).double().cpu()
        # positions behind a member's window have scale 0
        return torch.where(scales > 0, total / (scales * fields[0:1, 0:1].numel() ** 0.5), 0.0)

    def judge(self, found: Tensor) -> Integers:
        """Rank 0 decides how far each member's window slides; every rank gets the verdict."""
        own, positions = self.slice, self.slice.positions
        number, first, lengths = len(self.account.history) + 1, self.first, own.lengths
        everywhere = np.zeros((len(found), own.window.slices.points, len(first)))
        everywhere[:, positions.start : positions.stop] = found
        everywhere = self.group.sum_to_root(everywhere)
        verdict = np.zeros(4 + len(first), np.int64)
        if self.group.rank == 0:
            bad = np.argwhere(~np.isfinite(everywhere[0]))
            if len(bad):
                verdict[:4] = FAIL, bad[0][0] + first[bad[0][1]], bad[0][1], number
            else:
                decided = self.rule.judge(
                    everywhere[0], everywhere[1], first, lengths, self.account.error_estimate, everywhere[2:]
                )
                asked = self.cumulative_evaluations[first + lengths] - self.cumulative_evaluations[first]
                done = Round(number, first.copy(), lengths, everywhere[0], decided.slides, asked)
                self.account.enter(done, decided.error_estimate)
                verdict[4:] = decided.slides
                if self.watch:
                    self.watch(done, self.chain.steps)
        self.group.broadcast(verdict)
        if verdict[0] == FAIL:
            point = int(verdict[1])
            member = int(self.chain.members[verdict[2]])
            raise NonFiniteError(member, point, float(self.chain.equations.sigmas[point]), int(verdict[3]))
        return verdict[4:]

    def run(self) -> Tensor:
        while not self.finished:
            self.advance()
        return self.result
