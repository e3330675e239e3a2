"""The plan of a run: which ranks draw which members, what an earlier run left, and which files are written."""

import json
import os
import shutil
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parampi.errors import ConfigError, OutputError
from parampi.fields import EnsembleAxes, EnsembleSchema, StoreTarget, check_target
from parampi.parallel import Layout
from parampi.parallel.agree import on_root
from parampi.run.artifacts import figure_obstacle
from parampi.run.checkpoint.folder import Folder, same_inputs, same_run
from parampi.run.config import RunConfig
from parampi.run.earlier_files import require_own_files
from parampi.run.input_files import file_digests, protect_inputs
from parampi.run.inputs import OTHER_INPUTS, Inputs, input_digests
from parampi.run.metadata import INPUTS_DIGESTS, content, describe, file_bytes, versions
from parampi.run.output import EnsembleOutput, choose_mode, store_class, writing_ranks
from parampi.run.user_sources import forget_networks

if TYPE_CHECKING:
    from parampi.parallel.group import Comm


@dataclass(frozen=True)
class Plan:
    """The plan of a run, the same on all ranks. Lists over lead times have one entry where there is no roll-out.

    finished     members that an earlier run finished, for each lead time
    missing      members left to draw, for each lead time; once where these are swept together
    layouts      members and points over ranks, for each entry of `missing`
    unfinished   where members that were begun were left, by their numbers as text
    replaces     whether an ensemble file that exists is replaced
    resumes      whether an earlier run goes on
    """

    inputs: Inputs
    folder: Folder
    finished: list[list[int]]
    missing: list[list[int]]
    layouts: list[Layout]
    unfinished: dict[str, list[Any]]
    mode: str
    attributes: dict[str, Any]
    replaces: bool
    resumes: bool

    @property
    def config(self) -> RunConfig:
        return self.inputs.config

    @property
    def directory(self) -> Path:
        return Path(self.config.output.directory)

    @property
    def ensemble_file(self) -> Path:
        return self.directory / self.config.output.ensemble

    @property
    def figure_obstacle(self) -> str:
        """Why the figure that is configured cannot be drawn; "" where it can."""
        output = self.config.output
        return figure_obstacle(self.config, self.mode, self.inputs.statistics) if output.figure else ""

    @property
    def keeps_checkpoints(self) -> bool:
        return self.config.checkpoint.every is not None

    @property
    def unit(self) -> str:
        """The noun for what is counted: members, or their fields at several lead times."""
        return "member" if self.inputs.leads == 1 else "field"


def make_plan(inputs: Inputs, folder: Folder, comm: "Comm | None", *, overwrite: bool, resume: bool) -> Plan:
    """Decide who draws what, and check that all files can be written. Keeps other jobs out of the folder from now on.

    All ranks of `comm` make the same call; a mistake is a UserError on all of them.
    """
    config, ranks = inputs.config, 1 if comm is None else comm.Get_size()
    on_root(comm, lambda: protect_inputs(config, inputs.conditions.paths if inputs.conditions else []))
    on_root(comm, lambda: inputs.conditions and inputs.conditions.digest())  # looks at all of them
    finished, unfinished, run = on_root(comm, lambda: take_up(inputs, folder, overwrite, resume))
    missing = [unfinished_of(inputs.members, members) for members in (whole(finished) if inputs.swept else finished)]
    layouts = [layout_of(config, ranks, len(members), resume) for members in missing]
    mode = choose_mode(config.output.mode, layouts, file_bytes(inputs, "gather"))
    on_root(comm, lambda: check_files(inputs, layouts, mode, replaces=overwrite or resume, comm=comm))
    attributes: dict[str, Any] = on_root(comm, lambda: describe(config, layouts[0], run))
    return Plan(
        inputs=inputs,
        folder=folder,
        finished=finished,
        missing=missing,
        layouts=layouts,
        unfinished=unfinished,
        mode=mode,
        attributes=attributes,
        replaces=on_root(comm, lambda: overwrite or (resume and os.path.lexists(config.output.files()["ensemble"]))),
        resumes=resume,
    )


def take_up(inputs: Inputs, folder: Folder, overwrite: bool, resume: bool) -> tuple[list[list[int]], dict[str, list[Any]], str]:
    """Return the members that an earlier attempt finished, for each lead time, where others are that were begun, and the name
    of the run; on rank 0, which keeps other jobs out."""
    config, directory = inputs.config, Path(inputs.config.output.directory)
    if resume:
        folder.about()
    elif folder.exists and not overwrite:
        raise OutputError(
            f"{directory} holds an unfinished run; go on with it (parampi resume {directory}), or begin anew (--overwrite)"
        )
    nothing: list[list[int]] = [[] for _ in range(inputs.leads)]
    if config.checkpoint.every is None and not resume:
        return nothing, {}, uuid.uuid4().hex
    check_target(directory / config.output.ensemble, overwrite or resume)
    folder.lock()
    if not resume:
        return nothing, {}, uuid.uuid4().hex
    about = folder.about()
    forget_networks()  # what an earlier run of this process has imported says nothing of this one
    same_run(folder, config.as_dict(), input_digests(inputs, about.inputs))
    if not overwrite:
        require_own_files(config.output.files(), about)
    finished = [folder.finished(inputs.members, lead, config.model.shape) for lead in range(inputs.leads)]
    if inputs.swept:
        done = whole(finished)[0]
        folder.prune_rounds(done)
        unfinished = folder.locations(unfinished_of(inputs.members, done))
        finished, unfinished = before_rounds(finished, unfinished)
    else:
        lead = next((lead for lead, members in enumerate(finished) if len(members) < len(inputs.members)), 0)
        folder.prune_rounds(finished[lead], lead)
        unfinished = folder.locations(unfinished_of(inputs.members, finished[lead]), lead)
    for line in [*folder.damaged, *other_versions(about.versions.model_dump())]:
        print(f"parampi: {line}", file=sys.stderr, flush=True)
    return finished, unfinished, about.run


def whole(finished: list[list[int]]) -> list[list[int]]:
    """Return, as one list, the members that are finished at all lead times."""
    return [[member for member in finished[0] if all(member in members for members in finished[1:])]]


def before_rounds(finished: list[list[int]], unfinished: dict[str, list[Any]]) -> tuple[list[list[int]], dict[str, list[Any]]]:
    """Return what counts as finished, for each lead time of a chain, and the locations of members that go on: a member goes on
    from its last round that was kept, and draws again what it finished after that. Where a lead time before that round is not
    whole, it begins anew."""
    done, sets = set(whole(finished)[0]), [set(members) for members in finished]
    begun = {int(member): int(location[3]) for member, location in unfinished.items()}
    usable = {member: lead for member, lead in begun.items() if all(member in sets[earlier] for earlier in range(lead))}
    counted = [
        [member for member in members if member in done or lead < usable.get(member, 0)]
        for lead, members in enumerate(finished)
    ]
    return counted, {str(member): unfinished[str(member)] for member in usable}


def with_sources(plan: Plan, comm: "Comm | None") -> Plan:
    """Return the plan with the digests of all that decides the fields, sources that the network has imported included.

    Raises ConfigError where a resumed run began with other sources.
    """
    digests = on_root(comm, lambda: checked_digests(plan))
    return replace(plan, attributes=plan.attributes | {INPUTS_DIGESTS: json.dumps(digests)})


def checked_digests(plan: Plan) -> dict[str, str]:
    """Return the digests of files; those that are not files of one name were compared before."""
    if not plan.resumes:
        return file_digests(plan.config)
    about = plan.folder.about()
    digests = file_digests(plan.config, about.inputs)
    others = {name: digest for name, digest in about.inputs.items() if name in OTHER_INPUTS}
    same_inputs(plan.folder, about, digests | others)
    return digests


def other_versions(before: dict[str, str]) -> list[str]:
    """Return what to say of libraries that are not those a run began with."""
    return [
        f"this run began with {name} {before[name]}, and goes on with {now}: the last bits of fields may differ"
        for name, now in versions().items()
        if before.get(name, now) != now
    ]


def unfinished_of(members: Sequence[int], finished: Sequence[int]) -> list[int]:
    """Return the members that are still to be drawn."""
    done = set(finished)
    return [member for member in members if member not in done]


def layout_of(config: RunConfig, ranks: int, missing: int, resume: bool) -> Layout:
    """Return the layout that is configured; for the few members that a resumed run lacks, only where there are enough."""
    members, time_ranks = max(missing, 1), config.parallel.time_ranks
    too_few = resume and time_ranks is not None and ranks // time_ranks > members
    return Layout.plan(ranks, members, None if too_few else time_ranks)


def check_files(inputs: Inputs, layouts: list[Layout], mode: str, *, replaces: bool, comm: "Comm | None") -> None:
    """Raise UserError for files that cannot be written."""
    config, output = inputs.config, inputs.config.output
    for path in output.files().values():
        if not path.parent.resolve().is_relative_to(Path(output.directory).resolve()):
            raise OutputError(f"{path} leads out of {output.directory} by a link; remove the link, or choose another name")
        check_target(path, replaces)
    written = content(output, mode).chosen(inputs.statistics.names)
    if output.initial_state and inputs.conditions:
        inputs.conditions.require_states_of(written)
    store, keeps_checkpoints = store_class(mode), config.checkpoint.every is not None
    one_by_one = inputs.leads > 1 and not inputs.swept
    if one_by_one and store.writers == "root" and layouts[0].groups > 1 and not keeps_checkpoints:
        raise ConfigError(
            f"checkpoint.every = null and output.mode = {mode}: results would be with rank 0 alone, and other ranks could "
            f"not start the next lead time from them; use output.mode = virtual, or keep checkpoints"
        )
    store.check(content(output, mode), comm)
    if store.schema_file and not output.compression:
        require_room(Path(output.directory), file_bytes(inputs, mode))


def require_room(directory: Path, size: int) -> None:
    """Raise OutputError where a file of so many bytes is larger than what is free on the disk."""
    free = shutil.disk_usage(directory).free
    if size > free:
        raise OutputError(
            f"the ensemble file needs {size / 1e9:.3g} GB, and the disk of {directory} has {free / 1e9:.3g} GB free; draw "
            f"fewer members or variables, compress them (output.compression), or choose another disk"
        )


def axes_of(inputs: Inputs) -> EnsembleAxes:
    """Return the axes of the ensemble file."""
    conditions, output = inputs.conditions, inputs.config.output
    return (
        EnsembleAxes(inputs.members)
        if conditions is None
        else EnsembleAxes(inputs.members, conditions.cases, conditions.leads, output.order, output.initial_state)
    )


def open_output(plan: Plan, comm: "Comm | None") -> EnsembleOutput:
    """Return this rank's part in writing the ensemble, to be entered by all ranks."""
    inputs = plan.inputs
    schema = EnsembleSchema(
        inputs.statistics,
        axes_of(inputs),
        seed=plan.config.sampling.seed,
        attributes=plan.attributes,
        content=content(plan.config.output, plan.mode),
        grid=inputs.cells,
    )
    return EnsembleOutput(
        StoreTarget(plan.ensemble_file, schema, plan.attributes["parampi_ensemble"], plan.replaces),
        plan.mode,
        comm=comm,
        writers=writing_ranks(plan.mode, plan.layouts),
        earlier=[(lead, member) for lead, members in enumerate(plan.finished) for member in members],
    )
