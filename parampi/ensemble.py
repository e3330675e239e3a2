"""Drawing an ensemble: members over groups of ranks, batches of members within a group, results to rank 0 as they come."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.denoisers import Denoiser
from parampi.engine.blocks import Wavefront
from parampi.engine.choice import engine_for
from parampi.engine.delivery import NOT_STORED, Collector, Failure, GroupResult, MemberSink
from parampi.engine.history import Watch
from parampi.engine.problem import SamplingProblem
from parampi.engine.windows import Engine
from parampi.errors import ConfigError, InterruptionError, NonFiniteError, UserError
from parampi.parallel import MODES, Group, Layout, Mode, SerialGroup, as_group
from parampi.parallel.agree import on_all
from parampi.parallel.launch import abort_on_error
from parampi.report import MemberReport, Report, residual_history
from parampi.samplers import DDIM, Sampler
from parampi.solvers import Picard, Solver, Spectral, check_solver

if TYPE_CHECKING:
    from parampi.parallel.group import Comm

MAX_MEMBERS = 2**32


Conditions = Callable[[list[int]], Tensor]
"""What the network is given of members, (m, ...) for m numbers."""


class RoundHook(Protocol):
    """What may keep the rounds of a group and stop it; see `parampi.run.checkpoint.hook`. Both calls are collective over the
    group."""

    def restore(self, engine: Engine | Wavefront, members: Sequence[int]) -> None:
        """Bring an engine that has not begun to where its members were left."""
        ...

    def after(self, engine: Engine | Wavefront) -> bool:
        """Called after each round; whether to stop here."""
        ...


@dataclass
class Ensemble:
    """`fields` (members, *shape) on the CPU and `members`, their numbers, on rank 0, None elsewhere; `report`."""

    fields: Tensor | None
    members: list[int] | None
    report: Report


def sample(
    denoiser: Denoiser,
    shape: Sequence[int],
    members: int | Sequence[int],
    sigmas: Tensor,
    sampler: Sampler | None = None,
    solver: Solver | None = None,
    window: int | None = None,
    tol: float = 1e-3,
    seed: int = 0,
    comm: "Comm | None" = None,
    *,
    sigma_data: float | None = None,
    time_ranks: int | None = None,
    mode: Mode = "fast",
    dtype: torch.dtype = torch.float64,
    network_batch: int | None = None,
    batch: int | None = None,
    keep: MemberSink | None = None,
    keep_on: Literal["root", "groups"] = "root",
    watch: Watch | None = None,
    safeguard: RoundHook | None = None,
    condition: "Conditions | None" = None,
) -> Ensemble:
    """Draw an ensemble from a diffusion model, in fewer dependent network calls than the serial sampler.

    denoiser       D(x, sigma) -> E[x0 | x0 + sigma n = x]; x (B, *shape), sigma (B,). The engine runs on its device.
    shape          of one member's field, without member axis
    members        how many, or their numbers; member k depends on `seed` and k alone, not on how many others are drawn
    sigmas         strictly decreasing noise levels (N + 1,); the last may be 0
    sampler        the step map; DDIM() by default
    solver         the sweeps; Picard() by default, Spectral() for Collocation
    window         points swept together; None for all at once
    tol            relative L2 error of the final field against the serial sampler's, estimated per member in the report
    comm           an mpi4py communicator, every rank of which makes the same call; None is this process alone
    sigma_data     standard deviation of the data; the denoiser's own, or 1
    time_ranks     ranks that share one group of members; None gives members first: as few as leave no rank without work
    mode           "fast", or "bitwise": the same bits for any number of ranks and any batches of members
    dtype          of states and scan; the network keeps its own
    network_batch  most fields in one network call
    batch          most members swept at once by one group, None for its whole share
    keep           receives each member as it is finished; then `Ensemble.fields` is None and only one batch is in memory
    keep_on        where: rank 0, to which all fields then travel, or the rank that drives a group, for its own members
    watch          called on rank 0 after each round of its group
    condition      what the network is given of each member: `condition(numbers)` -> (m, ...) for a list of m member numbers,
                   which each group of ranks asks for its own members only. Then `denoiser` is D(x, sigma, condition)
    safeguard      keeps checkpoints, takes members up from them, and stops the run in good order

    Raises ConfigError for arguments that make no sense, NonFiniteError when the network returns NaN or Inf, InterruptionError
    when `safeguard` stops the run, the last two with the members finished so far as `.ensemble`; all on all ranks alike. Any
    other exception on one rank ends the whole job.
    """
    with abort_on_error(comm):
        check(tol, mode, seed, shape, batch, sigma_data)
        if keep_on == "groups" and keep is None:
            raise ConfigError("keep_on = 'groups' says where members are kept, but there is no keep; give one")
        network = BatchedDenoiser(denoiser, network_batch, padded=mode == "bitwise")
        scale = float(sigma_data or getattr(denoiser, "sigma_data", None) or 1.0)
        equations = (sampler or DDIM()).steps(sigmas)
        template = SamplingProblem(network, equations, torch.empty(0), tuple(shape), seed, scale, dtype, network.device)
        numbers, everyone = member_numbers(members), as_group(comm)
        solver = solver or (Picard() if equations.causal else Spectral())
        job = Job(numbers, everyone, network, template, solver, window, tol, mode, time_ranks, batch,
                  safeguard, condition, keep_on == "groups")  # fmt: skip
    # From here on one rank's mistake (of its network, of `keep`) is no longer everybody's.
    with abort_on_error(comm, alike=False):
        ensemble, failure = job.run(comm, keep, watch)
    if isinstance(failure, NonFiniteError | InterruptionError):
        failure.ensemble = ensemble
    if failure is not None:
        raise failure
    return ensemble


def raised(reasons: list[UserError]) -> None:
    if reasons:
        raise reasons[0]


def member_numbers(members: int | Sequence[int]) -> list[int]:
    if isinstance(members, int | np.integer):
        members = int(members)
        if not 1 <= members <= MAX_MEMBERS:
            raise ConfigError(
                f"members = {members}; between 1 and {MAX_MEMBERS} members can be drawn (they are numbered by 32 bits)"
            )
        return list(range(members))
    numbers = [int(m) for m in members]
    if not numbers or len(set(numbers)) < len(numbers) or min(numbers) < 0 or max(numbers) >= MAX_MEMBERS:
        raise ConfigError(f"members = {numbers}; give different numbers from 0 to {MAX_MEMBERS - 1}, at least one")
    return numbers


def check(tol: float, mode: str, seed: int, shape: Sequence[int], batch: int | None, sigma_data: float | None) -> None:
    if not tol > 0:
        raise ConfigError(
            f"tol = {tol}; the relative error asked for must be positive (use the Serial solver for an exact result)"
        )
    if mode not in MODES:
        raise ConfigError(f"mode = {mode!r} is not one of {', '.join(map(repr, MODES))}")
    if not 0 <= seed < 2**64:
        raise ConfigError(f"seed = {seed} is not between 0 and 2^64 - 1")
    if not shape or any(n < 1 for n in shape):
        raise ConfigError(f"shape = {tuple(shape)}; give the shape of one member's field, such as (channels, y, x)")
    if batch is not None and batch < 1:
        raise ConfigError(f"batch = {batch}; sweep at least one member at a time, or leave it out")
    if sigma_data is not None and not 0 < sigma_data < float("inf"):
        raise ConfigError(f"sigma_data = {sigma_data}; the standard deviation of the data must be positive")


def checked(conditions: Tensor, members: int) -> Tensor:
    if len(conditions) != members:
        raise ConfigError(f"condition gave {len(conditions)} conditions for {members} members; it must give one for each")
    return conditions


@dataclass
class Job:
    """One call of `sample`, its arguments checked."""

    numbers: list[int]
    everyone: Group
    network: BatchedDenoiser
    template: SamplingProblem
    solver: Solver
    window: int | None
    tol: float
    mode: Mode
    time_ranks: int | None
    batch: int | None
    safeguard: RoundHook | None = None
    condition: "Conditions | None" = None
    spread: bool = False
    output: float = 0.0
    fields: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.layout = Layout.plan(self.everyone.size, len(self.numbers), self.time_ranks)
        check_solver(self.solver, self.template.equations, self.template.shape)
        self.requested = self.window
        self.window = self.solver.window(self.requested, self.template.equations)
        equations, layout = self.template.equations, self.layout
        places = {"ranks": layout.ranks, "groups": layout.groups, "time_ranks": layout.time_ranks, "window": self.window}
        serial = equations.evaluations
        self.report = Report(equations.steps, self.tol, serial, serial * len(self.numbers), layout=places)

    def batches(self) -> list[list[list[int]]]:
        """Member numbers of every group in every batch; a group whose share is smaller ends with an empty one."""
        most = len(self.layout.share(0))
        size = min(self.batch or most, most)
        shares = [[self.numbers[k] for k in self.layout.share(group)] for group in range(self.layout.groups)]
        return [[share[start : start + size] for share in shares] for start in range(0, most, size)]

    def run(self, comm: "Comm | None", keep: MemberSink | None, watch: Watch | None) -> tuple[Ensemble, Failure | None]:
        """The ensemble, as far as it was finished, and what ended it early, the same on all ranks."""
        begin, rank = time.perf_counter(), self.everyone.rank
        split = comm.Split(self.layout.group(rank)) if comm is not None and self.layout.groups > 1 else None
        group = as_group(split or comm) if self.layout.time_ranks > 1 else SerialGroup()
        template = self.template
        collector = Collector(self.everyone, self.layout, template.shape, template.dtype, template.device, self.spread)
        rounds, failure = np.zeros(self.layout.groups), None
        self.report.serial_rounds *= len(self.batches())
        for batch in self.batches():
            drawn = self.draw(batch[self.layout.group(rank)], group, watch if rank == 0 else None)
            took, failure = collector.collect(
                drawn, batch, lambda state, member: self.take(state, keep, member), self.report.members.append
            )
            rounds += took
            if failure is not None:
                break
        if split is not None:
            split.Free()
        failure = self.explained(failure, comm)
        self.report.rounds = int(rounds.max()) if rank == 0 else 0
        self.clock(group, time.perf_counter() - begin)
        if isinstance(failure, NonFiniteError):
            self.report.outcome = "nonfinite"
        if isinstance(failure, InterruptionError):
            self.report.outcome = "interrupted"
        return self.ensemble(keep), failure

    def explained(self, failure: Failure | None, comm: "Comm | None") -> Failure | None:
        """What kept a member from being kept, as the rank says that knows it, on every rank."""
        if not isinstance(failure, UserError):
            return failure
        reasons = [failure] if str(failure) != NOT_STORED else []
        try:
            on_all(comm, lambda: raised(reasons))
        except UserError as reason:
            return reason
        return failure

    def draw(self, ids: list[int], group: Group, watch: Watch | None) -> GroupResult:
        if not ids:
            return GroupResult.nothing()
        conditions = None if self.condition is None else checked(self.condition(ids), len(ids)).to(self.template.device)
        chain = replace(self.template, members=torch.tensor(ids), conditions=conditions)
        engine = engine_for(chain, self.solver, group, self.requested, self.tol, self.mode, watch)
        guard = self.safeguard
        if guard:
            guard.restore(engine, ids)
        drawn = GroupResult.run(engine, guard.after if guard else lambda engine: False)
        if self.everyone.rank == 0:
            self.report.residuals |= {number: residual_history(engine.account.history, k) for k, number in enumerate(ids)}
        return drawn

    def take(self, state: Tensor, keep: MemberSink | None, member: MemberReport) -> None:
        begin = time.perf_counter()
        if keep is None:
            self.fields.append(state.cpu().clone())
        else:
            keep(state, member)
        self.output += time.perf_counter() - begin

    def clock(self, group: Group, total: float) -> None:
        """Every rank's seconds, on rank 0."""
        messages = self.everyone.seconds + (group.seconds if group is not self.everyone else 0.0)
        table = np.zeros((self.everyone.size, 4))
        table[self.everyone.rank] = self.network.seconds, messages, self.output, total
        names = ("network", "communication", "output", "total")
        self.report.seconds = [dict(zip(names, map(float, row), strict=True)) for row in self.everyone.sum_to_root(table)]

    def ensemble(self, keep: MemberSink | None) -> Ensemble:
        if self.everyone.rank != 0:
            return Ensemble(None, None, self.report)
        order = {number: k for k, number in enumerate(self.numbers)}
        taken = [member.member for member in self.report.members]
        ranked = sorted(range(len(taken)), key=lambda k: order[taken[k]])
        self.report.members = [self.report.members[k] for k in ranked]
        self.report.evaluations = sum(member.evaluations for member in self.report.members)
        fields = torch.stack([self.fields[k] for k in ranked]) if keep is None and ranked else None
        return Ensemble(fields, [taken[k] for k in ranked], self.report)
