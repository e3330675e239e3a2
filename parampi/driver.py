"""The engine: windows of points, swept until they agree, for the members of one group of ranks.

One round is one batched network evaluation and one scan over ranks:

    D = denoise(x_old)                                  all points of this rank's slice, all members, at once
    F = state x_old + drift D + noise xi                the step map
    y[i+1] = A_i y[i] + (F_i - x_old[i+1])              the scan; y = x_new - x_old
    x_new[i+1] = F_i + A_i y[i]

Where y[i] = 0 exactly, x_new[i+1] is F_i(x_old[i]) exactly: after k rounds the first k points are the serial sampler's. Rank 0
judges the changes and broadcasts by how many points each member's window slides. Members' windows are independent: a hard
member neither delays the others nor changes them.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.account import Account, Round, Watch
from parampi.coefficients import Coefficients
from parampi.errors import NonFiniteError
from parampi.parallel import Group, Mode, Slices, Window, affine_scan, move, pass_on
from parampi.samplers.chain import Chain
from parampi.solvers import Solver, StopRule

Integers = NDArray[np.int64]
GO_ON, FAIL = 0, 1


class Engine:
    """One group's windows. `advance` until `finished`; then `result` holds the final fields on the group's rank 0."""

    def __init__(
        self, chain: Chain, solver: Solver, group: Group, window: int | None = None, tolerance: float = 1e-3,
        mode: Mode = "fast", watch: Watch | None = None,
    ):  # fmt: skip
        self.chain, self.solver, self.group, self.mode, self.watch = chain, solver, group, mode, watch
        self.size = solver.window(window, chain.steps)
        self.rule = StopRule.of(chain.step_map, chain.sigma_data, tolerance)
        self.account = Account.empty(len(chain.members))
        self.coefficients = Coefficients.of(chain, solver)
        first = np.zeros(len(chain.members), np.int64)
        start = chain.start()
        self.xi: Tensor | None = None
        self.window = Window(first, Slices(0, group.size), start[None])
        self.settle(first)

    # ------------------------------------------------------------------ where the windows are

    @property
    def lengths(self) -> Integers:
        """Points (m,) that each member's window sweeps; 0 for members that are finished."""
        return self.lengths_at(self.window.first)

    def lengths_at(self, first: Integers) -> Integers:
        left = self.chain.steps - first
        room = self.size - first % self.size if self.solver.advance == "block" else self.size
        return np.minimum(room, left)

    @property
    def finished(self) -> bool:
        return bool((self.window.first == self.chain.steps).all())

    @property
    def positions(self) -> range:
        return self.window.slices.of(self.group.rank)

    @property
    def result(self) -> Tensor:
        """Fields (m, *shape) at each member's frozen point, on the group's rank 0: the final ones when `finished`."""
        return self.window.x[0]

    def settle(self, first: Integers) -> None:
        """Slide the windows to begin at `first`: move states, make noise, and guess the points that are new."""
        known, held = self.window.first + self.known_lengths() - first, self.held()
        slices = Slices(int(self.lengths_at(first).max(initial=0)), self.group.size)
        self.window = move(self.group, self.window, first, slices)
        self.look_up()
        self.xi = self.noise(held)
        self.guess(known)

    def known_lengths(self) -> Integers:
        return np.minimum(self.lengths, self.window.slices.points)

    @property
    def steps(self) -> Tensor:
        """Indices (n, m) of the steps of this rank's slice; those at or beyond N belong to no window."""
        p = torch.arange(self.positions.start, self.positions.stop)
        return p[:, None] + torch.from_numpy(self.window.first)

    def look_up(self) -> None:
        """The coefficients of this rank's steps, and which of them are in a window: members' windows differ in length."""
        active = torch.arange(self.positions.start, self.positions.stop)[:, None] < torch.from_numpy(self.lengths)
        self.here = self.coefficients.at(self.steps, active, self.window.x)
        self.active = active.to(self.window.x.device)

    def held(self) -> Integers:
        """Begin and end (2, m) of the steps whose noise this rank has: those its members' windows sweep, and no others."""
        begin = self.window.first + self.positions.start
        return np.stack([begin, begin + (self.active.sum(0).cpu().numpy() if self.xi is not None else 0)])

    def noise(self, held: Integers) -> Tensor | None:
        """xi (n, m, *shape) of this rank's steps: kept where this rank had them before, else made from the counters."""
        if not self.chain.step_map.stochastic:
            return None
        xi = self.window.x.new_zeros((len(self.positions), *self.window.x.shape[1:]))
        steps, missing = self.steps, self.active.cpu().clone()
        start = self.window.first + self.positions.start
        begin, end = np.maximum(start, held[0]), np.minimum(start + len(self.positions), held[1])
        if self.xi is not None:
            for m in np.flatnonzero(begin < end):
                here = slice(begin[m] - start[m], end[m] - start[m])
                xi[here, m] = self.xi[begin[m] - held[0, m] : end[m] - held[0, m], m]
                missing[here, m] = False
        if missing.any():
            rows, columns = missing.nonzero(as_tuple=True)
            xi[rows.to(xi.device), columns.to(xi.device)] = self.chain.noise(steps[rows, columns], columns)
        return xi

    def guess(self, known: Integers) -> None:
        """Fill the points behind each member's last known position from the one before, by one scan, without a network call."""
        # what every member knows need not be scanned; but other ranks may wait for what comes before it
        skip = min(int(known.min()), len(self.positions)) if self.group.size == 1 else 0
        x, here = self.window.x[skip:], self.here
        behind = torch.arange(self.positions.start + skip, self.positions.stop)[:, None] >= torch.from_numpy(known)
        enters = behind.to(x.device).view(here.state[skip:].shape)
        values = torch.where(enters, here.guess_noise[skip:] * self.xi[skip:] if self.xi is not None else 0.0, x[1:])
        slopes = torch.where(enters, here.guess_slopes[skip:], 0.0)
        x[:] = affine_scan(self.group, slopes, values, x[0], self.window.slices.busy, self.mode)

    # ------------------------------------------------------------------ one round

    def advance(self) -> None:
        """One round: evaluate, sweep, judge, slide. Raises NonFiniteError, on all ranks of the group."""
        changes = self.sweep()
        slides = self.judge(changes)
        if slides.any():
            self.settle(self.window.first + slides)

    def sweep(self) -> Tensor:
        """Evaluate the step map and scan; relative changes (n, m) at this rank's points, inf where D is not finite."""
        x, here = self.window.x, self.here
        denoised = self.chain.denoise(x[:-1], here.sigmas.view(self.active.shape), self.active)
        mapped = here.state * x[:-1]
        mapped += here.drift * denoised
        if self.xi is not None:
            mapped += here.noise * self.xi
        y = affine_scan(self.group, here.slopes, mapped - x[1:], torch.zeros_like(x[0]), self.window.slices.busy, self.mode)
        mapped += here.slopes * y[:-1]
        x[1:] = mapped
        pass_on(self.group, self.window)
        changes = self.norms(y[:-1])
        # the sum of a field is finite if the field is, which is all that is asked: its bits may depend on the shape
        changes[~denoised.flatten(2).sum(2).isfinite().cpu()] = torch.inf
        return changes

    def norms(self, fields: Tensor) -> Tensor:
        """Root mean squares (n, m) on the scale of the points; row by row where bits must not depend on the shape."""
        flat = fields.flatten(2)
        if self.mode == "bitwise":
            rows = [torch.linalg.vector_norm(row.clone()) for row in flat.flatten(0, 1)]
            total = torch.stack(rows).view(flat.shape[:2]) if rows else flat.new_zeros(flat.shape[:2])
        else:
            total = torch.linalg.vector_norm(flat, dim=2)
        scale = self.here.scale.view(self.active.shape).double().cpu() * flat.shape[2] ** 0.5
        # positions behind a member's window have scale 0
        return torch.where(scale > 0, total.double().cpu() / scale, 0.0)

    def judge(self, changes: Tensor) -> Integers:
        """Rank 0 decides how far each member's window slides; every rank gets the verdict."""
        number, first, lengths = len(self.account.history) + 1, self.window.first, self.lengths
        everywhere = np.zeros((self.window.slices.points, len(first)))
        everywhere[self.positions.start : self.positions.stop] = changes
        everywhere = self.group.sum_to_root(everywhere)
        verdict = np.zeros(4 + len(first), np.int64)
        if self.group.rank == 0:
            bad = np.argwhere(~np.isfinite(everywhere))
            if len(bad):
                verdict[:4] = FAIL, bad[0][0] + first[bad[0][1]], bad[0][1], number
            else:
                decided = self.rule.judge(everywhere, first, lengths, self.account.lacking)
                done = Round(number, first.copy(), lengths, everywhere, decided.slides)
                self.account.enter(done, decided.lacking)
                verdict[4:] = decided.slides
                if self.watch:
                    self.watch(done, self.chain.steps)
        self.group.broadcast(verdict)
        if verdict[0] == FAIL:
            point = int(verdict[1])
            member = int(self.chain.members[verdict[2]])
            raise NonFiniteError(member, point, float(self.chain.step_map.sigmas[point]), int(verdict[3]))
        return verdict[4:]

    def run(self) -> Tensor:
        while not self.finished:
            self.advance()
        return self.result
