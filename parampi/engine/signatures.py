"""Whether functions that are given take the arguments that they are called with."""

import inspect
from collections.abc import Sequence
from typing import Any

from parampi.errors import ConfigError

OF_MEMBERS = {"condition": ("numbers",), "case_of": ("number",)}
"""Functions of `sample` and what they are called with."""
OF_STATES = {"condition": ("states", "lead", "numbers"), "update": ("state", "drawn", "lead", "numbers")}
"""Those of `rollout`."""


def check_signatures(denoiser: Any, functions: dict[str, Any]) -> None:
    """Raise ConfigError for a denoiser or a function of `sample`, or of `rollout` where there is an `update` among them, that
    cannot be called with what it will be."""
    rollout = "update" in functions
    conditional = rollout or functions.get("condition") is not None
    check_signature("denoiser", denoiser, ("x", "sigma", "condition") if conditional else ("x", "sigma"))
    for name, arguments in (OF_STATES if rollout else OF_MEMBERS).items():
        if functions.get(name) is not None:
            check_signature(name, functions[name], arguments)


def check_signature(name: str, function: Any, arguments: Sequence[str]) -> None:
    """Raise ConfigError unless a function can be called with so many arguments; what hides its signature is believed."""
    target = getattr(function, "forward", function)  # of a module, whose call takes anything
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        called = getattr(function, "__name__", type(function).__name__)
        hint = ""
        if name == "denoiser":
            hint = ", or condition= for a third argument" if len(arguments) == 2 else ", as there is a condition"
        raise ConfigError(
            f"{name} = {called}{signature} is called as {name}({', '.join(arguments)}): {error}; give a function of "
            f"({', '.join(arguments)}){hint}"
        ) from None
