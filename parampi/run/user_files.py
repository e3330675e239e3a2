"""Files of a user: their digests, and the modules in them, which are imported or refused in one line."""

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

from parampi.errors import ConfigError, DataError
from parampi.run.user_sources import USER_MODULE, WATCHED, key_of, watching

NETWORK_KEY = "model.network"
"""Key of a configuration that names the network."""
HOOK_KEYS = ("model.prepare", "model.finish")
"""Keys that name functions which go round the network; their files are read anew with the network's."""


def sha256(path: Path) -> str:
    """Return the digest of a file. Raises DataError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); may you read it?") from None


def is_file(path: Path) -> bool:
    """Return whether there is a file of this name; none has a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def import_file(path: Path, key: str) -> ModuleType:
    """Run a file as a module. Raises DataError where there is none, ConfigError where it fails; `key` is who names it."""
    if not is_file(path):
        raise DataError(f"{key}: there is no file {path}")
    spec = importlib.util.spec_from_file_location(module_name(path), path)
    assert spec
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        with (
            watching(str(path), replaced=key in (NETWORK_KEY, *HOOK_KEYS), first=key == NETWORK_KEY),
            neighbours(path.resolve().parent),
        ):
            # not by the loader, which may run a cache of another source than the one whose digest is kept
            exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{key}: {path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def module_name(path: Path) -> str:
    """Return the name under which a file is imported: there may be others of its own name."""
    place = hashlib.sha256(str(path.resolve()).encode(errors="surrogateescape")).hexdigest()[:8]
    return f"{USER_MODULE}{path.stem}_{place}"


def loaded_file(path: Path) -> ModuleType | None:
    """Return the module of a file that the network or another hook has imported; None where none has."""
    return sys.modules.get(module_name(path)) if key_of(str(path)) in WATCHED else None


@contextmanager
def neighbours(folder: Path) -> Iterator[None]:
    """Let modules of a folder be imported meanwhile, by the names that nothing installed has: they hide no package."""
    place = str(folder)
    if place in sys.path:
        yield
        return
    sys.path.append(place)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with suppress(ValueError):  # the file may have changed the list
            sys.path.remove(place)


def import_module(name: str, key: str) -> ModuleType:
    """Import a module by its name. Raises ConfigError; `key` is who names it."""
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"{key}: {name!r} is no name of a module, such as package.module; a file ends in .py")
    try:
        with watching(name, replaced=key == NETWORK_KEY):
            return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
        raise ConfigError(f"{key}: module {name!r} cannot be imported: {kind}{error}") from error
