"""Members that are in the same round of Parareal's timetable: one rank's blocks of them."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.engine.problem import FieldBatch, SamplingProblem
from parampi.engine.readings import Readings
from parampi.engine.state import EngineState, PointRows
from parampi.engine.timetable import Key, Timetable
from parampi.parallel.group import Message
from parampi.solvers.parareal import Coarse

Integers = NDArray[np.int64]


class FinePropagation:
    """Steps through a block: the last states and denoised fields (m, *shape), the latest first, and the next step."""

    def __init__(self, states: list[Tensor], denoised: list[Tensor], step: int):
        self.states, self.denoised, self.step = states, denoised, step


@dataclass
class Mail:
    """Messages of one round, to be exchanged at once."""

    sends: list[Message] = field(default_factory=list)
    receives: list[Message] = field(default_factory=list)


class Cohort:
    """The fields of members `columns` of a problem before round `number`, in the blocks `own` of a rank.

    live         which of the columns are not finished, and `places` the same beside the fields
    starts       by block, U at its beginning where it was formed last
    fine         by (block, iterate), fine propagations on their way
    coarse_ends  G(U^p[b]) and fine_ends F(U^p[b]), by (block, iterate), until U^(p+1)[b+1] is formed of them
    ends         by block, U at its end where it was formed last
    """

    def __init__(
        self,
        problem: SamplingProblem,
        table: Timetable,
        coarse: list[Coarse],
        *,
        own: range,
        columns: Integers,
        number: int,
    ):
        self.problem, self.table, self.coarse, self.own = problem, table, coarse, own
        self.columns, self.index, self.number = columns, torch.from_numpy(columns), number
        self.keep(np.arange(len(columns)))
        self.noises = {b: self.block_noise(b) for b in own}
        self.starts: dict[int, Tensor] = {}
        if number == 1 and 0 in own:
            self.starts[0] = problem.start()[self.index.to(problem.device, non_blocking=True)]
        self.fine: dict[tuple[int, int], FinePropagation] = {}
        self.coarse_ends: dict[tuple[int, int], Tensor] = {}
        self.fine_ends: dict[tuple[int, int], Tensor] = {}
        self.ends: dict[int, Tensor] = {}

    def keep(self, live: Integers) -> None:
        """Go on with those of the columns."""
        self.live, self.places = live, torch.from_numpy(live).to(self.problem.device, non_blocking=True)

    # ------------------------------------------------------------------ one round

    @property
    def running(self) -> list[tuple[int, int]]:
        """Blocks and iterates of the fine propagations that take a step in this round, on this rank."""
        return [(b, p) for b in self.own for p in self.table.running(b, self.number)] if len(self.live) else []

    def collect(self) -> FieldBatch | None:
        """Return the fields to evaluate in this round; None for none."""
        keys = self.running
        for b, p in keys:
            if self.table.taken(b, p, self.number) == 0:
                self.fine[b, p] = FinePropagation([self.starts[b]], [], self.table.begins[b])
        if not keys:
            return None
        x = torch.stack([self.fine[key].states[0][self.places] for key in keys])
        levels = self.problem.step_map.sigmas[[self.fine[key].step for key in keys]]
        sigmas = levels.to(x, non_blocking=True)[:, None].expand(x.shape[:2])
        return FieldBatch(x.flatten(0, 1), sigmas.flatten(), self.index[self.live].repeat(len(keys)))

    def step(self, denoised: Tensor, failed: np.ndarray, readings: Readings) -> None:
        """Take the steps of this round with the denoised fields (k live, *shape) of its batch; when `readings` are read they
        enter into `failed` (B, m) the point + 1 of fields that are not finite."""
        keys = self.running
        if not keys:
            return
        fields = denoised.view(len(keys), len(self.live), *denoised.shape[1:])
        points, live = [self.fine[key].step + 1 for key in keys], self.columns[self.live]

        def fail(finite: NDArray[np.float64]) -> None:
            for row, (b, _), point in zip(finite, keys, points, strict=True):
                failed[b, live[row == 0]] = point

        readings.ask(fields.flatten(2).sum(2).isfinite(), fail)
        for k, (b, p) in enumerate(keys):
            whole = torch.zeros_like(self.fine[b, p].states[0])
            whole[self.places] = fields[k]
            self.step_one(b, p, whole)

    def step_one(self, b: int, p: int, denoised: Tensor) -> None:
        """Take one step of a fine propagation; the coarse step where it begins, and keep its end where it ends."""
        fine, taps = self.fine[b, p], self.table.taps
        i = fine.step
        fine.denoised = [denoised, *fine.denoised][:taps]
        if i == self.table.begins[b]:
            coarse = self.coarse[b]
            self.coarse_ends[b, p] = coarse.carry * fine.states[0] + coarse.pull * denoised + self.noises[b]
        fine.states = [self.mapped(fine, b), *fine.states][:taps]
        fine.step += 1
        if fine.step == self.table.ends[b]:
            self.fine_ends[b, p] = fine.states[0]
            del self.fine[b, p]

    def mapped(self, fine: FinePropagation, b: int) -> Tensor:
        """Return F_i, by the operations of the sweeps in their order."""
        i, step_map = fine.step, self.problem.step_map
        value = float(step_map.state[i, 0]) * fine.states[0]
        value += float(step_map.denoised_weight[i, 0]) * fine.denoised[0]
        for tap in range(1, min(step_map.taps, i - self.table.begins[b] + 1)):
            value += float(step_map.state[i, tap]) * fine.states[tap]
            value += float(step_map.denoised_weight[i, tap]) * fine.denoised[tap]
        noise = self.step_noise(i)
        return value if noise is None else value + noise

    def step_noise(self, i: int) -> Tensor | None:
        """Return what the noise adds in step i (m, *shape); None for nothing."""
        step_map = self.problem.step_map
        if not step_map.stochastic:
            return None
        total = None
        for tap, weight in enumerate(step_map.noise[i].tolist()):
            if i >= tap and (tap == 0 or weight):
                term = weight * self.problem.noise(torch.full_like(self.index, i - tap), self.index)
                total = term if total is None else total + term
        return total

    def block_noise(self, b: int) -> Tensor | float:
        """Return what the noises of a block add to its end where the denoised field is frozen (m, *shape)."""
        step_map = self.problem.step_map
        if not step_map.stochastic:
            return 0.0
        states = [torch.zeros((len(self.columns), *self.problem.shape), dtype=self.problem.dtype, device=self.problem.device)]
        for i in range(self.table.begins[b], self.table.ends[b]):
            total = self.step_noise(i)
            assert total is not None
            for tap in range(min(step_map.taps, i - self.table.begins[b] + 1)):
                total = total + float(step_map.state[i, tap]) * states[tap]
            states = [total, *states][: step_map.taps]
        return states[0]

    def correct(self, b: int) -> Tensor | None:
        """Form U at the end of block b; return its change since the last iterate, None for the first."""
        p = self.table.forming[self.number, b]
        last, self.ends[b] = self.ends.get(b), self.formed(b, p)
        return None if last is None else self.ends[b] - last

    def formed(self, b: int, p: int) -> Tensor:
        """Return U^p[b + 1]."""
        if p == 0:
            return self.coarse_ends[b, 0]
        fine, coarse = self.fine_ends.pop((b, p - 1)), self.coarse_ends.pop((b, p - 1))
        return fine if b == p - 1 else self.coarse_ends[b, p] + (fine - coarse)

    # ------------------------------------------------------------------ state

    def state(self) -> dict[str, PointRows]:
        """Return the fields that are kept, by kind, block and iterate."""
        fields = {}
        for key, points in self.kept().items():
            rows = self.rows(key)
            missing = rows.new_zeros((len(points) - len(rows), *rows.shape[1:]))
            fields[name_of(key)] = PointRows(torch.cat([missing, rows]), np.full(len(self.columns), points.start))
        return fields

    def kept(self) -> dict[Key, range]:
        return {key: points for b in self.own for key, points in self.table.kept(b, self.number).items()}

    def rows(self, key: Key) -> Tensor:
        """Return the rows (r, m, *shape) of a field, the earliest point's first."""
        kind, b, p = key
        if kind in ("states", "denoised"):
            fine, taps = self.fine[b, p], self.table.taps
            latest_first = fine.states[:taps] if kind == "states" else fine.denoised[: taps - 1]
            return torch.stack(latest_first[::-1])
        if kind in ("start", "end"):
            return (self.starts if kind == "start" else self.ends)[b][None]
        return (self.coarse_ends if kind == "coarse_end" else self.fine_ends)[b, p][None]

    def load(self, state: EngineState) -> None:
        """Take the fields that are kept before this round."""
        if self.number == 1:
            return
        kept = self.kept()
        rows = {key: state.fields[name_of(key)].first_rows(len(points)) for key, points in kept.items()}
        fields = {key: value[:, self.index].to(self.problem.device) for key, value in rows.items()}
        self.starts = {b: value[0] for (kind, b, _), value in fields.items() if kind == "start"}
        self.ends = {b: value[0] for (kind, b, _), value in fields.items() if kind == "end"}
        self.coarse_ends = {(b, p): value[0] for (kind, b, p), value in fields.items() if kind == "coarse_end"}
        self.fine_ends = {(b, p): value[0] for (kind, b, p), value in fields.items() if kind == "fine_end"}
        for (kind, b, p), points in kept.items():
            if kind == "states":
                states, denoised = fields["states", b, p], fields.get(("denoised", b, p))
                before = [] if denoised is None else list(denoised.flip(0))
                self.fine[b, p] = FinePropagation(list(states.flip(0)), before, points.stop - 1)


def name_of(key: Key) -> str:
    return ".".join(map(str, key))


def key_of(name: str) -> Key:
    kind, block, iterate = name.split(".")
    return kind, int(block), int(iterate)
