"""The plan of a run before it starts: all checks, what its parts cost here, and the best layout for numbers of ranks."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from parampi.diffusion.batched import BatchConditions, BatchedDenoiser
from parampi.diffusion.denoisers import Denoiser, scale_of
from parampi.engine import SamplingProblem
from parampi.engine.driven import Messages
from parampi.engine.lead_times import LeadTimes
from parampi.engine.network_calls import measure_calls
from parampi.ensemble import memberless
from parampi.errors import OutputError
from parampi.fields import check_target
from parampi.parallel import Layout
from parampi.report import count
from parampi.run.checkpoint.folder import Folder
from parampi.run.condition_source import ConditionSource, condition_source
from parampi.run.config import RunConfig
from parampi.run.hooks import network_condition, with_hooks
from parampi.run.input_files import files_below, protect_inputs
from parampi.run.inputs import Inputs, engine_options, read_inputs, sampling_options
from parampi.run.machine import Machine
from parampi.run.metadata import file_bytes
from parampi.run.model_loading import acceleration_of, load_denoiser, probe_denoiser
from parampi.run.output import choose_mode
from parampi.run.plan import check_files
from parampi.run.planning.costs import Costs
from parampi.run.planning.flights import PILOT_LEADS, from_table_in_flight, one_after_another, pilot_in_flight, reach_of
from parampi.run.planning.layouts import Forecast, Subject, alone, candidates, layouts
from parampi.run.planning.measured import costs_of, pilot
from parampi.run.planning.sweeps import Sweeps, from_pilot, from_table
from parampi.run.user_files import sha256

QUICK, FIELDS = 0.3, 16
"""Seconds for calls of one size, and most fields in a call, where a plan measures them itself."""
PILOT = 2
"""Members of a pilot."""


@dataclass(frozen=True)
class Network:
    """A run's network on this device, with its inputs and what it reads beside the state."""

    inputs: Inputs
    denoiser: Denoiser
    source: ConditionSource | None

    @property
    def problem(self) -> SamplingProblem:
        """The steps of a member, without members."""
        options, config = sampling_options(self.inputs, self.denoiser), self.inputs.config
        network = BatchedDenoiser(self.denoiser, options["network_batch"], padded=options["mode"] == "bitwise")
        return memberless(
            network,
            self.inputs.equations,
            shape=options["shape"],
            seed=config.sampling.seed,
            sigma_data=scale_of(self.denoiser, options["sigma_data"]),
            dtype=options["dtype"],
        )

    @property
    def level(self) -> float:
        """A noise level in the middle of the run's."""
        levels = self.inputs.equations.sigmas[:-1]
        return float(levels[len(levels) // 2])

    def condition(self) -> BatchConditions | None:
        """Return the condition of the first member."""
        if self.source is None:
            return None
        device = self.problem.device
        return BatchConditions(
            self.source(self.inputs.members[:1]).to(device), torch.zeros(1, dtype=torch.int64, device=device)
        )

    def rolled_out(self, member: int, leads: int) -> SamplingProblem:
        """Return the steps of so many lead times of a member, from its start whatever the number of who is drawn."""
        problem, source = self.problem, self.source
        assert source is not None

        def condition(states: Tensor, lead: int, numbers: list[int]) -> Tensor:
            return source.of_states(states, lead, [member] * len(numbers))

        start = source.nothing_before([member])[:, None].to(problem.device, problem.dtype)
        return replace(problem, leads=LeadTimes(leads, start, condition, None, self.inputs.hooks))

    def of_member(self, member: int) -> SamplingProblem:
        problem, condition = self.problem, network_condition(self.inputs, self.source, member)
        return replace(problem, conditions=None if condition is None else condition.to(problem.device))


def network_name(config: RunConfig) -> str:
    """Return what tells a network apart in a machine's file: its files, else its class, its fields' shape, and how it is
    run."""
    digests = [sha256(path) for _, path in sorted(files_below("model.weights", config.model.weights).items())]
    files = sha256_text("".join(digests))[:12] if digests else str(config.model.network)
    return " ".join(filter(None, [files, "x".join(map(str, config.model.shape)), acceleration_of(config).words()]))


def sha256_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def open_network(config: RunConfig, *, local_rank: int = 0) -> Network:
    """Read all that a run reads, and call its network for a few fields. Raises UserError as a run would."""
    inputs = read_inputs(config)
    source = condition_source(inputs, None)
    denoiser = load_denoiser(inputs, local_rank)
    inputs, case = with_hooks(inputs, denoiser, source, None)
    probe_denoiser(inputs, denoiser, source, case)
    return Network(inputs, denoiser, source)


def check_run(inputs: Inputs, ranks: Sequence[int], *, overwrite: bool) -> None:
    """Raise UserError for everything that would keep a run on so many ranks from starting. Writes nothing."""
    config = inputs.config
    protect_inputs(config, inputs.conditions.paths if inputs.conditions else [])
    if inputs.conditions:
        inputs.conditions.digest()
    folder = Folder(config.output.directory, config.output.ensemble)
    if folder.exists and not overwrite:
        raise OutputError(
            f"{folder.directory} holds an unfinished run; go on with it (parampi resume {folder.directory}), or begin anew "
            "(--overwrite)"
        )
    with no_new_folders(Path(config.output.directory)):
        check_target(Path(config.output.directory) / config.output.ensemble, overwrite)
        size = file_bytes(inputs, "gather")
        for count in ranks:
            shared = [Layout.plan(count, len(inputs.members))]
            check_files(inputs, shared, choose_mode(config.output.mode, shared, size), replaces=overwrite, comm=None)


@contextmanager
def no_new_folders(path: Path) -> Iterator[None]:
    """Remove a folder that the checks make, to see whether it can be made, and those above it."""
    new = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        yield
    finally:
        for folder in new:
            with suppress(OSError):
                folder.rmdir()


@dataclass(frozen=True)
class Prepared:
    """All that a plan is made of. `rounds_from` and `calls_from` say where rounds and calls are known from."""

    inputs: Inputs
    subject: Subject
    sweeps: Sweeps
    costs: Costs
    machine: Machine | None
    ranks_per_node: int
    device: str
    rounds_from: str
    calls_from: str

    def costs_on(self, ranks: int) -> Costs:
        """Return what things cost where so many ranks fill nodes."""
        sharing = min(ranks, self.ranks_per_node)
        costs = replace(self.costs, ranks_here=sharing if self.device == "cpu" else 1)
        if self.machine is None:
            return costs
        calls = self.machine.calls(network_name(self.inputs.config), sharing).calls
        return replace(costs, calls=[(one.fields, one.seconds, one.bytes) for one in calls])

    def best(self, ranks: int) -> Forecast:
        """Return the fastest layout of so many ranks, with the solver that is configured."""
        configured = self.inputs.config.sampling.window
        windows = candidates(self.subject.longest, [ranks], configured)
        return layouts(ranks, self.subject, self.costs_on(ranks), self.sweeps, windows)[0]

    def alone(self, ranks: int) -> Forecast:
        """Return what the serial sampler takes on so many ranks."""
        return alone(ranks, self.subject, self.costs_on(ranks))

    def nodes(self, ranks: int) -> int:
        return -(-ranks // self.ranks_per_node)


def prepare(
    network: Network, *, machine: Machine | None = None, piloted: bool = False, ranks_per_node: int | None = None
) -> Prepared:
    """Measure what a plan needs and is not known yet. Raises ConfigError."""
    inputs, problem = network.inputs, network.problem
    config, device = inputs.config, problem.device.type
    per_node = ranks_per_node or (torch.cuda.device_count() if device == "cuda" else os.cpu_count()) or 1
    calls, calls_from = calls_of(network, machine)
    most = config.parallel.network_batch or FIELDS * FIELDS
    calls = [call for call in calls if call[0] <= most] or calls[:1]
    known = machine.messages if machine else None
    messages = Messages(known.latency, known.bandwidth) if known else Messages()
    options = engine_options(config)
    costs = costs_of(
        problem, inputs.solver, options, calls, messages=messages, ranks_here=1, points=min(inputs.equations.steps, 16)
    )
    costs = replace(costs, cores=machine.cores if machine else costs.cores, apart=device == "cuda")
    sweeps, rounds_from = sweeps_of(network, piloted)
    subject = Subject(
        len(inputs.members),
        inputs.equations.steps,
        inputs.equations.evaluations * inputs.leads,
        config.parallel.batch,
        inputs.equations.causal,
        reach_of(inputs.equations, inputs.solver, options, inputs.leads).points if inputs.swept else None,
        config.parallel.overlap,
    )
    return Prepared(inputs, subject, sweeps, costs, machine, per_node, device, rounds_from, calls_from)


def calls_of(network: Network, machine: Machine | None) -> tuple[list[tuple[int, float, int]], str]:
    """Return calls of the network by their fields, as a machine's file says, else as they are here and now."""
    if machine is not None:
        entry = machine.calls(network_name(network.inputs.config), 1)
        return [(one.fields, one.seconds, one.bytes) for one in entry.calls], f"the machine file ({entry.device})"
    problem = network.problem
    single = BatchedDenoiser(network.denoiser)
    made = measure_calls(single, problem.shape, network.level, network.condition(), most=FIELDS, patience=QUICK)
    return [(one.fields, one.seconds, one.bytes) for one in made], f"calls on {problem.device}, just now"


def sweeps_of(network: Network, piloted: bool) -> tuple[Sweeps, str]:
    """Return expected rounds of all lead times by windows, and where they are known from."""
    inputs = network.inputs
    equations, leads, options = inputs.equations, inputs.leads, engine_options(inputs.config)
    reach = reach_of(equations, inputs.solver, options, leads) if inputs.swept else None
    flies = reach is not None and reach.points > equations.steps
    if piloted:
        members = inputs.members[:PILOT]
        windows = pilot_windows(equations.steps, options.window, reach.points if flies and reach else equations.steps)
        source = f"a pilot of {len(members)} in windows of {', '.join(map(str, windows))}"
        if flies:
            chains = pilot_in_flight(network.rolled_out, inputs.solver, options, members, windows, leads)
            return from_pilot(chains), f"{source}, of {count(min(leads, PILOT_LEADS), 'lead time')}"
        chains = pilot(network.of_member, inputs.solver, options, members, windows)
        return one_after_another(from_pilot(chains), leads), source
    evaluated, name = equations.evaluations / equations.steps, type(inputs.solver).__name__
    tolerance, noisy = options.tolerance, equations.stochastic
    sweeps = from_table(name, equations.steps, noisy=noisy, tolerance=tolerance, evaluated=evaluated)
    source = "the table of solvers, which is right to about a third"
    return from_table_in_flight(sweeps, equations.steps, leads) if flies else one_after_another(sweeps, leads), source


def pilot_windows(steps: int, configured: int | None, longest: int) -> list[int]:
    """Return the windows of a pilot: three that span a lead time, those that reach over its end, and the configured one."""
    beyond = {size for size in (2 * steps, 4 * steps, longest) if steps < size <= longest}
    return sorted({min(longest, size) for size in (4, 12, steps // 3, configured or steps)} - {0, 1} | {min(steps, 2)} | beyond)
