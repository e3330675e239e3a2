"""Choices of a configuration among what is registered: noise levels, a sampler, a solver, a clock. What there is, and the
options that each takes, is looked up when a configuration is read."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticKnownError

from parampi.basis import BASES
from parampi.diffusion.clocks import CLOCKS, check_clock
from parampi.diffusion.schedules import SCHEDULES
from parampi.errors import ConfigError, UserError, blamed
from parampi.fields import STORES
from parampi.registry import Registry
from parampi.run.config.options import Options, called, read_options
from parampi.samplers import SAMPLERS, check_sampler, noise_levels
from parampi.solvers import SOLVERS, check_solver_type
from parampi.solvers.spectral.prior import SpectralPrior

if TYPE_CHECKING:
    from parampi.run.config.sections import RunConfig


@dataclass(frozen=True)
class Choice:
    """One of a registry's entries: `key` names it, the other keys are the arguments of the entry. `checked` returns what the
    entry makes, and raises ConfigError where it is of another kind. It stands in a `section` of the configuration."""

    key: str
    registry: Registry
    checked: Callable[[Any], Any]
    section: str = "sampling"


CHOICES = {
    "sigmas": Choice("schedule", SCHEDULES, noise_levels),
    "sampler": Choice("name", SAMPLERS, check_sampler),
    "solver": Choice("name", SOLVERS, check_solver_type),
    "clock": Choice("name", CLOCKS, check_clock, "model"),
}
"""By their keys in their sections."""


@cache
def options(key: str, name: str, target: Callable[..., Any]) -> type[Options]:
    """Return the model of one choice, which is read once."""
    return read_options(key, name, target)


def model_of(option: str, value: Any) -> type[Options] | None:
    """Return the model of the choice that a value makes; None where it makes none that is registered."""
    choice = CHOICES[option]
    name = value.get(choice.key) if isinstance(value, dict) else None
    if not isinstance(name, str) or name not in choice.registry:
        return None
    try:
        return options(choice.key, name, choice.registry[name])
    except ConfigError as error:
        raise ConfigError(f"{choice.section}.{option}.{choice.key} = {name!r}: {error}") from None


def chosen(option: str) -> Callable[[Any], Options]:
    """Return what checks a choice."""

    def check(value: Any) -> Options:
        if isinstance(value, Options):
            return value
        if not isinstance(value, dict):
            raise PydanticKnownError("dict_type")
        choice = CHOICES[option]
        model = model_of(option, value)
        if model is not None:
            return model.model_validate(value)
        if choice.key not in value:
            raise PydanticKnownError("union_tag_not_found", {"discriminator": repr(choice.key)})
        names = ", ".join(choice.registry)
        tag = {"discriminator": repr(choice.key), "tag": str(value[choice.key]), "expected_tags": names}
        raise PydanticKnownError("union_tag_invalid", tag)

    return check


def registered(config: "RunConfig") -> list[Callable[..., Any]]:
    """Return the registered functions and classes that a configuration chooses: schedule, sampler, solver, its basis, store."""
    entries = [CHOICES[option].registry[getattr(made, CHOICES[option].key)] for option, made in choices_of(config).items()]
    named = [(BASES, basis_name(config) or ""), (STORES, config.output.mode)]
    return entries + [registry[name] for registry, name in named if name in registry]


def choices_of(config: "RunConfig") -> dict[str, Options]:
    """Return the choices that a configuration makes."""
    made = {option: getattr(getattr(config, choice.section), option) for option, choice in CHOICES.items()}
    return {option: options for option, options in made.items() if options is not None}


def basis_name(config: "RunConfig") -> str | None:
    """Return the name of the solver's basis: the one that is configured, or that of its file of statistics."""
    solver = config.sampling.solver
    basis, statistics = getattr(solver, "basis", None), getattr(solver, "statistics", None)
    if basis is None and isinstance(statistics, str):
        try:
            basis = SpectralPrior.from_file(statistics).basis
        except UserError:  # which is said when the solver reads the file
            return None
    basis = basis.get("name") if isinstance(basis, dict) else basis
    return basis if isinstance(basis, str) else None


def build(config: "RunConfig", option: str) -> Any:
    """Return the object that a choice configures: noise levels, a sampler, a solver or a clock."""
    choice, arguments = CHOICES[option], choices_of(config)[option].model_dump()
    entry = choice.registry[arguments.pop(choice.key)]
    options = ", ".join(f"{name} = {value!r}" for name, value in arguments.items())
    try:
        with blamed(f"{called(entry)}({options})"):
            return choice.checked(entry(**arguments))
    except ConfigError as error:
        raise ConfigError(f"{choice.section}.{option}: {error}") from error
