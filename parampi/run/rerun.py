"""One member of an ensemble file drawn once more, from what the file says of its making, and compared with what it holds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from parampi.diffusion.noise import lead_seed
from parampi.ensemble import sample
from parampi.errors import ConfigError, DataError
from parampi.fields import PER_CASE, open_ensemble
from parampi.fields.channels import LevelGroup, group_channels
from parampi.fields.netcdf_files import read_mapping
from parampi.fields.stores.check import channels
from parampi.fields.stores.reader import first_drawn
from parampi.parallel import as_group
from parampi.parallel.agree import on_all, on_root
from parampi.parallel.launch import place_on_node
from parampi.parallel.silent_exit import no_silent_exit
from parampi.run import metadata
from parampi.run.any_rank import physical
from parampi.run.condition_source import ConditionSource, condition_source
from parampi.run.config import RunConfig, apply, load, resolved
from parampi.run.hooks import with_hooks
from parampi.run.input_files import file_digests, source_digests
from parampi.run.inputs import Inputs, read_inputs, sampling_options
from parampi.run.model_loading import load_denoiser, probe_denoiser
from parampi.run.stored_cases import CONFIG, case_shape, cases_of, require_case
from parampi.run.stored_records import Stored, StoredConfig, StoredDigests, validated
from parampi.run.swept import drawn_together
from parampi.run.threads import as_many_threads
from parampi.run.trust import code_of, require_trust
from parampi.run.user_sources import forget_networks

if TYPE_CHECKING:
    from parampi.parallel.group import Comm

Floats = NDArray[np.floating[Any]]
R = TypeVar("R", bound=Stored)


@dataclass(frozen=True)
class MemberComparison:
    """A member drawn again: relative L2 differences by variable, 0 where all bits are equal, and the largest allowed."""

    member: int
    case: int | None
    differences: dict[str, float]
    allowed: float

    @property
    def same(self) -> bool:
        """Whether they agree."""
        return all(difference <= self.allowed for difference in self.differences.values())

    def table(self) -> str:
        which = f"member {self.member}" + ("" if self.case is None else f" of case {self.case}")
        lines = [
            f"{which}: {name} is {'identical to the last bit' if not difference else f'different by {difference:.1e}'}"
            for name, difference in self.differences.items()
        ]
        return "\n".join(lines)


def rerun(
    path: Path,
    member: int,
    case: int | None = None,
    *,
    comm: "Comm | None" = None,
    variables: Sequence[str] = (),
    own_config: Path | None = None,
    overrides: Sequence[str] = (),
    trust: bool = False,
) -> MemberComparison:
    """Draw a member (of a case) of an ensemble file again, on all ranks of `comm`, and compare what the file has of it, or some
    `variables`. Every rank makes the same call.

    The configuration is the file's, or that of `own_config`, with `overrides` such as where an input is now. Network and
    plugins that the file alone names are run only if they are those it was drawn with, or with `trust`.

    Raises DataError where the file does not say how it was made, does not have the member, or holds another one; ConfigError
    where a file that decides the fields (weights, statistics, the network's source, plugins) is no longer what it was.
    """
    tree, digests, threads = on_root(comm, lambda: description(path, own_config, overrides, trust))
    config = on_all(comm, lambda: resolved(tree, [], path))
    case = on_all(comm, lambda: the_case(path, case))
    stored = on_all(comm, lambda: stored_fields(path, member, case, variables))
    with as_many_threads(threads, speaks=comm is None or comm.Get_rank() == 0), no_silent_exit(comm):
        fields = draw_member(config, digests, stored, member, case, path=path, comm=comm)
    differences = on_root(comm, lambda: relative_differences(stored, fields))
    comparison = MemberComparison(member, case, differences, allowed_difference(config))
    if not comparison.same:
        raise DataError(
            f"{path} does not hold what is drawn again: {comparison.table()}, but {expectation(config)}; was it drawn by "
            f"another version, or changed?"
        )
    return comparison


def allowed_difference(config: RunConfig) -> float:
    """Return the largest relative L2 difference of two runs: twice the tolerance, or none in bitwise mode; and what the file
    rounds."""
    rounding = 10.0 ** (1 - config.output.digits) if config.output.digits else 0.0
    return rounding + (0.0 if config.parallel.mode == "bitwise" else 2 * config.sampling.tolerance)


def expectation(config: RunConfig) -> str:
    """Return what two runs of a configuration have in common."""
    if config.parallel.mode == "bitwise":
        rounded = f" before they are rounded to {config.output.digits} digits" if config.output.digits else ""
        return f"two runs in bitwise mode have the same bits{rounded}, on one kind of machine and with as many threads per rank"
    rounded = f", and by rounding to {config.output.digits} digits" if config.output.digits else ""
    return f"two runs to a tolerance of {config.sampling.tolerance:g} differ by at most twice that{rounded}"


def read_description(path: Path) -> list[Any]:
    """Return the configuration of an ensemble file, the digests of the files that it reads, and the threads of each of its
    ranks, None where it does not say. Raises DataError."""
    with open_ensemble(path) as file:
        stored_mapping(file, path, CONFIG, StoredConfig)
        digests = stored_mapping(file, path, metadata.INPUTS_DIGESTS, StoredDigests)
        threads = getattr(file, metadata.THREADS, None)
        number = int(threads) if isinstance(threads, int | np.integer) else None
        return [read_mapping(file, path, CONFIG), digests.model_dump(), number]


def stored_mapping(file: Any, path: Path, name: str, schema: type[R]) -> R:
    """Return the mapping of a global attribute as its schema has it. Raises DataError."""
    if name not in file.ncattrs():
        raise DataError(f"{path} does not say how it was made (it has no attribute {name}); only parampi's files do")
    try:
        return validated(schema, read_mapping(file, path, name))
    except ValueError as error:
        raise DataError(f"{path}: in the attribute {name}, {error}; bring the file back as it was written") from None


def description(path: Path, own_config: Path | None, overrides: Sequence[str], trust: bool) -> list[Any]:
    """Return the configuration to draw with, the digests of the files that the ensemble was drawn from, and its threads.

    Raises ConfigError where the configuration is the file's, and asks to run what is not known.
    """
    tree, digests, threads = read_description(path)
    if own_config:
        return [load(own_config, overrides).as_dict(), digests, threads]
    own: dict[str, Any] = {}
    for override in overrides:
        apply(own, override)
        apply(tree, override)
    if not trust:
        require_trust(code_of(tree), digests, code_of(own), path)
    return [tree, digests, threads]


def stored_fields(path: Path, member: int, case: int | None, variables: Sequence[str] = ()) -> dict[str, Floats]:
    """Return the fields of a finished member by variable; all that the file has, if none are named. Raises DataError."""
    with open_ensemble(path) as file:
        names = channels(file)
        missing = [name for name in variables if name not in names]
        if missing or not names:
            has = f"it has {', '.join(names)}" if names else "it has statistics over members alone"
            raise DataError(f"{path} has no fields of members{' of ' + ', '.join(missing) if missing else ''}; {has}")
        realizations = file["realization"][:].tolist()
        if member not in realizations:
            raise DataError(f"{path} has no member {member}; it has {', '.join(map(str, realizations))}")
        row: tuple[int, ...] = (realizations.index(member),)
        condition = stored_mapping(file, path, CONFIG, StoredConfig).condition
        shape = case_shape(file, path, condition)
        if condition is not None:
            row += (cases_of(condition, shape).index(require_case(cases_of(condition, shape), case, path)),)
        elif case is not None:
            raise DataError(f"{path} has no cases, as it was drawn without conditions; leave --case {case} out")
        if not np.all(file["complete"][row]):
            raise DataError(f"member {member} of {path} was not finished; there is nothing to compare with")
        return {name: np.ma.filled(file[name][row], np.nan)[first_drawn(file) :] for name in variables or names}


def the_case(path: Path, case: int | None) -> int | None:
    """Return the case that is drawn again: the only one where none is said, None where an ensemble has no cases."""
    with open_ensemble(path) as file:
        condition = stored_mapping(file, path, CONFIG, StoredConfig).condition
        cases = [] if condition is None else cases_of(condition, case_shape(file, path, condition))
        return cases[0] if case is None and len(cases) == 1 else case


def draw_member(
    config: RunConfig,
    digests: dict[str, str],
    stored: dict[str, Floats],
    member: int,
    case: int | None,
    *,
    path: Path,
    comm: "Comm | None",
) -> dict[str, Floats]:
    """Return the member's fields by variable, float32, those of all lead times in a roll-out, on rank 0; nothing is written."""
    number = member if case is None else case * PER_CASE + member
    forget_networks()  # what an earlier run of this process has imported says nothing of this one
    on_all(comm, lambda: same_files(config, digests))
    inputs = replace(read_inputs(config, comm), members=[number])
    on_all(comm, lambda: require_comparable(path, stored, inputs))
    source, statistics = condition_source(inputs, None), inputs.statistics
    local_rank, _ = place_on_node(comm)
    denoiser = on_all(comm, lambda: load_denoiser(inputs, local_rank))
    inputs, first = with_hooks(inputs, denoiser, source, comm)
    on_all(comm, lambda: probe_denoiser(inputs, denoiser, source, first))
    on_all(comm, lambda: same_sources(config, digests))
    states: list[Floats] = []
    if inputs.swept:
        states = drawn_together(inputs, number, denoiser, comm)
        return by_variable(inputs, states) if states else {}
    for lead in range(inputs.leads):
        lead_source = source.at(lead, as_group(comm)) if source else None

        def keep(state: torch.Tensor, _: Any, source: ConditionSource | None = lead_source) -> None:
            if source:
                source.remember(number, state)
            states.append(inputs.cells.masked(physical(statistics, state)).astype(np.float32))

        sample(
            members=[number], seed=lead_seed(config.sampling.seed, lead), comm=comm, keep=keep, condition=lead_source,
            case_of=lead_source.case_of if lead_source else None, probe=False, **sampling_options(inputs, denoiser),
        )  # fmt: skip
    return by_variable(inputs, states) if states else {}


def require_comparable(path: Path, stored: dict[str, Floats], inputs: Inputs) -> None:
    """Raise DataError, before anything is drawn, for fields in a file that its configuration does not draw."""
    drawn = by_variable(inputs, [np.zeros(inputs.statistics.shape, np.float32)] * inputs.leads)
    for name, field in stored.items():
        if name not in drawn:
            raise DataError(f"{path} has fields of {name}, which its configuration does not draw; it draws {', '.join(drawn)}")
        if field.shape != drawn[name].shape or field.dtype.kind != "f":
            raise DataError(
                f"{path}: {name} is {field.dtype} of shape {field.shape}, and its configuration draws float32 of shape "
                f"{drawn[name].shape}; bring the file back as it was written"
            )


def by_variable(inputs: Inputs, states: list[Floats]) -> dict[str, Floats]:
    """Return fields (C, H, W) of each lead time as the file has them."""
    names, rollout = inputs.statistics.names, inputs.conditions is not None and inputs.conditions.leads is not None
    fields = np.stack(states, axis=1) if rollout else states[0]
    chosen = metadata.content(inputs.config.output, "gather").chosen(names)
    fields = fields[[names.index(name) for name in chosen]]
    fields = fields.reshape(*fields.shape[:-2], *inputs.statistics.sizes)
    return {group.variable: of_group(fields, group, len(inputs.statistics.sizes)) for group in group_channels(chosen)}


def of_group(fields: Floats, group: LevelGroup, rank: int) -> Floats:
    """Return the channels (C, [lead time], y, x) of one variable as the file has them, levels in front of the `rank` axes of
    fields."""
    if group.levels is None:
        return np.asarray(fields[group.channels[0]])
    return np.stack([fields[channel] for channel in group.channels], axis=-1 - rank)


def same_files(config: RunConfig, digests: dict[str, str]) -> None:
    """Raise ConfigError where a file that decides the fields is no longer what the ensemble was drawn with."""
    files = file_digests(config, digests)
    for name in sorted(files.keys() | digests.keys()):
        if files.get(name) != digests.get(name):
            reason = "there is none" if name not in files else "its SHA-256 is another one" if name in digests else "no SHA-256"
            raise ConfigError(f"{name} is not the file that the ensemble was drawn with ({reason}); bring that one back")


def same_sources(config: RunConfig, digests: dict[str, str]) -> None:
    """Raise ConfigError where the network has imported a source that the ensemble was not drawn with."""
    for name, digest in source_digests(config).items():
        if digests.get(name) != digest:
            reason = "its SHA-256 is another one" if name in digests else "no SHA-256"
            raise ConfigError(f"{name} is not a file that the ensemble was drawn with ({reason}); bring back what there was")


def relative_differences(stored: dict[str, Floats], fields: dict[str, Floats]) -> dict[str, float]:
    """Return relative L2 differences by variable; points that are masked in both count as equal."""
    differences = {}
    for name, old in stored.items():
        new = fields[name]
        apart = np.where(np.isnan(new) & np.isnan(old), 0.0, new.astype(np.float64) - old)
        size = max(float(np.linalg.norm(np.nan_to_num(values).ravel())) for values in (old, new))
        gap = float(np.linalg.norm(apart.ravel())) / max(size, 1e-300)
        differences[name] = 0.0 if np.array_equal(new, old, equal_nan=True) else max(gap, 1e-300)
    return differences
