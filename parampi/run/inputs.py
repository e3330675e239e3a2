"""The inputs that a configuration names, read and checked on every rank: steps, data, conditions. All but the weights."""

import glob
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import torch
from torch import Tensor

import parampi
from parampi.diffusion.channel_scales import as_scale, check_channels
from parampi.diffusion.denoisers import Denoiser
from parampi.engine import EngineOptions
from parampi.engine.arguments import member_numbers
from parampi.engine.case_hooks import CaseHooks, FinishFunction, PrepareFunction
from parampi.engine.window_reach import WindowReach
from parampi.errors import ConfigError, DataError
from parampi.fields import PER_CASE, Conditions, DatasetStatistics, Rollout
from parampi.fields.inputs.grid_files import read_grid
from parampi.fields.inputs.grids import GridMetadata
from parampi.fields.inputs.horizontal import grid_of_statistics
from parampi.parallel import Mode
from parampi.parallel.agree import on_all
from parampi.run import card as cards
from parampi.run.any_rank import described, with_dimensions
from parampi.run.card import Card
from parampi.run.config import RunConfig, build
from parampi.run.config.values import MOST_MEMBERS
from parampi.run.input_files import file_digests
from parampi.run.model_clock import check_stability, check_stated, clock_of
from parampi.run.user_files import sha256
from parampi.samplers import Equations, Sampler, equations_of
from parampi.solvers import Solver, Spectral, check_bound, check_solver
from parampi.solvers.spectral.solver import basis_choice

if TYPE_CHECKING:
    from parampi.parallel.group import Comm


CONDITION_FILES, OUTPUT_GRID = OTHER_INPUTS = ("condition.files", "output.grid")
"""Keys of digests that ensemble files do not have."""


@dataclass(frozen=True)
class Inputs:
    """The inputs of a run, the same on all ranks.

    sigmas, sampler, solver, equations, window   what is computed
    swept        whether the lead times of a roll-out are one chain, swept together; else they are drawn one after another
    statistics   of the data, with the network's channels in the network's order
    conditions   None where there are none
    cells        what the output takes over of a grid file
    members      numbers, those of all cases where there are conditions
    leads        how many lead times; 1 where there is no roll-out
    hooks        functions that go round the network, which are loaded after it
    """

    config: RunConfig
    sigmas: Tensor
    sampler: Sampler
    solver: Solver
    equations: Equations
    window: int
    statistics: DatasetStatistics
    conditions: Conditions | None
    cells: GridMetadata
    members: list[int]
    leads: int
    hooks: CaseHooks = field(default_factory=CaseHooks)

    @property
    def swept(self) -> bool:
        return self.leads > 1 and not self.solver.wavefront


class SamplingOptions(TypedDict):
    """The arguments of `parampi.sample` that a configuration decides, whoever draws whichever members."""

    denoiser: Denoiser
    shape: list[int]
    sigmas: Tensor
    sampler: Sampler
    solver: Solver
    window: int | None
    tol: float
    sigma_data: float
    mode: Mode
    dtype: torch.dtype
    network_batch: int | None
    prepare: PrepareFunction | None
    finish: FinishFunction | None
    overlap: bool


def sampling_options(inputs: Inputs, denoiser: Denoiser) -> SamplingOptions:
    config = inputs.config
    return SamplingOptions(
        denoiser=denoiser,
        shape=config.model.shape,
        sigmas=inputs.sigmas,
        sampler=inputs.sampler,
        solver=inputs.solver,
        window=config.sampling.window,
        tol=config.sampling.tolerance,
        sigma_data=as_scale(config.model.sigma_data),
        mode=config.parallel.mode,
        dtype=getattr(torch, config.parallel.dtype),
        network_batch=config.parallel.network_batch,
        prepare=inputs.hooks.prepare,
        finish=inputs.hooks.finish,
        overlap=config.parallel.overlap is True,  # where `auto` is left, nothing was measured
    )


def engine_options(config: RunConfig) -> EngineOptions:
    """Return how far windows reach by a configuration, and how exact they are."""
    sampling = config.sampling
    return EngineOptions(sampling.window, sampling.tolerance, config.parallel.mode, flight=sampling.flight)


def read_inputs(config: RunConfig, comm: "Comm | None" = None) -> Inputs:
    """Read what a configuration names. All ranks of `comm` make the same call; a mistake is a UserError on all of them."""
    blamed_channels(config)
    sigmas, sampler, solver = build(config, "sigmas"), build(config, "sampler"), build(config, "solver")
    members = member_numbers(config.sampling.members)
    equations = equations_of(sampler, sigmas)
    check_solver(solver, equations, tuple(config.model.shape), config.sampling.window)
    clock_of(config, sigmas)
    check_stability(config, equations)
    window = solver.window(config.sampling.window, equations)
    card = on_all(comm, lambda: read_card(config))
    on_all(comm, lambda: check_stated(config, card.clock, sigmas))
    statistics = on_all(comm, lambda: read_statistics(config, card))
    conditions = on_all(comm, lambda: open_conditions(config, card, statistics))
    cells = on_all(comm, lambda: read_cells(config, statistics))
    config = with_indices(config, conditions)
    leads = 1
    if conditions is not None:
        members = numbered(members, conditions.cases.indices)
        leads = len(conditions.leads.values) if conditions.leads else 1
    if leads > 1 and not solver.wavefront:
        window = WindowReach.over(equations, solver, engine_options(config), leads).points
    solver = on_all(comm, lambda: checked_solver(config, with_default_prior(solver, statistics, config)))
    return Inputs(
        config=config,
        sigmas=sigmas,
        sampler=sampler,
        solver=solver,
        equations=equations,
        window=window,
        statistics=statistics,
        conditions=conditions,
        cells=cells,
        members=members,
        leads=leads,
    )


def blamed_channels(config: RunConfig) -> None:
    """Raise ConfigError unless there is a standard deviation for each channel, or one for all."""
    try:
        check_channels(as_scale(config.model.sigma_data), config.model.shape)
    except ConfigError as error:
        raise ConfigError(f"model.{error}") from None


def read_card(config: RunConfig) -> Card:
    """Return what the weights say of their network. Raises ConfigError where the configuration says otherwise."""
    weights = config.model.weights
    card = cards.read(weights) if weights else Card()
    source = "the card in the network's weights" if config.model.network else f"model.weights = {weights}"
    card.agree(config.model.predicts, config.model.sigma_data, source)
    if config.condition is None and card.condition:
        card.condition_order([])
    return card


def read_statistics(config: RunConfig, card: Card) -> DatasetStatistics:
    """Return the statistics of the network's channels, in its order. Raises ConfigError where the grid is another one."""
    path, shape = Path(config.data.statistics), tuple(config.model.shape)
    data = DatasetStatistics.from_file(path)
    data = data.select(card.order(data.names, f"data.statistics = {path}"))
    return described(data, shape, config.data.field_axes, path)


def open_conditions(config: RunConfig, card: Card, statistics: DatasetStatistics) -> Conditions | None:
    """Read what the files of conditions say of themselves; their fields are read when members are drawn."""
    section = config.condition
    if section is None:
        return None
    own_statistics = DatasetStatistics.from_file(Path(section.statistics or config.data.statistics))
    if section.statistics is None and config.data.field_axes and statistics.dimensions and own_statistics.dimensions is None:
        own_statistics = with_dimensions(own_statistics, statistics.dimensions)
    files = [section.files] if isinstance(section.files, str) else section.files
    paths = [Path(path) for pattern in files for path in matching(pattern)]
    static = (Path(section.static), section.static_variables) if section.static else None
    rollout = Rollout(section.lead_times, section.lead_step, section.feed, section.forcing_at) if section.lead_times else None
    return Conditions(
        paths,
        section.variables,
        own_statistics,
        select=section.select,
        missing=section.missing,
        static=static,
        rollout=rollout,
        by_name=card.condition_order,
        channels=statistics.names,
        axes=section.axes,
    )


def matching(pattern: str) -> list[str]:
    """Return the files that a pattern stands for, or the one of that name. Raises DataError where a pattern fits none."""
    folder, name = os.path.split(pattern)
    if os.path.lexists(pattern) or not glob.has_magic(pattern):
        return [pattern]
    paths = sorted(glob.glob(os.path.join(glob.escape(folder), name) if os.path.isdir(folder) else pattern))
    if not paths:
        raise DataError(f"condition.files: no file fits {pattern}; is the folder right?")
    return paths


def with_indices(config: RunConfig, conditions: Conditions | None) -> RunConfig:
    """Return the configuration with indices in the place of dates of cases, as it is written into files."""
    section = config.condition
    if section is None or conditions is None or not any(isinstance(case, str) for case in section.select or ()):
        return config
    return config.model_copy(update={"condition": section.model_copy(update={"select": list(conditions.cases.indices)})})


def read_cells(config: RunConfig, statistics: DatasetStatistics) -> GridMetadata:
    """Return what the ensemble file takes over from a file of the grid."""
    output = config.output
    if output.grid is None:
        return GridMetadata()
    path, copy, mask = Path(output.grid), output.grid_variables, output.mask
    if statistics.dimensions is not None:
        raise ConfigError(
            f"output.grid = {path} is for fields (y, x), and these have the axes {list(statistics.axis_names)}; leave it out: "
            f"coordinates are those that parampi stats --field-axes takes from the data"
        )
    return read_grid(path, grid=grid_of_statistics(statistics), copy=copy, mask=mask)


def numbered(members: list[int], cases: list[int]) -> list[int]:
    """Return the numbers of the members of all cases; they do not depend on how many others there are."""
    if max(members) >= PER_CASE or max(cases) >= PER_CASE:
        raise ConfigError(f"with a condition, members and cases are numbered below {PER_CASE}; draw them in several runs")
    if len(members) * len(cases) > MOST_MEMBERS:
        raise ConfigError(
            f"{len(members)} members of {len(cases)} cases are {len(members) * len(cases)}, and a run draws at most "
            f"{MOST_MEMBERS}; draw fewer cases at once (condition.select), or members in several runs"
        )
    return [case * PER_CASE + member for case in cases for member in members]


def checked_solver(config: RunConfig, solver: Solver) -> Solver:
    """Return the solver. Raises ConfigError where its basis or its files do not fit fields of this shape."""
    try:
        check_bound(solver, tuple(config.model.shape), as_scale(config.model.sigma_data))
    except ConfigError as error:
        raise ConfigError(f"sampling.solver: {error}") from error
    return solver


def with_default_prior(solver: Solver, statistics: DatasetStatistics, config: RunConfig) -> Solver:
    """Return the solver; a spectral one that names no statistics, and no other basis, gets those of the data in the modes of
    their spectrum, unless what is drawn are no data before they are finished. Raises ConfigError for options of a basis that do
    not fit them."""
    if not isinstance(solver, Spectral) or solver.statistics is not None or config.model.finish is not None:
        return solver
    name, options = basis_choice(solver.basis)
    if not statistics.has_spectrum:
        return solver
    if name not in (None, statistics.geometry.basis):
        return solver
    try:
        return replace(solver, basis=None, statistics=parampi.Statistics.of_data(statistics, **options))
    except ConfigError as error:
        raise ConfigError(f"sampling.solver: {error}") from error


def input_digests(inputs: Inputs, recorded: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what tells whether the files that decide the fields are the same, by the keys that name them; `recorded` is what
    an earlier run says of them."""
    digests = file_digests(inputs.config, recorded)
    if inputs.conditions is not None:
        digests[CONDITION_FILES] = inputs.conditions.digest()
    if inputs.config.output.grid:
        digests[OUTPUT_GRID] = sha256(Path(inputs.config.output.grid))
    return digests
