"""Plugins: modules that register samplers, solvers, schedules, bases and stores of a user's own, for configurations to name.

A configuration lists them as `model.plugins`: files and modules. Packages that are installed say by an entry point of the group
`parampi.plugins` which module of theirs it is.
"""

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from parampi.basis import BASES
from parampi.diffusion.schedules import SCHEDULES
from parampi.errors import ConfigError, UserError
from parampi.fields import STORES
from parampi.registry import PLUGIN_GROUP, PLUGIN_KEY, UNAVAILABLE, Registry
from parampi.run.launched_rank import launched_rank
from parampi.run.user_files import import_file, import_module, sha256
from parampi.samplers import SAMPLERS
from parampi.solvers import SOLVERS

REGISTRIES: tuple[Registry, ...] = (SAMPLERS, SOLVERS, SCHEDULES, BASES, STORES)

imported: dict[str, ModuleType] = {}
"""Plugins of this process, by what names them: a module runs and registers once."""
digests: dict[str, str] = {}
"""SHA-256 of the files among them, as they were when they ran."""


def load_plugins(references: Sequence[str]) -> None:
    """Import the plugins of installed packages and those that a configuration names.

    Raises DataError for a file that is not there, and ConfigError for a plugin that cannot be imported, that registers a name
    that exists, or whose file has changed since it ran. An installed package's plugin is left out then, which is said once: a
    configuration need not use it.
    """
    for point in entry_points(group=PLUGIN_GROUP):
        load_installed(point)
    for reference in references:
        load_once(reference, PLUGIN_KEY, reference)
        path = Path(reference)
        if reference in digests and not (path.is_file() and sha256(path) == digests[reference]):
            raise ConfigError(f"{PLUGIN_KEY}: {reference} has changed since this process imported it; start a new process")


def load_installed(point: EntryPoint) -> None:
    """Import the plugin of an installed package; where that fails, say so in one line, on rank 0, and go on without it."""
    name = f"{PLUGIN_GROUP} {point.name} = {point.value}"
    if name in UNAVAILABLE:
        return
    try:
        load_once(name, f"the plugin {point.name} of {package(point)}", point.module)
    except UserError as error:
        UNAVAILABLE[name] = str(error)
        if launched_rank() == 0:
            print(f"parampi: going on without {error}", file=sys.stderr, flush=True)


def package(point: EntryPoint) -> str:
    return f"the package {point.dist.name}" if point.dist else "an installed package"


def load_once(name: str, key: str, reference: str) -> None:
    if name in imported:
        return
    path = Path(reference) if reference.endswith(".py") else None
    with nothing_replaced(key, reference):
        module = import_file(path, key) if path else import_module(reference, key)
    imported[name] = module
    if path:
        digests[name] = sha256(path)


@contextmanager
def nothing_replaced(key: str, reference: str) -> Iterator[None]:
    """Raise ConfigError where entries of the registries get others in their places, and leave none behind after an error."""
    before = [(registry, dict(registry), set(registry.aliases)) for registry in REGISTRIES]
    try:
        yield
        for registry, entries, _ in before:
            for name, entry in entries.items():
                if registry.get(name) is not entry:
                    raise ConfigError(
                        f"{key}: {reference} registers the {registry.kind} {name!r}, which exists already; choose another name"
                    )
    except Exception:
        for registry, entries, aliases in before:
            registry.clear()
            registry.update(entries)
            registry.aliases = aliases
        raise


def plugin_files(references: Sequence[str], entries: Sequence[Callable[..., Any]]) -> dict[str, Path]:
    """Return the files behind plugins, and behind registered `entries` that are not of this package."""
    files = {f"{PLUGIN_KEY}: {name}": source(imported[name]) for name in references if name in imported}
    for entry in entries:
        module = inspect.getmodule(entry)
        path = source(module) if module and module.__name__.partition(".")[0] != "parampi" else None
        if path not in files.values():
            files[f"the file of {entry.__name__}, {path}"] = path
    return {name: path for name, path in files.items() if path}


def source(module: ModuleType) -> Path | None:
    path = getattr(module, "__file__", None)  # modules that are built in have none
    return Path(path) if path else None
