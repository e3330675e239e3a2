"""The options of a registered class or function, read off its signature: what each is called, its type and its default."""

import dataclasses
import inspect
import sys
import warnings
from collections.abc import Callable
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from parampi.errors import ConfigError

PLAIN = "numbers, texts, true, null, lists and mappings of them"
NAMED = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY


class Options(BaseModel):
    """The options of a choice: unknown ones and wrong types are refused."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        ser_json_inf_nan="constants",
        protected_namespaces=(),
        arbitrary_types_allowed=False,
    )


def read_options(key: str, name: str, target: Callable[..., Any]) -> type[Options]:
    """Return the model of one choice: `key: name` and the options of the class or function `target`.

    Raises ConfigError, with the option and what to write instead, for a signature that no configuration can serve: an option
    that is called like the key, that has no name, whose type cannot be read, or whose default is no plain value of its type.
    """
    fields: dict[str, Any] = {key: (Literal[name], ...)}
    for option, parameter in parameters_of(target).items():
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue
        if option == key:
            raise refusal(option, target, f"is called like the key {key}, which chooses the class; rename the option")
        if parameter.kind not in NAMED:
            raise refusal(option, target, "cannot be given by its name; let the signature do without '/'")
        if hasattr(BaseModel, option) or option.startswith("_"):
            raise refusal(option, target, "has a name that configurations keep for themselves; rename it")
        kind, default = type_of(option, parameter, target), default_of(option, parameter, target)
        check_field(option, kind, default, target)
        fields[option] = (kind, default)
    return create_model(f"{key}_{name}", __base__=Options, **fields)


def refusal(option: str, target: Callable[..., Any], reason: str) -> ConfigError:
    return ConfigError(f"the option {option} of {called(target)} {reason}")


def called(target: Callable[..., Any]) -> str:
    """Return the name of a class, a function or any other callable."""
    return str(getattr(target, "__name__", None) or type(target).__name__)


def parameters_of(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(target).parameters)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the options of {called(target)} cannot be read: {error}") from None


def type_of(option: str, parameter: inspect.Parameter, target: Callable[..., Any]) -> Any:
    """Return the type of an option, also where it is written as a text."""
    if parameter.annotation is inspect.Parameter.empty:
        return Any
    holder = type("Holder", (), {"__annotations__": {option: parameter.annotation}})
    try:
        return get_type_hints(holder, names_in_scope(option, target))[option]
    except Exception as error:
        reason = f"has the type {parameter.annotation}, which cannot be read ({type(error).__name__}: {error})"
        raise refusal(option, target, f"{reason}; import what it names outside of `if TYPE_CHECKING:`") from None


def names_in_scope(option: str, target: Callable[..., Any]) -> dict[str, Any]:
    """Return the names that the type of an option may use: those of the module that says the type."""
    owner: Any = target
    if dataclasses.is_dataclass(target):
        bases = inspect.getmro(target)
        owners = [base for base in bases if option in vars(base).get("__annotations__", {})]
        owner = owners[0] if owners else target
    elif inspect.isclass(target):
        owner = inspect.unwrap(target.__init__)
    return dict(vars(sys.modules[owner.__module__])) if getattr(owner, "__module__", None) in sys.modules else {}


def default_of(option: str, parameter: inspect.Parameter, target: Callable[..., Any]) -> Any:
    """Return the default as pydantic takes it: `...` for none, and a field where a dataclass makes a new one each time."""
    factories = {
        field.name: field.default_factory
        for field in (dataclasses.fields(target) if dataclasses.is_dataclass(target) else ())
        if field.default_factory is not dataclasses.MISSING
    }
    if option in factories:
        return Field(default_factory=factories[option])
    return ... if parameter.default is inspect.Parameter.empty else parameter.default


def check_field(option: str, kind: Any, default: Any, target: Callable[..., Any]) -> None:
    """Raise ConfigError for an option whose type or default no file can hold."""
    shown = kind.__name__ if isinstance(kind, type) else str(kind)
    definition: dict[str, Any] = {option: (kind, default)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            model = create_model("Model", __base__=Options, **definition)
        except Exception as error:
            raise refusal(
                option, target, f"has the type {shown}, which a configuration cannot give; it gives {PLAIN}"
            ) from error
        if default is ...:
            return
        try:
            plain = model().model_dump(mode="json")
        except Exception as error:
            reason = f"has a default that is not plain ({type(error).__name__}); a configuration gives {PLAIN}"
            raise refusal(option, target, reason) from None
        try:
            model.model_validate(plain)
        except Exception:
            reason = f"has the default {plain[option]!r}, which is no {shown} as a configuration gives it; change the type"
            raise refusal(option, target, reason) from None
