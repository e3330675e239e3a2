"""Registries: what a configuration or a user's module names, found when the name is asked for."""

import difflib
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar, get_type_hints

from parampi.errors import ConfigError

P = ParamSpec("P")
T = TypeVar("T")
Entry = TypeVar("Entry", bound=Callable[..., Any])
PLUGIN_KEY = "model.plugins"
"""Key of a configuration that lists modules which register entries."""
PLUGIN_GROUP = "parampi.plugins"
"""Group of entry points by which installed packages name such a module."""
UNAVAILABLE: dict[str, str] = {}
"""Plugins of installed packages that could not be imported, and why: names that are unknown may be theirs."""


class Registry(dict[str, Callable[..., Any]]):
    """The choices of one kind by name, in the order in which they were registered.

    An entry is a class or a function; its signature tells which options it has. `kind` is what messages call an entry, such as
    "sampler". `aliases` holds the names that stand for another entry with other defaults.
    """

    def __init__(self, kind: str, **entries: Callable[..., Any]):
        super().__init__(entries)
        self.kind = kind
        self.aliases: set[str] = set()

    def register(self, name: str) -> Callable[[Entry], Entry]:
        """Return a decorator that makes a class or a function known by name: to configurations, to the command line and to the
        tests that every entry must pass. A later entry of the same name takes the place of the former."""

        def add(entry: Entry) -> Entry:
            self[name] = entry
            self.aliases.discard(name)
            return entry

        return add

    def lookup(self, name: str) -> Callable[..., Any]:
        """Return the entry of that name. Raises ConfigError, with the nearest name, all there are, and how others come."""
        if name in self:
            return self[name]
        raise ConfigError(f"there is no {self.kind} {name!r}; {self.choices(name)}")

    def choices(self, name: str, *beside: str) -> str:
        """Return what to write in the place of an unknown name: the nearest one, all there are (`beside` names further ones
        that are no entries), and how an entry of a user's own becomes known."""
        known = known_names(name, sorted([*beside, *self]))
        return (
            f"{known}; a {self.kind} of your own is known once its module is imported: by "
            f"{PLUGIN_KEY}: [my_module.py], by an entry point of the group {PLUGIN_GROUP}, or by your script"
            + "".join(f"; or it is of {reason}" for reason in UNAVAILABLE.values())
        )

    def alias(self, name: str, target: Callable[P, T], **defaults: Any) -> Callable[P, T]:
        """Register a second name for `target`, with other default values of its options, and return what builds it.

        Options stay settable. The signature and the type hints are the target's, with these defaults in place, so that a
        configuration reads them as those of any other entry. Raises TypeError for a default that is no option of the target.
        """
        signature, hints = with_defaults(target, defaults)

        def build(*args: P.args, **kwargs: P.kwargs) -> T:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return target(*bound.args, **bound.kwargs)

        build.__name__ = build.__qualname__ = name
        shown = ", ".join(f"{option}={value!r}" for option, value in defaults.items())
        build.__doc__ = f"Return `{target.__name__}({shown})`; the options are those of `{target.__name__}`."
        build.__annotations__, build.__signature__ = hints, signature  # type: ignore[attr-defined]
        self[name] = build
        self.aliases.add(name)
        return build

    def distinct(self) -> dict[str, Callable[..., Any]]:
        """Return the entries that are no aliases of others."""
        return {name: entry for name, entry in self.items() if name not in self.aliases}


def require_object(kind: str, value: Any, example: str) -> str:
    """Return what to give for a value of the wrong kind. Raises ConfigError, with that, for a class or a name: `example` is the
    call that makes an object, such as parampi.samplers.DDIM()."""
    give = f"give an object such as {example}"
    if isinstance(value, type):
        usual = example.rpartition(".")[2].removesuffix("()")
        raise ConfigError(f"{kind} = {value.__name__} is a class; {give.replace(usual, value.__name__)}")
    if isinstance(value, str):
        raise ConfigError(f"{kind} = {value!r} is a name, which only configurations take; {give}")
    return give


def known_names(name: str, known: Sequence[str]) -> str:
    """Return what to write in the place of an unknown name: the nearest one that is known, and all of them."""
    near = difflib.get_close_matches(name, known, n=1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return f"{meant}choose one of {', '.join(known)}"


def with_defaults(target: Callable[..., Any], defaults: dict[str, Any]) -> tuple[inspect.Signature, dict[str, Any]]:
    """Return a target's signature with these default values, and the types of its options by name."""
    signature = inspect.signature(target)
    unknown = defaults.keys() - signature.parameters.keys()
    if unknown:
        raise TypeError(f"{target.__name__} has no option {', '.join(sorted(unknown))}")
    hints = get_type_hints(target)
    parameters = [
        p.replace(default=defaults.get(name, p.default), annotation=hints.get(name, p.annotation))
        for name, p in signature.parameters.items()
    ]
    return signature.replace(parameters=parameters), {name: hints[name] for name in signature.parameters if name in hints}
