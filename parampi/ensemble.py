"""Drawing an ensemble: members over groups of ranks, batches of members within a group, results to rank 0 as they come."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor

from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.channel_scales import SigmaData, check_channels
from parampi.diffusion.denoisers import ConditionalDenoiser, Denoiser, scale_of
from parampi.diffusion.probe import probe as probe_denoiser
from parampi.engine import EngineOptions, RoundHook, SamplingProblem, Watch
from parampi.engine.arguments import check, check_counts, check_kinds, check_overlap, member_numbers, real
from parampi.engine.batches import BatchDrawing, BatchPlan
from parampi.engine.case_hooks import FinishFunction, PrepareFunction, check_hooks
from parampi.engine.cases import CaseFunction, ConditionFunction
from parampi.engine.delivery import Failure, MemberSink
from parampi.engine.lead_times import LeadTimes
from parampi.engine.outside_noise import NoiseFunction, OutsideNoise, StartStates
from parampi.errors import ConfigError, InterruptionError, NonFiniteError
from parampi.parallel import Layout, Mode, as_group
from parampi.parallel.agree import on_all
from parampi.parallel.launch import abort_on_error
from parampi.progress import ProgressFunction, Watching
from parampi.report import Report, count
from parampi.samplers import DDIM, Equations, Sampler, equations_of
from parampi.solvers import Picard, Solver, Spectral, check_bound

if TYPE_CHECKING:
    from parampi.parallel.group import Comm


@dataclass(repr=False)
class Ensemble:
    """An ensemble: `fields` (members, *shape), or (lead time, member, *shape) of a roll-out, on the CPU and `members`, their
    numbers, on rank 0, None elsewhere; `report`."""

    fields: Tensor | None
    members: list[int] | None
    report: Report

    def to_xarray(self, statistics: Any = None) -> Any:
        """Return an `xarray.Dataset` with members first, and with what each cost. `statistics`: a
        `parampi.fields.DatasetStatistics`, or the path of its file; then there is a variable for each channel in physical
        units. Raises ConfigError where fields were not kept, or are of another shape than the statistics."""
        from parampi.fields.ensembles.opened import drawn_dataset

        if self.fields is None or self.members is None:
            raise ConfigError("this ensemble holds no fields: they are on rank 0, or went to `keep`; open the file instead")
        return drawn_dataset(self.fields.numpy(), self.members, self.report.members, statistics)

    def __repr__(self) -> str:
        shape = "no fields" if self.fields is None else f"fields {' x '.join(map(str, self.fields.shape))}"
        return f"Ensemble({shape}; {self.report.counted()}, {count(self.report.rounds, 'round')}, {self.report.outcome})"

    def _repr_html_(self) -> str:
        return f"<code>{escape(repr(self))}</code><br>{escape(self.report.summary())}"


def sample(
    denoiser: Denoiser | ConditionalDenoiser,
    shape: Sequence[int],
    members: int | Sequence[int],
    sigmas: Tensor | Sequence[float],
    sampler: Sampler | None = None,
    solver: Solver | None = None,
    window: int | None = None,
    tol: float = 1e-3,
    seed: int = 0,
    comm: "Comm | None" = None,
    *,
    sigma_data: SigmaData | None = None,
    time_ranks: int | None = None,
    mode: Mode = "fast",
    dtype: torch.dtype = torch.float64,
    network_batch: int | None = None,
    batch: int | None = None,
    keep: MemberSink | None = None,
    keep_on: Literal["root", "groups"] = "root",
    watch: Watch | None = None,
    progress: bool | ProgressFunction | None = None,
    safeguard: RoundHook | None = None,
    condition: ConditionFunction | Tensor | None = None,
    case_of: CaseFunction | None = None,
    start: StartStates | Tensor | None = None,
    noise: NoiseFunction | None = None,
    prepare: PrepareFunction | None = None,
    finish: FinishFunction | None = None,
    overlap: bool = False,
    probe: bool = True,
) -> Ensemble:
    """Draw an ensemble from a diffusion model, in fewer dependent network calls than the serial sampler.

    denoiser       D(x, sigma) -> E[x0 | x0 + sigma n = x]; x (B, *shape), sigma (B,). The engine runs on its device.
    shape          of one member's field, without member axis
    members        how many, or their numbers; member k depends on `seed` and k alone, not on how many others are drawn
    sigmas         strictly decreasing noise levels (N + 1,), a tensor or a list of numbers; the last may be 0
    sampler        the step map; DDIM() by default
    solver         the sweeps; Picard() by default, Spectral() for Collocation
    window         points swept together; None for all at once
    tol            relative L2 error of the final field against the serial sampler's, estimated per member in the report
    comm           an mpi4py communicator, every rank of which makes the same call; None is this process alone
    sigma_data     standard deviation of the data, or a list of one for each channel; the denoiser's own, or 1
    time_ranks     ranks that share one group of members; None gives members first: as few as leave no rank without work
    mode           "fast", or "bitwise": the same bits for any number of ranks and any batches of members
    dtype          of states and scan, torch.float64 or torch.float32; the network keeps its own
    network_batch  most fields in one network call
    batch          most members swept at once by one group, None for its whole share
    keep           receives each member as it is finished; then `Ensemble.fields` is None and only one batch is in memory
    keep_on        where: rank 0, to which all fields then travel, or the rank that drives a group, for its own members
    watch          called on rank 0 after each round of its group
    progress       True shows a bar, as a widget in notebooks; a function is given a `parampi.Progress` after each round: what
                   is finished, seconds per round, time left. On rank 0, of its group's members. One that raises an error
                   is named in a warning and called no more; drawing goes on
    condition      what the network reads of each member beside its state: `condition(numbers)` -> (m, ...) for a list of m
                   member numbers, called by each group of ranks for its own members only; or a tensor (...), the same for
                   all. Then `denoiser` is D(x, sigma, condition)
    case_of        the case that a member is of, by its number: members of a case have one condition. Every member is a case of
                   its own by default; where `condition` is a tensor all are one case
    start          states (m, *shape) at the first point in EDM coordinates, x0 + sigma n, or a function that returns those of
                   members by their numbers; drawn from `seed` by default
    noise          `noise(member, point)` -> (*shape): standard normals from outside, to compare with another sampler; point 0
                   is the start, i + 1 the noise of step i
    prepare        `prepare(condition)`, called once per case on one of the ranks: what the network reads in the place of the
                   condition (1, ...). Of a tuple it reads the first
    finish         `finish(field, prepared)` of a drawn field (1, *shape) and of what `prepare` returned (the condition where
                   there is none): the field that is kept, of the same shape. `tol` is that of the drawn one
    safeguard      a hook, called before the first round of members and after each: keeps checkpoints, goes on with members from
                   them, and stops the run in good order
    overlap        whether the members of a batch are swept as two halves whose rounds alternate: while a GPU evaluates the one,
                   this process sweeps the other. Pays where half a batch takes the network about half the time
    probe          whether the denoiser is first called for a few fields, at most twelve, to see whether it is one
                   (`parampi.check_denoiser`); these calls do not count as evaluations

    Raises ConfigError for arguments that make no sense and for a denoiser that is none, NonFiniteError when the network returns
    NaN or Inf, InterruptionError when `safeguard` stops the run, the last two with the members finished so far as `.ensemble`;
    all on all ranks alike. Any other exception on one rank ends the whole job.
    """
    with abort_on_error(comm):
        check(tol, mode, seed, shape, batch=batch, sigma_data=sigma_data, dtype=dtype)
        check_counts(window=window, time_ranks=time_ranks, network_batch=network_batch)
        check_overlap(overlap)
        if isinstance(condition, Tensor):
            condition, case_of = the_same(condition), the_same_case
        hooks = check_hooks(prepare, finish, condition is not None)
        check_kinds(denoiser, solver, keep_on, keep=keep, watch=watch, condition=condition, case_of=case_of)
        network = BatchedDenoiser(denoiser, network_batch, padded=mode == "bitwise")
        equations, scale = equations_of(DDIM() if sampler is None else sampler, sigmas), scale_of(denoiser, sigma_data)
        check_channels(scale, shape)
        outside = OutsideNoise.of(start, noise, member_numbers(members))
        problem = memberless(network, equations, shape=shape, seed=seed, sigma_data=scale, dtype=dtype)
        problem = replace(problem, outside=outside)
        watching = Watching(progress, watch, as_group(comm).rank)
        options = EngineOptions(window, real(tol), mode, watching.after_round, overlap=overlap)
        plan = plan_batches(problem, solver or usual_solver(equations), options, members, comm, time_ranks, batch)
        drawing = BatchDrawing(
            plan, comm, keep, on_groups=keep_on == "groups", hook=safeguard, condition=condition, hooks=hooks, case_of=case_of
        )
        if probe:
            drawing.enter_first()
        probed = probed_alike(plan, comm, drawing.cases, sigma_data is not None) if probe else 0
    with (
        abort_on_error(comm, alike=False),
        watching.over(plan),
    ):  # from here on one rank's mistake (of its network, of `keep`) is its own
        failure = drawing.run()
        drawing.report.probe_evaluations = probed
    return raise_or_return(failure, Ensemble(*drawing.finished(), drawing.report))


def plan_batches(
    problem: SamplingProblem,
    solver: Solver,
    options: EngineOptions,
    members: int | Sequence[int],
    comm: "Comm | None",
    time_ranks: int | None,
    batch: int | None,
    *,
    leads: Callable[[list[int]], LeadTimes] | None = None,
    count: int = 1,
) -> BatchPlan:
    """Return who draws which members. Raise ConfigError for a solver that cannot be bound to these fields."""
    numbers = member_numbers(members)
    layout = Layout.plan(as_group(comm).size, len(numbers), time_ranks)
    on_all(comm, lambda: check_bound(solver, problem.shape, problem.sigma_data))
    return BatchPlan(numbers, layout, problem, solver, options, batch, leads, count)


def the_same(condition: Tensor) -> ConditionFunction:
    """Return the function of one condition (...) for all members."""
    return lambda numbers: condition.expand(len(numbers), *condition.shape)


def the_same_case(number: int) -> int:
    return 0


class FirstConditions(Protocol):
    """Conditions of the first members to be drawn, and what becomes of their fields."""

    def conditions(self, numbers: list[int], /) -> Tensor | None:
        """Return what the network reads of members (m, ...), None for nothing."""
        ...

    def finished(self, fields: Tensor, numbers: list[int], done: list[bool], /) -> Tensor:
        """Return fields (m, *shape) of members as they are kept."""
        ...


def probed_alike(plan: BatchPlan, comm: "Comm | None", cases: FirstConditions, known: bool) -> int:
    """Return how many evaluations the probe of this rank's denoiser took; `known`: whether sigma_data was given.

    Raises ConfigError on all ranks for the denoiser of any, and for its `finish`."""
    problem, layout = plan.problem, plan.layout

    def probed() -> int:
        first = layout.share(layout.group(as_group(comm).rank))[:1]
        if not first:
            return 0
        numbers = [plan.numbers[k] for k in first]
        conditions = cases.conditions(numbers)
        cases.finished(torch.zeros((1, *problem.shape), dtype=problem.dtype, device=problem.device), numbers, [True])
        return probe_denoiser(
            problem.network,
            problem.equations.sigmas[:-1][problem.equations.evaluated],
            shape=problem.shape,
            sigma_data=problem.sigma_data,
            dtype=problem.dtype,
            condition=conditions,
            known=known,
        )

    return probed() if comm is None else on_all(comm, probed)


def usual_solver(equations: Equations) -> Solver:
    """Return the solver that is taken where none is named."""
    return Picard() if equations.causal else Spectral()


def memberless(
    network: BatchedDenoiser, equations: Equations, *, shape: Sequence[int], seed: int, sigma_data: float, dtype: torch.dtype
) -> SamplingProblem:
    """Return the problem of an ensemble, without members: each group of ranks puts in its own."""
    return SamplingProblem(
        network=network,
        equations=equations,
        members=torch.empty(0),
        shape=tuple(shape),
        seed=seed,
        sigma_data=sigma_data,
        dtype=dtype,
        device=network.device,
    )


def raise_or_return(failure: Failure | None, ensemble: Ensemble) -> Ensemble:
    """Raise what ended a run early, with the members that were finished before; return them where nothing did."""
    if isinstance(failure, NonFiniteError | InterruptionError):
        failure.ensemble = ensemble
    if failure is not None:
        raise failure
    return ensemble
