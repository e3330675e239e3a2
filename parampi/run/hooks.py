"""The hooks of a configuration, `model.prepare` and `model.finish`: functions of a user's, for each case and each field."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from parampi.diffusion.denoisers import Denoiser, placement
from parampi.engine.case_hooks import CaseHooks, check_hooks
from parampi.engine.cases import root_broadcast, share
from parampi.errors import ConfigError, UserError
from parampi.fields import DatasetStatistics
from parampi.parallel.agree import on_all, on_root
from parampi.run.condition_source import ConditionSource
from parampi.run.config.model_parts import Hook
from parampi.run.inputs import Inputs
from parampi.run.plugins import imported
from parampi.run.user_files import import_file, import_module, loaded_file

if TYPE_CHECKING:
    from parampi.parallel.group import Comm


class UserHook:
    """A hook under its key. Its failures are the configuration's, said in one line; what it returned last is kept for the
    condition that it was called with last."""

    def __init__(self, key: str, reference: str, function: Callable[..., Any], *, remembers: bool):
        self.key, self.reference, self.function, self.remembers = key, reference, function, remembers
        self.dtype = placement(function)[1]
        self.last: tuple[Tensor, Any] | None = None

    def __call__(self, argument: Tensor, *others: Any) -> Any:
        if self.last is not None and torch.equal(self.last[0], argument):
            return self.last[1]
        before = argument.clone() if self.remembers else argument
        try:
            result = self.function(argument, *others)
        except UserError:
            raise
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(f"{self.key} = {self.reference!r} failed with {reason}") from error
        if self.remembers:
            self.last = before, result
        return result


def load_hooks(inputs: Inputs, denoiser: Denoiser) -> CaseHooks:
    """Return the hooks of a configuration. Raises ConfigError for what is none, DataError for a file that is not there."""
    model, device = inputs.config.model, placement(denoiser)[0]
    prepare = None if model.prepare is None else user_hook("model.prepare", model.prepare, device)
    finish = None if model.finish is None else user_hook("model.finish", model.finish, device)
    if finish is not None:
        finish.function = with_statistics(finish, inputs.statistics)
    try:
        return check_hooks(prepare, finish, inputs.conditions is not None)
    except ConfigError as error:
        raise ConfigError(f"model.{error} (a section condition)") from None


def user_hook(key: str, hook: Hook, device: torch.device) -> UserHook:
    """Return the function that a key names, or what it makes of its arguments."""
    named = find(key, hook.function)
    if hook.arguments is not None or isinstance(named, type):
        named = made(key, hook, named)
    if isinstance(named, torch.nn.Module):
        named = named.to(device).eval().requires_grad_(False)
    if not callable(named):
        raise ConfigError(f"{key} = {hook.function!r} is a {type(named).__name__}; give a function, or a class that makes one")
    return UserHook(key, hook.function, named, remembers=key == "model.prepare")


def find(key: str, reference: str) -> Any:
    """Return what "path/to/file.py:name" or "package.module:name" names."""
    place, _, name = reference.rpartition(":")
    if not place:
        raise ConfigError(f"{key} = {reference!r} must be 'file.py:function' or 'package.module:function'")
    module = imported.get(place)
    if module is None and place.endswith(".py"):
        module = loaded_file(Path(place)) or import_file(Path(place), key)
    module = module or import_module(place, key)
    if not hasattr(module, name):
        raise ConfigError(f"{key} = {reference!r}: {place} defines no {name!r}")
    return getattr(module, name)


def made(key: str, hook: Hook, maker: Any) -> Any:
    """Return what a class or function makes of a hook's arguments. Raises ConfigError where it takes others, or fails."""
    arguments = hook.arguments or {}
    try:
        inspect.signature(maker).bind(**arguments)
    except TypeError as error:
        raise ConfigError(
            f"{key}.arguments = {arguments}: {hook.function} says {error}; it takes {inspect.signature(maker)}"
        ) from None
    try:
        return maker(**arguments)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(f"{key}.arguments = {arguments}: {hook.function} failed with {reason}") from error


def with_statistics(hook: UserHook, statistics: DatasetStatistics) -> Callable[..., Any]:
    """Return `finish(field, prepared)` of a function that may take the statistics of the data as a third argument."""
    function = hook.function
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        return lambda field, prepared: function(field, prepared, statistics)
    return function


def with_hooks(
    inputs: Inputs, denoiser: Denoiser, source: ConditionSource | None, comm: "Comm | None"
) -> tuple[Inputs, tuple[Tensor, ...] | None]:
    """Return inputs with their hooks, and what is made of the first member's condition, on all ranks."""
    inputs = replace(inputs, hooks=on_all(comm, lambda: load_hooks(inputs, denoiser)))
    return inputs, first_case(inputs, source, comm)


def first_case(inputs: Inputs, source: ConditionSource | None, comm: "Comm | None") -> tuple[Tensor, ...] | None:
    """Return what is made of the first member's condition, by rank 0 for all ranks; None where nothing is made."""
    if source is None or inputs.hooks.prepare is None:
        return None
    parts: list[tuple[Tensor, ...]] = []
    on_root(comm, lambda: parts.append(inputs.hooks.prepared(source(inputs.members[:1]))))
    if comm is None:
        return parts[0]
    return share(parts[0] if parts else None, root_broadcast(comm, 0), torch.device("cpu"))


def network_condition(inputs: Inputs, source: ConditionSource | None, member: int) -> Tensor | None:
    """Return what the network reads of a member beside its state at the first lead time, (1, ...); None for nothing."""
    if source is None:
        return None
    condition = source([member])
    return condition if inputs.hooks.prepare is None else inputs.hooks.prepared(condition)[0]
