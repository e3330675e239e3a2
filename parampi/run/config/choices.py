"""Choices of a configuration among what is registered: noise levels, a sampler, a solver. What there is, and the options that
each takes, is looked up when a configuration is read."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model
from pydantic_core import PydanticKnownError

from parampi.diffusion.schedules import SCHEDULES
from parampi.errors import ConfigError
from parampi.registry import Registry
from parampi.samplers import SAMPLERS
from parampi.solvers import SOLVERS

if TYPE_CHECKING:
    from parampi.run.config.sections import RunConfig


@dataclass(frozen=True)
class Choice:
    """One of a registry's entries: `key` names it, the other keys are the arguments of the entry."""

    key: str
    registry: Registry


CHOICES = {"sigmas": Choice("schedule", SCHEDULES), "sampler": Choice("name", SAMPLERS), "solver": Choice("name", SOLVERS)}
"""By their keys in the section `sampling`."""


class Options(BaseModel):
    """The options of a choice: unknown ones and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, ser_json_inf_nan="constants")


@cache
def options(key: str, name: str, target: Callable[..., Any]) -> type[Options]:
    """Return the model of one choice, read off its signature: `key: name` and its options."""
    hints, parameters = get_type_hints(target), inspect.signature(target).parameters
    fields: dict[str, Any] = {key: (Literal[name], ...)}
    for option, parameter in parameters.items():
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[option] = (list[float] if option == "values" else hints.get(option, Any), default)
    return create_model(f"{key}_{name}", __base__=Options, **fields)


def model_of(option: str, value: Any) -> type[Options] | None:
    """Return the model of the choice that a value makes; None where it makes none that is registered."""
    choice = CHOICES[option]
    name = value.get(choice.key) if isinstance(value, dict) else None
    return options(choice.key, name, choice.registry[name]) if isinstance(name, str) and name in choice.registry else None


def chosen(option: str) -> Callable[[Any], Options]:
    """Return what checks `sampling.<option>`."""

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
    """Return the registered functions and classes that a configuration chooses."""
    sections = [(choice, getattr(config.sampling, option)) for option, choice in CHOICES.items()]
    return [choice.registry[getattr(section, choice.key)] for choice, section in sections]


def build(config: "RunConfig", option: str) -> Any:
    """Return the object that the choice `sampling.<option>` configures: noise levels, a sampler or a solver."""
    choice, arguments = CHOICES[option], getattr(config.sampling, option).model_dump()
    try:
        return choice.registry[arguments.pop(choice.key)](**arguments)
    except ConfigError as error:
        raise ConfigError(f"sampling.{option}: {error}") from None
