"""The engine of Parareal: chains that run through blocks of steps, all at once, and corrections that follow them.

The state U^p[b] at the beginning of block b after p <= b iterations is known after round

    t(p, b + 1) = max(t(p, b) + 1, t(p - 1, b) + S_b),            t(0, b) = b,            t(p, p) = the end of block p - 1,

S_b being the steps of block b (U^b[b] is exact, and later iterates are the same). Its denoised field, evaluated in the next
round, serves the coarse step G(U^p[b]) and the first step of the chain (p, b), which takes one step a round until its end
F(U^p[b]). With equal blocks iterate p is at the end after p S + B - p rounds, and at most two chains per block are on their
way. Who sends what in which round follows from this timetable.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.engine.history import History, Round, Watch
from parampi.engine.problem import SamplingProblem
from parampi.errors import NonFiniteError
from parampi.parallel import Group, Mode, split
from parampi.solvers.base import Solver, check_solver
from parampi.solvers.parareal import coarse_steps

Integers = NDArray[np.int64]
FAIL = 1


def timetable(lengths: list[int]) -> list[dict[int, int]]:
    """The round after which U^p[b] is known, for each iterate p and the blocks b = p ... B that it is made for."""
    blocks, exact = len(lengths), [sum(lengths[:b]) for b in range(len(lengths) + 1)]
    times = [{b: b for b in range(blocks + 1)}]
    for p in range(1, blocks + 1):
        row = {p: exact[p]}
        for b in range(p, blocks):
            row[b + 1] = max(row[b] + 1, times[p - 1][b] + lengths[b])
        times.append(row)
    return times


class FinePropagation:
    """One chain through a block: its last states and denoised fields (m, *shape), the latest first, and the next step."""

    def __init__(self, start: Tensor, step: int):
        self.states, self.denoised, self.step = [start], list[Tensor](), step


class Wavefront:
    """One group's blocks. `advance` until `finished`; then `result` holds the final fields on the group's rank 0."""

    def __init__(
        self, chain: SamplingProblem, solver: Solver, group: Group, window: int | None = None, tolerance: float = 1e-3,
        mode: Mode = "fast", watch: Watch | None = None,
    ):  # fmt: skip
        check_solver(solver, chain.equations, chain.shape)
        step_map = chain.step_map
        solver.window(window, step_map)
        ends = solver.ends(window, step_map)
        assert ends is not None
        self.chain, self.group, self.mode, self.watch, self.tolerance = chain, group, mode, watch, tolerance
        self.ends: list[int] = ends.tolist()
        self.begins = [0, *self.ends[:-1]]
        self.times = timetable([end - begin for begin, end in zip(self.begins, self.ends, strict=True)])
        self.forming = {(round_, b - 1): p for p, row in enumerate(self.times) for b, round_ in row.items() if b}
        self.coarse = coarse_steps(step_map, self.ends, chain.sigma_data)
        self.account = History.empty(len(chain.members))
        self.first = np.zeros(len(chain.members), np.int64)
        self.result = chain.start()
        self.live = np.arange(len(chain.members))
        self.number = 1  # of the round to come
        self.changes: dict[int, np.ndarray] = {}
        self.own = split(self.blocks, group.size, group.rank)
        self.noises = {b: self.block_noise(b) for b in self.own}
        self.starts = {0: self.result.clone()} if 0 in self.own else {}
        self.walks: dict[tuple[int, int], FinePropagation] = {}
        self.coarse_ends: dict[tuple[int, int], Tensor] = {}
        self.fine_ends: dict[tuple[int, int], Tensor] = {}
        self.last: dict[int, Tensor] = {}

    @property
    def blocks(self) -> int:
        return len(self.ends)

    @property
    def finished(self) -> bool:
        return len(self.live) == 0

    @property
    def tail(self) -> Tensor:
        """Fields (m, *shape) at the last point, as far as they are known; for one rank."""
        return self.last.get(self.blocks - 1, torch.zeros_like(self.result))

    def owner(self, b: int) -> int:
        return next(rank for rank in range(self.group.size) if b in split(self.blocks, self.group.size, rank))

    def active(self, b: int, number: int) -> list[int]:
        """Iterates p whose chain through block b takes a step in a round."""
        length = self.ends[b] - self.begins[b]
        return [p for p in range(b + 1) if 0 <= number - self.times[p][b] - 1 < length]

    # ------------------------------------------------------------------ one round

    def advance(self) -> None:
        """One round: evaluate all chains, step, correct, pass on, judge. Raises NonFiniteError, on all ranks of the group."""
        number = self.number
        bad = self.step_all(number)
        changed = self.correct_all(number)
        self.judge(number, changed, bad)
        self.number += 1

    def step_all(self, number: int) -> np.ndarray:
        """Evaluate and step all chains of this rank; where (blocks, m) D is not finite, the point's number + 1."""
        keys = [(b, p) for b in self.own for p in self.active(b, number)]
        bad = np.zeros((self.blocks, len(self.first)))
        for b, p in keys:
            if self.times[p][b] + 1 == number:
                self.walks[b, p] = FinePropagation(self.starts[b], self.begins[b])
        if not keys:
            return bad
        x = torch.stack([self.walks[key].states[0][self.live] for key in keys])
        levels = torch.tensor([float(self.chain.step_map.sigmas[self.walks[key].step]) for key in keys], dtype=torch.float64)
        sigmas = levels.to(x)[:, None].expand(x.shape[:2])
        everywhere = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        denoised = self.chain.denoise(x, sigmas, everywhere, torch.from_numpy(self.live))
        finite = denoised.flatten(2).sum(2).isfinite().cpu().numpy()
        for k, (b, p) in enumerate(keys):
            walk = self.walks[b, p]
            bad[b, self.live[~finite[k]]] = walk.step + 1
            field = torch.zeros_like(walk.states[0])
            field[self.live] = denoised[k]
            self.step(walk, b, p, field)
        return bad

    def step(self, walk: FinePropagation, b: int, p: int, denoised: Tensor) -> None:
        """One step of a chain; the coarse step where it begins, and its end where it ends."""
        i, step_map = walk.step, self.chain.step_map
        walk.denoised = [denoised, *walk.denoised][: step_map.taps]
        if i == self.begins[b]:
            coarse = self.coarse[b]
            self.coarse_ends[b, p] = coarse.carry * walk.states[0] + coarse.pull * denoised + self.noises[b]
        walk.states = [self.mapped(walk, i, b), *walk.states][: step_map.taps]
        walk.step += 1
        if walk.step == self.ends[b]:
            self.fine_ends[b, p] = walk.states[0]
            del self.walks[b, p]

    def mapped(self, walk: FinePropagation, i: int, b: int) -> Tensor:
        """F_i, by the operations of the sweeps in their order."""
        step_map = self.chain.step_map
        value = float(step_map.state[i, 0]) * walk.states[0]
        value += float(step_map.denoised_weight[i, 0]) * walk.denoised[0]
        for tap in range(1, min(step_map.taps, i - self.begins[b] + 1)):
            value += float(step_map.state[i, tap]) * walk.states[tap]
            value += float(step_map.denoised_weight[i, tap]) * walk.denoised[tap]
        noise = self.step_noise(i)
        return value if noise is None else value + noise

    def step_noise(self, i: int) -> Tensor | None:
        """What the noise adds in step i (m, *shape)."""
        if not self.chain.step_map.stochastic:
            return None
        columns = torch.arange(len(self.first))
        total = None
        for tap, weight in enumerate(self.chain.step_map.noise[i].tolist()):
            if i >= tap and (tap == 0 or weight):
                term = weight * self.chain.noise(torch.full_like(columns, i - tap), columns)
                total = term if total is None else total + term
        return total

    def block_noise(self, b: int) -> Tensor | float:
        """What the noises of a block add to its end where the denoised field is frozen (m, *shape)."""
        step_map = self.chain.step_map
        if not step_map.stochastic:
            return 0.0
        states = [torch.zeros_like(self.result)]
        for i in range(self.begins[b], self.ends[b]):
            taps = range(min(step_map.taps, i - self.begins[b] + 1))
            total = self.step_noise(i)
            assert total is not None
            for tap in taps:
                total = total + float(step_map.state[i, tap]) * states[tap]
            states = [total, *states][: step_map.taps]
        return states[0]

    def correct_all(self, number: int) -> np.ndarray:
        """Form the ends of blocks that this round's timetable has, pass them on, and norms (blocks + 1, m) of their changes."""
        changed = np.zeros((self.blocks + 1, len(self.first)))
        sends, receives = [], []
        for b in range(self.blocks):
            p = self.forming.get((number, b))
            if p is None:
                continue
            onward = b + 1 < self.blocks
            if b in self.own:
                end = self.formed(b, p)
                changed[b + 1] = self.norms(end - self.last[b]) if b in self.last else 0.0
                self.last[b] = end
                if onward and b + 1 in self.own:
                    self.starts[b + 1] = end
                elif onward:
                    sends.append((self.owner(b + 1), end.contiguous()))
            elif onward and b + 1 in self.own:
                self.starts[b + 1] = torch.empty_like(self.result)
                receives.append((self.owner(b), self.starts[b + 1]))
        if sends or receives:
            self.group.exchange(sends, receives)
        return changed

    def formed(self, b: int, p: int) -> Tensor:
        """U^p[b + 1]."""
        if p == 0:
            return self.coarse_ends[b, 0]
        fine, coarse = self.fine_ends.pop((b, p - 1)), self.coarse_ends.pop((b, p - 1))
        return fine if b == p - 1 else self.coarse_ends[b, p] + (fine - coarse)

    def norms(self, fields: Tensor) -> np.ndarray:
        """Norms (m,); row by row where bits must not depend on the shape."""
        flat = fields.flatten(1)
        rows = [torch.linalg.vector_norm(row.clone()) for row in flat] if self.mode == "bitwise" else None
        total = torch.stack(rows) if rows is not None else torch.linalg.vector_norm(flat, dim=1)
        return total.double().cpu().numpy()

    # ------------------------------------------------------------------ the verdict

    def judge(self, number: int, changed: np.ndarray, bad: np.ndarray) -> None:
        """Rank 0 decides which members are finished; every rank gets the verdict."""
        members = len(self.first)
        everywhere = self.group.sum_to_root(np.concatenate([changed, bad]))
        verdict = np.zeros(4 + members, np.int64)
        if self.group.rank == 0:
            changed, bad = everywhere[: self.blocks + 1], everywhere[self.blocks + 1 :]
            if bad.any():
                column = int(np.argmax(bad.any(0)))
                verdict[:4] = FAIL, int(bad[bad[:, column] > 0, column].min()) - 1, column, number
            else:
                verdict[4:] = self.decide(number, changed)
        self.group.broadcast(verdict)
        if verdict[0] == FAIL:
            point, member = int(verdict[1]), int(self.chain.members[verdict[2]])
            raise NonFiniteError(member, point, float(self.chain.step_map.sigmas[point]), int(verdict[3]))
        self.finish(verdict[4:] != 0)

    def decide(self, number: int, changed: np.ndarray) -> Integers:
        """Which members (m,) are finished after this round; enters the round into the account."""
        live, steps = np.isin(np.arange(len(self.first)), self.live), self.chain.steps
        asked = sum(len(self.active(b, number)) for b in range(self.blocks))
        p = self.forming.get((number, self.blocks - 1))
        formed = [b + 1 for b in range(self.blocks) if (number, b) in self.forming]
        for b in formed:
            self.changes.setdefault(self.forming[number, b - 1], np.zeros_like(changed))[b] = changed[b]
        done = np.zeros(len(live), np.int64)
        error_estimate = self.account.error_estimate.copy()
        if p:
            exact = p == self.blocks
            error_estimate[live] = 0.0 if exact else self.error_estimate(p)[live]
            done = (live & (exact | (error_estimate <= self.tolerance))).astype(np.int64)
        shown = np.zeros((steps, len(live)))
        scale = (self.chain.step_map.sigmas**2 + self.chain.sigma_data**2).sqrt().numpy() * self.root_size
        for b in formed:
            if b < self.blocks:
                shown[self.begins[b]] = changed[b] / scale[self.begins[b]]
        lengths = np.where(live, steps, 0)
        entry = Round(number, self.first.copy(), lengths, shown, done * steps, np.where(live, asked, 0))
        self.account.enter(entry, error_estimate)
        if self.watch:
            self.watch(entry, steps)
        return done

    @property
    def root_size(self) -> float:
        return math.sqrt(torch.Size(self.chain.shape).numel())

    def error_estimate(self, p: int) -> np.ndarray:
        """What U^p at the end lacks (m,), relative to sigma_data: sums of what the blocks' beginnings changed by."""
        total = np.zeros(len(self.first))
        for b in range(max(p, 1), self.blocks):
            total += self.coarse[b].weight * self.changes[p][b]
        return total / (self.chain.sigma_data * self.root_size)

    def finish(self, done: NDArray[np.bool_]) -> None:
        """MemberSink finished members out, and bring their fields to rank 0."""
        if not done.any():
            return
        source, columns = self.owner(self.blocks - 1), torch.from_numpy(np.flatnonzero(done)).to(self.result.device)
        if source == 0:
            if self.group.rank == 0:
                self.result[columns] = self.last[self.blocks - 1][columns]
        elif self.group.rank == source:
            self.group.exchange([(0, self.last[self.blocks - 1][columns].contiguous())], [])
        elif self.group.rank == 0:
            buffer = self.result[columns].clone()
            self.group.exchange([], [(source, buffer)])
            self.result[columns] = buffer
        self.first[done] = self.chain.steps
        self.live = self.live[~done[self.live]]

    def run(self) -> Tensor:
        while not self.finished:
            self.advance()
        return self.result
