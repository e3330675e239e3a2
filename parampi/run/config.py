"""The configuration of a run: one strict YAML file and `key=value` overrides, checked as a whole before any work."""

import difflib
import inspect
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_type_hints

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model, model_validator

from parampi.diffusion.schedules import SCHEDULES
from parampi.ensemble import member_numbers
from parampi.errors import ConfigError
from parampi.samplers import SAMPLERS
from parampi.solvers import SOLVERS

REGISTRIES: dict[str, dict[str, Any]] = {"sigmas": SCHEDULES, "sampler": SAMPLERS, "solver": SOLVERS}
CHOICES = {("sampling", "sigmas"): "schedule", ("sampling", "sampler"): "name", ("sampling", "solver"): "name"}
PATHS = (("model", "network"), ("model", "weights"), ("data", "statistics"), ("condition", "files"),
         ("condition", "statistics"), ("condition", "static"), ("output", "directory"), ("output", "grid"))  # fmt: skip


class Strict(BaseModel):
    """A section: unknown keys and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def options(key: str, name: str, target: Callable[..., Any]) -> type[Strict]:
    """The configuration of one registered choice, read off its signature: `key: name` and its options."""
    hints, parameters = get_type_hints(target), inspect.signature(target).parameters
    fields: dict[str, Any] = {key: (Literal[name], ...)}
    for option, parameter in parameters.items():
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[option] = (list[float] if option == "values" else hints.get(option, Any), default)
    return create_model(f"{key}_{name}", __base__=Strict, **fields)


def chosen(key: str, registry: dict[str, Any]) -> Any:
    """One of several choices, told apart by `key`."""
    models = tuple(options(key, name, target) for name, target in registry.items())
    return Annotated[Union[models], Field(discriminator=key)]  # noqa: UP007 (a union of a computed tuple)


class Model(Strict):
    """The network and what it predicts."""

    network: str
    arguments: dict[str, Any] = {}
    weights: str
    predicts: Literal["edm", "epsilon", "velocity", "data", "score"]
    sigma_data: float = Field(1.0, gt=0)
    shape: list[Annotated[int, Field(ge=1)]] = Field(min_length=3, max_length=3)


class Data(Strict):
    """The statistics file: names and units, mean and standard deviation per channel, spectrum, reference fields."""

    statistics: str


def check_members(given: Any) -> Any:
    numbers = given if isinstance(given, list) else [given]
    whole = all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)
    if not whole:
        raise ValueError("give how many, or a list of member numbers")
    try:
        member_numbers(given)
    except ConfigError as error:
        raise ValueError(str(error).partition("; ")[2]) from None
    return given


def seconds(given: Any) -> Any:
    """A time in seconds, or as hours, minutes and seconds."""
    if isinstance(given, str):
        parts = given.split(":")
        if len(parts) != 3 or not all(part.isdigit() for part in parts):
            raise ValueError("give seconds, or hours, minutes and seconds such as 1:50:00")
        given = 3600 * int(parts[0]) + 60 * int(parts[1]) + int(parts[2])
    if given is not None and (isinstance(given, bool) or not isinstance(given, int | float) or given <= 0):
        raise ValueError("give a positive number of seconds, or hours, minutes and seconds such as 1:50:00")
    return None if given is None else float(given)


class Condition(Strict):
    """What a conditional network is given: variables (time, y, x) of NetCDF or HDF5 files, by name, in the network's order.
    Each time is a case, for which all members are drawn. `select`: indices of the cases, None for all; `statistics`: what
    normalises the variables, those of the data if None; `missing`: refuse missing values, or give the mean in their place.
    `static` and `static_variables`: a file of fields (y, x) that every case is given behind the others. `lead_times`: forecasts
    in a row, each from the one before, whose channels take the places of the variables of `feed` (by default those of the same
    name); `lead_step`: time from one to the next, such as 6 hours, that of the files if None."""

    files: str | list[str]
    variables: list[str] = Field(min_length=1)
    select: list[Annotated[int, Field(ge=0)]] | None = None
    statistics: str | None = None
    missing: Literal["refuse", "mean"] = "refuse"
    static: str | None = None
    static_variables: list[str] = []
    lead_times: int | None = Field(None, ge=1)
    lead_step: str | None = None
    feed: dict[str, str] | None = None

    @model_validator(mode="after")
    def belongs_together(self) -> "Condition":
        if bool(self.static) != bool(self.static_variables):
            raise ValueError("static and static_variables belong together; give both or neither")
        if self.lead_times is None and (self.lead_step or self.feed):
            raise ValueError("lead_step and feed are of roll-outs; give lead_times too")
        return self


class Sampling(Strict):
    """What is drawn."""

    members: Annotated[int | list[int], BeforeValidator(check_members)]
    seed: int = Field(0, ge=0, lt=2**63)
    sigmas: chosen("schedule", SCHEDULES)  # type: ignore[valid-type]
    sampler: chosen("name", SAMPLERS)  # type: ignore[valid-type]
    solver: chosen("name", SOLVERS)  # type: ignore[valid-type]
    window: int | None = Field(None, ge=1)
    tolerance: float = Field(1e-3, gt=0)


class Parallel(Strict):
    """Where and how it runs."""

    time_ranks: int | None = Field(None, ge=1)
    mode: Literal["fast", "bitwise"] = "fast"
    device: str = "auto"
    dtype: Literal["float64", "float32"] = "float64"
    network_batch: int | None = Field(None, ge=1)
    batch: int | None = Field(None, ge=1)


class Checkpoint(Strict):
    """What lets a run be cut and go on. `every`: least seconds between two checkpoints, None for none at all; `max_walltime`:
    seconds or H:MM:SS after which the run stops in good order."""

    every: float | None = Field(30.0, ge=0)
    max_walltime: Annotated[float | None, BeforeValidator(seconds)] = None


class Output(Strict):
    """What is written, into one directory. `mode`: who writes the ensemble: `gather` rank 0; `virtual` every rank that drives a
    group, into a file of its own beside a joint one; `mpio` the same ranks into one file; `auto` is virtual where there are
    several groups, gather else. `grid`: a file from which coordinates of cells and `grid_variables` are taken over; where its
    variable `mask` is 0 or missing, fields are."""

    directory: str
    mode: Literal["auto", "gather", "virtual", "mpio"] = "auto"
    ensemble: str = "ensemble.nc"
    report: str = "report.json"
    figure: str | None = "report.png"
    variables: list[str] | None = Field(None, min_length=1)
    members: bool = True
    summary: list[Literal["mean", "standard_deviation", "minimum", "maximum", "quantiles"]] = []
    quantiles: list[float] = [0.05, 0.5, 0.95]
    compression: int = Field(0, ge=0, le=9)
    digits: int | None = Field(None, ge=1, le=6)
    grid: str | None = None
    grid_variables: list[str] = []
    mask: str | None = None

    @model_validator(mode="after")
    def belongs_together(self) -> "Output":
        if self.grid is None and (self.grid_variables or self.mask):
            raise ValueError("grid_variables and mask name variables of a file; give it as output.grid")
        return self


class RunConfig(Strict):
    """All of a run. Paths are relative to the YAML file; those given on the command line, to the working directory."""

    model: Model
    data: Data
    condition: Condition | None = None
    sampling: Sampling
    parallel: Parallel = Field(default_factory=lambda: Parallel.model_validate({}))
    checkpoint: Checkpoint = Field(default_factory=lambda: Checkpoint.model_validate({}))
    output: Output

    def as_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def build(config: RunConfig, option: str) -> Any:
    """The object that the choice `sampling.<option>` configures: noise levels, a sampler or a solver."""
    registry, key = REGISTRIES[option], CHOICES["sampling", option]
    given = getattr(config.sampling, option).model_dump()
    try:
        return registry[given.pop(key)](**given)
    except ConfigError as error:
        raise ConfigError(f"sampling.{option}: {error}") from None


def load(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read, override and check a configuration; ConfigError names every wrong key with its value and what is allowed."""
    tree = read(path)
    folder = path.resolve().parent
    for keys in PATHS:
        rebase(tree, keys, folder)
    return resolved(tree, overrides, path)


def resolved(tree: dict[str, Any], overrides: Sequence[str], source: str | Path) -> RunConfig:
    """A configuration of a tree whose paths are absolute, with overrides on top; `source` is named where something is wrong."""
    for override in overrides:
        apply(tree, override)
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        lines = [explain(problem) for problem in error.errors()]
        raise ConfigError(f"{source}: " + "\n  ".join(lines)) from None


def read(path: Path) -> dict[str, Any]:
    try:
        tree = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise ConfigError(
            f"{path} holds a {type(tree).__name__}; a configuration is a mapping with {', '.join(RunConfig.model_fields)}"
        )
    return tree  # type: ignore[return-value]


def rebase(tree: dict[str, Any], keys: tuple[str, str], folder: Path) -> None:
    """Make a relative path of the YAML file absolute. A module name such as package.module:Class stays."""
    section = tree.get(keys[0])
    value = section.get(keys[1]) if isinstance(section, dict) else None
    if isinstance(section, dict) and isinstance(value, str) and (keys[1] != "network" or ".py:" in value):
        section[keys[1]] = os.path.normpath(folder / value)
    if isinstance(section, dict) and isinstance(value, list):
        section[keys[1]] = [os.path.normpath(folder / one) if isinstance(one, str) else one for one in value]


def apply(tree: dict[str, Any], override: str) -> None:
    """Apply one `key=value`; a new choice (name, schedule) drops the options of the one before."""
    key, equals, _ = override.partition("=")
    keys = tuple(key.split("."))
    if not equals or not all(keys):
        raise ConfigError(f"{override!r} is no override; write key=value, such as sampling.members=4")
    try:
        value: Any = OmegaConf.to_container(OmegaConf.from_dotlist([override]))
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"override {override!r} cannot be read: {' '.join(str(error).split())}") from None
    for name in keys:
        value = value[name]
    if keys in PATHS and isinstance(value, str) and (keys[1] != "network" or ".py:" in value):
        value = os.path.abspath(value)
    section = tree
    for depth, name in enumerate(keys[:-1]):
        section = section.setdefault(name, {})
        if not isinstance(section, dict):
            raise ConfigError(f"{override!r}: {'.'.join(keys[: depth + 1])} is a value, not a section")
    if len(keys) == 3 and CHOICES.get(keys[:2]) == keys[2] and section.get(keys[-1]) != value:
        section.clear()
    section[keys[-1]] = value


def explain(problem: Any) -> str:
    """One line for one of pydantic's findings: key, value, what is allowed."""
    place, kind, given = [str(part) for part in problem["loc"]], problem["type"], problem["input"]
    choice = next((n for keys, n in CHOICES.items() if tuple(place[:2]) == keys), None)
    if choice and len(place) > 2:
        place.pop(2)  # pydantic names the branch of the union there
    key = ".".join(place)
    if kind == "extra_forbidden":
        return f"{key} is not a known key{suggestion(problem['loc'])}"
    if kind == "missing":
        return f"{key} is missing"
    if kind.startswith("union_tag"):
        allowed = problem.get("ctx", {}).get("expected_tags", "")
        tag = problem.get("ctx", {}).get("tag", given)
        return (
            f"{key}.{choice} = {tag!r} is not one of {allowed}"
            if allowed
            else f"{key} needs a key {choice!r} that says which one"
        )
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{key} = {json.dumps(given, default=str)}: {message[0].lower()}{message[1:]}"


def suggestion(place: Sequence[Any]) -> str:
    """The keys allowed where an unknown one was found, the nearest first."""
    model: Any = RunConfig
    for part in place[:-1]:
        model = step_into(model, str(part))
    known = list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []
    near = difflib.get_close_matches(str(place[-1]), known, n=1)
    return (f"; did you mean {near[0]}?" if near else "") + (f" (allowed: {', '.join(known)})" if known else "")


def step_into(model: Any, name: str) -> Any:
    """The model of a section, or of one branch of a choice."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        return model.model_fields[name].annotation
    branches = [b for b in get_args(model) if isinstance(b, type)]
    return next((b for b in branches if b.__name__.endswith(f"_{name}")), None)
