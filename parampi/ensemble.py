"""Drawing an ensemble: members over groups of ranks, batches of members within a group, results to rank 0 as they come."""

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.denoisers import ConditionalDenoiser, Denoiser, scale_of
from parampi.diffusion.probe import probe as probe_denoiser
from parampi.engine import EngineOptions, RoundHook, SamplingProblem, Watch
from parampi.engine.batches import BatchDrawing, BatchPlan, ConditionFunction, checked
from parampi.engine.delivery import Failure, MemberSink
from parampi.engine.lead_times import LeadTimes
from parampi.errors import ConfigError, InterruptionError, NonFiniteError
from parampi.parallel import MODES, Layout, Mode, as_group
from parampi.parallel.agree import on_all
from parampi.parallel.launch import abort_on_error
from parampi.report import Report
from parampi.samplers import DDIM, Equations, Sampler, equations_of
from parampi.solvers import Picard, Solver, Spectral, check_bound, check_solver_type

if TYPE_CHECKING:
    from parampi.parallel.group import Comm

MAX_MEMBERS = 2**32
PLACES = ("root", "groups")
"""Where members are kept: `keep_on`."""
DTYPES = (torch.float64, torch.float32)


@dataclass
class Ensemble:
    """An ensemble: `fields` (members, *shape), or (lead time, member, *shape) of a roll-out, on the CPU and `members`, their
    numbers, on rank 0, None elsewhere; `report`."""

    fields: Tensor | None
    members: list[int] | None
    report: Report


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
    condition: ConditionFunction | None = None,
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
    sigma_data     standard deviation of the data; the denoiser's own, or 1
    time_ranks     ranks that share one group of members; None gives members first: as few as leave no rank without work
    mode           "fast", or "bitwise": the same bits for any number of ranks and any batches of members
    dtype          of states and scan, torch.float64 or torch.float32; the network keeps its own
    network_batch  most fields in one network call
    batch          most members swept at once by one group, None for its whole share
    keep           receives each member as it is finished; then `Ensemble.fields` is None and only one batch is in memory
    keep_on        where: rank 0, to which all fields then travel, or the rank that drives a group, for its own members
    watch          called on rank 0 after each round of its group
    condition      what the network reads of each member beside its state: `condition(numbers)` -> (m, ...) for a list of m
                   member numbers, called by each group of ranks for its own members only. Then `denoiser` is
                   D(x, sigma, condition)
    safeguard      a hook, called before the first round of members and after each: keeps checkpoints, goes on with members from
                   them, and stops the run in good order
    probe          whether the denoiser is first called for a few fields, at most twelve, to see whether it is one
                   (`parampi.check_denoiser`); these calls do not count as evaluations

    Raises ConfigError for arguments that make no sense and for a denoiser that is none, NonFiniteError when the network returns
    NaN or Inf, InterruptionError when `safeguard` stops the run, the last two with the members finished so far as `.ensemble`;
    all on all ranks alike. Any other exception on one rank ends the whole job.
    """
    with abort_on_error(comm):
        check(tol, mode, seed, shape, batch=batch, sigma_data=sigma_data, dtype=dtype)
        check_counts(window=window, time_ranks=time_ranks, network_batch=network_batch)
        check_kinds(denoiser, solver, keep_on, keep=keep, watch=watch, condition=condition)
        network = BatchedDenoiser(denoiser, network_batch, padded=mode == "bitwise")
        equations, scale = equations_of(DDIM() if sampler is None else sampler, sigmas), scale_of(denoiser, sigma_data)
        problem = memberless(network, equations, shape=shape, seed=seed, sigma_data=scale, dtype=dtype)
        options = EngineOptions(window, real(tol), mode, watch if as_group(comm).rank == 0 else None)
        plan = plan_batches(problem, solver or usual_solver(equations), options, members, comm, time_ranks, batch)
        probed = probed_alike(plan, comm, condition, sigma_data is not None) if probe else 0
    with abort_on_error(comm, alike=False):  # from here on one rank's mistake (of its network, of `keep`) is its own
        drawing = BatchDrawing(plan, comm, keep, on_groups=keep_on == "groups", hook=safeguard, condition=condition)
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


def probed_alike(plan: BatchPlan, comm: "Comm | None", condition: ConditionFunction | None, known: bool) -> int:
    """Return how many evaluations the probe of this rank's denoiser took; `known`: whether sigma_data was given.

    Raises ConfigError on all ranks for the denoiser of any."""
    problem, layout = plan.problem, plan.layout

    def probed() -> int:
        first = layout.share(layout.group(as_group(comm).rank))[:1]
        if not first:
            return 0
        numbers = [plan.numbers[k] for k in first]
        conditions = None if condition is None else checked(condition(numbers), 1).to(problem.device)
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


def check_sink(keep: MemberSink | None, keep_on: str) -> None:
    """Raise ConfigError where it is said where to keep members, but not how, or where it is no place."""
    if keep_on not in PLACES:
        raise ConfigError(f"keep_on = {keep_on!r} is not one of {', '.join(map(repr, PLACES))}")
    if keep_on == "groups" and keep is None:
        raise ConfigError("keep_on = 'groups' says where members are kept, but there is no keep; give one")


def member_numbers(members: int | Iterable[int]) -> list[int]:
    """Return the numbers of so many members, or these numbers. Raises ConfigError unless they can be drawn."""
    if isinstance(members, int | np.integer) and not isinstance(members, bool):
        members = int(members)
        if not 1 <= members <= MAX_MEMBERS:
            raise ConfigError(
                f"members = {members}; between 1 and {MAX_MEMBERS} members can be drawn (they are numbered by 32 bits)"
            )
        return list(range(members))
    try:
        numbers = [whole(member) for member in list(members)]  # type: ignore[arg-type]
    except TypeError:
        raise ConfigError(f"members = {members!r}; give how many, or a list of member numbers, as whole numbers") from None
    if not numbers or len(set(numbers)) < len(numbers) or min(numbers) < 0 or max(numbers) >= MAX_MEMBERS:
        raise ConfigError(f"members = {numbers}; give different numbers from 0 to {MAX_MEMBERS - 1}, at least one")
    return numbers


def whole(value: Any) -> int:
    """Return a whole number, of Python, NumPy or torch. Raises TypeError for anything else, True and 2.0 included."""
    if isinstance(value, bool | np.bool_) or (isinstance(value, Tensor) and value.dtype == torch.bool):
        raise TypeError(f"{value} is no whole number")
    return operator.index(value)


def real(value: Any) -> float:
    """Return a real number, of Python, NumPy or torch. Raises TypeError for anything else, texts included."""
    if isinstance(value, bool | np.bool_ | str | bytes):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def check_counts(**counts: int | None) -> None:
    """Raise ConfigError for a count that is no whole number; None leaves it open."""
    for name, count in counts.items():
        try:
            whole(0 if count is None else count)
        except TypeError:
            raise ConfigError(f"{name} = {count!r} is no whole number; give one, or leave it out") from None


def check_kinds(denoiser: Any, solver: Any, keep_on: str, **functions: Any) -> None:
    """Raise ConfigError for a denoiser, a solver or a function of another kind; None leaves solver and functions out."""
    check_sink(functions["keep"], keep_on)
    if isinstance(denoiser, type) or not callable(denoiser):
        shown = f"{denoiser.__name__} is a class" if isinstance(denoiser, type) else f"{denoiser!r} cannot be called"
        raise ConfigError(f"denoiser = {shown}; give a function D(x, sigma), such as a wrapper of parampi.denoisers")
    if solver is not None:
        check_solver_type(solver)
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise ConfigError(f"{name} = {function!r} cannot be called; give a function, or leave it out")


def check(
    tol: float, mode: str, seed: int, shape: Sequence[int], *, batch: int | None, sigma_data: float | None, dtype: torch.dtype
) -> None:
    """Raise ConfigError for an argument of `sample` that makes no sense."""
    check_counts(batch=batch)
    if not is_positive(tol):
        raise ConfigError(
            f"tol = {tol!r}; the relative error must be positive and finite, 1e-3 is usual (Serial gives the exact result)"
        )
    if mode not in MODES:
        raise ConfigError(f"mode = {mode!r} is not one of {', '.join(map(repr, MODES))}")
    if not is_whole(seed) or not 0 <= seed < 2**64:
        raise ConfigError(f"seed = {seed} is not between 0 and 2^64 - 1; give a whole number")
    if not isinstance(shape, Sequence) or not shape or not all(is_whole(n) and n >= 1 for n in shape):
        raise ConfigError(f"shape = {shape!r}; give the shape of one member's field, such as (channels, y, x)")
    if batch is not None and batch < 1:
        raise ConfigError(f"batch = {batch}; sweep at least one member at a time, or leave it out")
    if sigma_data is not None and not is_positive(sigma_data):
        raise ConfigError(f"sigma_data = {sigma_data!r}; the standard deviation of the data must be positive and finite")
    if dtype not in DTYPES:
        raise ConfigError(f"dtype = {dtype!r} is not one of {', '.join(map(str, DTYPES))}; the network keeps its own")


def is_whole(value: Any) -> bool:
    try:
        whole(value)
    except TypeError:
        return False
    return True


def is_positive(value: Any) -> bool:
    """Return whether a value is a number above 0, and finite."""
    try:
        return 0 < real(value) < float("inf")
    except (TypeError, ValueError, RuntimeError):
        return False
