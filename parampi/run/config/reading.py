"""From a YAML file and `key=value` overrides to a configuration that is checked."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from parampi.errors import ConfigError
from parampi.parallel.agree import on_all, on_root
from parampi.run.config.choices import CHOICES
from parampi.run.config.completion import complete
from parampi.run.config.messages import explain
from parampi.run.config.sections import RunConfig
from parampi.run.config.yaml_file import PathText, parse
from parampi.run.plugins import load_plugins

if TYPE_CHECKING:
    from parampi.parallel.group import Comm

PATHS = (
    ("model", "network"),
    ("model", "weights"),
    ("model", "plugins"),
    ("model", "prepare"),
    ("model", "prepare", "function"),
    ("model", "finish"),
    ("model", "finish", "function"),
    ("model", "clock", "file"),
    ("data", "statistics"),
    ("condition", "files"),
    ("condition", "statistics"),
    ("condition", "static"),
    ("sampling", "sigmas", "file"),
    ("sampling", "solver", "statistics"),
    ("output", "directory"),
    ("output", "grid"),
)
MODULES = ("network", "plugins", "prepare", "finish", "function")
"""Keys whose values are files of Python, or names of modules."""
SHOWN = 200
"""Characters of an override that are shown."""


def load(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read, override and check a configuration; ConfigError names every wrong key with its value and what is allowed."""
    tree = rebased(read(path), path.resolve().parent)
    config = resolved(tree, overrides, path)
    config.output.spare("the configuration", path)
    return config


def resolved(tree: dict[str, Any], overrides: Sequence[str], source: str | Path) -> RunConfig:
    """Check a tree whose paths are absolute, with overrides on top; `source` is named where something is wrong."""
    for override in overrides:
        apply(tree, override)
    load_plugins(plugins_of(tree))
    complete(tree)
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"{source}: {explain(error, tree)}") from None
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None


def agreed(comm: "Comm | None", source: str | Path, read: Callable[[], RunConfig]) -> RunConfig:
    """Return on all ranks the configuration that rank 0 reads."""
    tree = on_root(comm, lambda: read().as_dict())
    return on_all(comm, lambda: resolved(tree, [], source))


def plugins_of(tree: dict[str, Any]) -> list[str]:
    """Return the plugins that a tree names; none where it is no configuration, which is said later."""
    section = tree.get("model")
    plugins = section.get("plugins") if isinstance(section, dict) else None
    return [one for one in plugins if isinstance(one, str)] if isinstance(plugins, list) else []


def read(path: Path) -> dict[str, Any]:
    """Return what a YAML file says. Raises ConfigError."""
    try:
        with path.open(encoding="utf-8") as file:
            tree = parse(file)
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from None
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        raise ConfigError(
            f"{path} holds a {type(tree).__name__}; a configuration is a mapping with {', '.join(RunConfig.model_fields)}"
        )
    return tree


def rebased(value: Any, folder: str | Path, keys: tuple[str, ...] = ()) -> Any:
    """Return a part of a configuration, which stands at `keys`, with its relative paths made absolute from a folder.

    Paths are the values of certain keys, and what is tagged `!path`; names of modules stay.
    """
    if isinstance(value, dict):
        return {key: rebased(one, folder, (*keys, str(key))) for key, one in value.items()}
    if isinstance(value, list):
        return [rebased(one, folder, keys) for one in value]
    tagged = isinstance(value, PathText)
    if not tagged and (not isinstance(value, str) or keys not in PATHS or is_module(keys, value)):
        return value
    return os.path.normpath(Path(folder) / str(value))


def is_module(keys: tuple[str, ...], value: str) -> bool:
    """Return whether the value of a key is the name of a module, not of a file."""
    return keys[-1] in MODULES and ".py:" not in f"{value}:"


def apply(tree: dict[str, Any], override: str) -> None:
    """Apply one `key=value`; a new choice (name, schedule) drops the options of the one before."""
    key, equals, text = override.partition("=")
    keys = tuple(key.split("."))
    if not equals or not all(keys):
        raise ConfigError(f"{override!r} is no override; write key=value, such as sampling.members=4")
    try:
        value = parse(text)
    except yaml.YAMLError as error:
        start = override if len(override) <= SHOWN else f"{override[:SHOWN]}..."
        raise ConfigError(f"override {start!r} cannot be read: {' '.join(str(error).split())}") from None
    value = rebased(value, os.getcwd(), keys)
    section = tree
    for depth, name in enumerate(keys[:-1]):
        section = section.setdefault(name, {})
        if not isinstance(section, dict):
            raise ConfigError(f"{override!r}: {'.'.join(keys[: depth + 1])} is a value, not a section")
    if new_choice(keys, section, value):
        section.clear()
    section[keys[-1]] = value


def new_choice(keys: tuple[str, ...], section: dict[str, Any], value: Any) -> bool:
    """Return whether an override makes another choice."""
    if len(keys) != 3 or keys[1] not in CHOICES or keys[0] != CHOICES[keys[1]].section:
        return False
    return keys[2] == CHOICES[keys[1]].key and section.get(keys[2]) != value
