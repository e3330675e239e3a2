"""Roll-outs: a member's lead times, each conditioned on the one before, as one chain that is swept together."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.channel_scales import SigmaData, check_channels
from parampi.diffusion.denoisers import ConditionalDenoiser, Denoiser, scale_of
from parampi.engine import EngineOptions, RoundHook, Watch
from parampi.engine.arguments import check, check_counts, check_kinds, check_overlap, is_whole, member_numbers, real
from parampi.engine.batches import BatchDrawing
from parampi.engine.case_hooks import FinishFunction, PrepareFunction, check_hooks
from parampi.engine.delivery import MemberSink
from parampi.engine.lead_times import ConditionOfStates, LeadTimes, UpdateOfState
from parampi.engine.outside_noise import LeadNoiseFunction, OutsideNoise
from parampi.ensemble import Ensemble, memberless, plan_batches, probed_alike, raise_or_return, usual_solver
from parampi.errors import ConfigError
from parampi.parallel import Mode, as_group
from parampi.parallel.launch import abort_on_error
from parampi.progress import ProgressFunction, Watching
from parampi.samplers import DDIM, Sampler, equations_of
from parampi.solvers import Solver

if TYPE_CHECKING:
    from parampi.parallel.group import Comm

StartFunction = Callable[[list[int]], Tensor]
"""Returns the states (m, *state) of m members before the first lead time, by their numbers; (m, h, *state) for a history of
h > 1, the newest last."""


def rollout(
    denoiser: Denoiser | ConditionalDenoiser,
    start: Tensor | StartFunction,
    shape: Sequence[int],
    lead_times: int,
    *,
    sigmas: Tensor | Sequence[float],
    members: int | Sequence[int] | None = None,
    sampler: Sampler | None = None,
    solver: Solver | None = None,
    window: int | None = None,
    flight: int | None = None,
    tol: float = 1e-3,
    seed: int = 0,
    comm: "Comm | None" = None,
    condition: ConditionOfStates | None = None,
    update: UpdateOfState | None = None,
    prepare: PrepareFunction | None = None,
    finish: FinishFunction | None = None,
    history: int = 1,
    noise: LeadNoiseFunction | None = None,
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
    overlap: bool = False,
    probe: bool = True,
) -> Ensemble:
    """Draw lead times in a row, each conditioned on those before, in fewer dependent network calls than one after another.

    denoiser    D(x, sigma, condition) -> E[x0 | x0 + sigma n = x]
    start       states (m, *state) before the first lead time, of the members in their order, or a function that returns those
                of members by their numbers. With a `history` of h > 1 lead times (m, h, *state), the newest last
    shape       of one member's drawn field
    lead_times  how many
    sigmas      strictly decreasing noise levels (N + 1,), the same at all lead times
    members     how many, or their numbers; as many as `start` has by default
    window      points swept together, of all lead times in flight; None for as many as `flight` lead times have, or two
    flight      most lead times that are swept together; 1 goes from one to the next. None for as many as the window reaches
    tol         relative L2 error of each lead time's field against the serial sampler's from the same condition
    condition   `condition(states, lead, numbers)` -> (m, ...): what the network reads at lead time `lead` = 0, 1, ..., of the
                states before it, of members by their numbers. The states themselves by default
    update      `update(states, drawn, lead, numbers)` -> (m, *state): the states after a lead time, of those before it and of
                the drawn fields, as `finish` leaves them. These fields by default
    prepare     `prepare(condition)`: what the network reads in the place of the condition (1, ...) of a member; of a tuple it
                reads the first. Called once for a lead time whose condition is certain, and before for each of its estimates
    finish      `finish(field, prepared)` of a drawn field (1, *shape) and of what `prepare` returned: the field that is kept
    history     how many states the condition is made of
    noise       `noise(member, lead, point)` -> (*shape): standard normals from outside, to compare with another sampler; point
                0 is that of the first state, `sqrt(sigma_0^2 + sigma_data^2)` times it, and i + 1 the noise of step i
    keep        `keep(field, report)` receives each field (*shape) as it is finished, with a `MemberReport` that has its `lead`;
                then only what is in flight is in memory, and `Ensemble.fields` is None

    All else is as in `parampi.sample`, whose members are those of one lead time. `Ensemble.fields` are (lead time, member,
    *shape). `condition`, `prepare`, `finish` and `update` are called for one member at a time, on every rank of its group,
    often with estimates that change from round to round: they must depend on their arguments alone. They may write into them.
    Conditions have one shape and dtype at all lead times.
    """
    with abort_on_error(comm):
        check(tol, mode, seed, shape, batch=batch, sigma_data=sigma_data, dtype=dtype)
        check_counts(window=window, time_ranks=time_ranks, network_batch=network_batch, flight=flight)
        check_overlap(overlap, solver)
        check_kinds(denoiser, solver, keep_on, keep=keep, watch=watch, condition=condition, update=update)
        check_rollout(start, lead_times, history)
        hooks = check_hooks(prepare, finish, conditional=True)
        numbers = member_numbers(members_of(start) if members is None else members)
        network = BatchedDenoiser(denoiser, network_batch, padded=mode == "bitwise")
        equations, scale = equations_of(DDIM() if sampler is None else sampler, sigmas), scale_of(denoiser, sigma_data)
        check_channels(scale, shape)
        problem = memberless(network, equations, shape=shape, seed=seed, sigma_data=scale, dtype=dtype)
        problem = replace(problem, outside=OutsideNoise.of(None, noise, numbers))
        watching = Watching(progress, watch, as_group(comm).rank)
        options = EngineOptions(window, real(tol), mode, watching.after_round, flight, overlap)
        states = StartStates(start, numbers, history)

        def leads(chosen: list[int]) -> LeadTimes:
            return LeadTimes(lead_times, states.of(chosen).to(network.device, dtype), condition, update, hooks)

        solver = solver or usual_solver(equations)
        plan = plan_batches(problem, solver, options, numbers, comm, time_ranks, batch, leads=leads, count=lead_times)
        probed = probed_alike(plan, comm, FirstLead(leads), sigma_data is not None) if probe else 0
    with abort_on_error(comm, alike=False), watching.over(plan):
        drawing = BatchDrawing(plan, comm, keep, on_groups=keep_on == "groups", hook=safeguard)
        failure = drawing.run()
        drawing.report.probe_evaluations = probed
    return raise_or_return(failure, Ensemble(*drawing.finished(), drawing.report))


class FirstLead:
    """The first lead time of members, for a probe."""

    def __init__(self, leads: Callable[[list[int]], LeadTimes]):
        self.leads = leads
        self.made: dict[int, LeadTimes] = {}

    def of(self, number: int) -> LeadTimes:
        return self.made.setdefault(number, self.leads([number]))

    def conditions(self, numbers: list[int]) -> Tensor:
        return torch.cat([self.of(number).conditions(self.of(number).start, 0, [number]) for number in numbers])

    def finished(self, fields: Tensor, numbers: list[int], done: list[bool]) -> Tensor:
        rows = zip(fields, numbers, strict=True)
        return torch.cat([self.of(number).finished(self.of(number).start, x[None], 0, [number]) for x, number in rows])


class StartStates:
    """States before the first lead time, of members by their numbers."""

    def __init__(self, start: Tensor | StartFunction, numbers: list[int], history: int):
        self.start, self.history = start, history
        self.rows = {number: row for row, number in enumerate(numbers)}
        if isinstance(start, Tensor) and len(start) != len(numbers):
            raise ConfigError(f"start has {len(start)} states for {len(numbers)} members; give one for each")

    def of(self, numbers: list[int]) -> Tensor:
        """Return the states (m, h, *state) of members. Raises ConfigError unless there are `history` of each."""
        rows = [self.rows[number] for number in numbers]
        states = self.start[rows] if isinstance(self.start, Tensor) else torch.as_tensor(self.start(numbers))
        states = states.detach()[:, None] if self.history == 1 else states.detach()
        if len(states) != len(numbers) or states.ndim < 2 or states.shape[1] != self.history:
            wanted = f"({len(numbers)}, {self.history}, *state)" if self.history > 1 else f"({len(numbers)}, *state)"
            raise ConfigError(f"start gave states of shape {tuple(states.shape)}; give {wanted} for {len(numbers)} members")
        finite = states.isfinite().flatten(1).all(1).tolist()
        if not all(finite):
            raise ConfigError(f"start has NaN or Inf for member {numbers[finite.index(False)]}; give finite states")
        return states


def members_of(start: Tensor | StartFunction) -> int:
    """Return how many members a roll-out has that names none. Raises ConfigError where `start` does not tell."""
    if not isinstance(start, Tensor):
        raise ConfigError("members is missing: a start that is a function does not tell how many there are; give how many")
    return len(start)


def check_rollout(start: object, lead_times: object, history: object) -> None:
    """Raise ConfigError for an argument of `rollout` that makes no sense."""
    if not isinstance(start, Tensor) and not callable(start):
        raise ConfigError(f"start = {start!r}; give states (m, *state), or a function that returns those of member numbers")
    if isinstance(start, Tensor) and (start.ndim < 2 or not start.is_floating_point()):
        raise ConfigError(f"start has shape {tuple(start.shape)} of {start.dtype}; give states (m, *state) as real numbers")
    for name, number in (("lead_times", lead_times), ("history", history)):
        if not is_whole(number) or int(number) < 1:  # type: ignore[call-overload]
            raise ConfigError(f"{name} = {number!r}; give a whole number, at least 1")
