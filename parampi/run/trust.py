"""Code that a file names is run only where the user names it too, or where it is the very code the file was made with.

A configuration of the user's own is obeyed. The configuration in an ensemble, or in the checkpoint of a run that somebody
handed on, is not: its network and its plugins are files of Python, and a path in it may lead anywhere.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parampi.errors import ConfigError
from parampi.registry import PLUGIN_KEY
from parampi.run.user_files import HOOK_KEYS, NETWORK_KEY, is_file, sha256
from parampi.run.user_sources import found_by_others, is_installed, recorded_sources

Code = dict[str, str]
"""Files and modules of Python that are run, by the keys that name them."""


def code_of(tree: Mapping[str, Any]) -> Code:
    """Return the code that a configuration names; nothing of it is imported."""
    model = tree.get("model")
    if not isinstance(model, dict):
        return {}
    plugins = model.get("plugins")
    code = {f"{PLUGIN_KEY}: {name}": str(name) for name in (plugins if isinstance(plugins, list) else [])}
    places = {key: place_of(model.get(key.partition(".")[2])) for key in (NETWORK_KEY, *HOOK_KEYS)}
    return code | {key: place for key, place in places.items() if place}


def place_of(named: Any) -> str:
    """Return the file or module of a reference, or of a section that holds one; "" for none."""
    reference = named.get("function") if isinstance(named, dict) else named
    return reference.rpartition(":")[0] if isinstance(reference, str) else ""


def require_trust(code: Code, digests: Mapping[str, str], own: Code, source: Path) -> None:
    """Raise ConfigError, with what would be run, unless all of `code` is the user's `own` or has the digest that `source`
    stores. Nothing is imported for this.
    """
    strangers = [
        f"{key} = {reference} ({reason})"
        for key, reference in code.items()
        if reference not in own.values() and (reason := obstacle(reference, digests.get(key)))
    ]
    strangers += [
        f"{entry} (it is not the file whose SHA-256 is stored)"
        for key, reference in code.items()
        if reference not in own.values() and not strangers
        for entry, path in recorded_sources(key, reference, digests).items()
        if path is None or not is_file(path) or sha256(path) != digests[entry]
    ]
    if strangers:
        raise ConfigError(
            f"{source} asks to run {', '.join(strangers)}; nothing was run. Bring that file back, name the code yourself "
            f"(--config run.yaml), or say --trust if you know who made {source}"
        )


def obstacle(reference: str, digest: str | None) -> str:
    """Return why code is not the code that a digest was taken of; "" where it is."""
    if not reference.endswith(".py"):
        return "a module by its name may be any that is installed, with whatever it runs"
    path = code_file(reference)
    if path is None:
        return "there is no such file"
    if is_installed(path):
        return "it belongs to an installed package or to Python"
    if digest is None:
        return "no SHA-256 of it is stored"
    return "" if sha256(path) == digest else "its SHA-256 is not the one that is stored: it has changed, or is another file"


def code_file(reference: str) -> Path | None:
    """Return the file behind a path or the name of a module, without importing anything, packages above it included."""
    if reference.endswith(".py"):
        path = Path(reference)
        return path if is_file(path) else None
    parts, where = reference.split("."), None
    if not all(part.isidentifier() for part in parts):
        return None
    for depth in range(1, len(parts) + 1):
        spec = found_by_others(".".join(parts[:depth]), where)
        if spec is None:
            return None
        origin, where = spec.origin, spec.submodule_search_locations
        if where is None and depth < len(parts):  # no package: nothing lies in it
            return None
    return Path(origin) if origin and Path(origin).is_file() else None
