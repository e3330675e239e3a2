"""Sources that a user's file of Python imports from its own folder or package: which were run, and their digests as they ran.

A finder in front of Python's own watches the folders of networks and plugins. What lies in them is compiled from its source,
not from a cache that may be of another source, and is remembered by its name below the folder. Packages that are installed
elsewhere are not.
"""

import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

VERSIONED = ("parampi", "torch")
"""Packages whose versions are kept, and not the digests of their files, wherever they lie."""


@dataclass
class Watched:
    """Sources that were imported from a folder: SHA-256 by their names below it.

    folder    of a user's file, or of a package
    modules   that were imported from it, by their names
    before    modules that were there before
    replaced  whether the modules go when another network is loaded
    """

    folder: Path
    replaced: bool
    digests: dict[str, str] = field(default_factory=dict)
    modules: set[str] = field(default_factory=set)
    before: frozenset[str] = field(default_factory=lambda: frozenset(sys.modules))

    def has(self, path: Path) -> bool:
        """Return whether a file is below the folder, and not installed there by somebody else."""
        return path.is_relative_to(self.folder) and (not is_installed(path) or is_installed(self.folder))

    def note(self, module: str, path: Path, digest: str) -> None:
        self.modules.add(module)
        self.digests[str(path.relative_to(self.folder))] = digest


WATCHED: dict[str, Watched] = {}
"""By the file or module that is named; the one that was loaded last is the last."""


class SourceReader(SourceFileLoader):
    """A loader that compiles the source it digests, whatever caches there are."""

    def __init__(self, name: str, path: str, watched: Watched):
        super().__init__(name, path)
        self.watched = watched

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the module's code."""
        data = self.get_data(self.path)
        self.watched.note(fullname, Path(self.path).resolve(), hashlib.sha256(data).hexdigest())
        code: CodeType | None = self.source_to_code(data, self.path)
        return code


class WatchingFinder:
    """A finder that gives sources below watched folders a loader that remembers them, and leaves all else to the others."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the specification of a source that is watched."""
        spec = found_by_others(name, path) if WATCHED and root_of(name) not in VERSIONED else None
        if spec is None or type(spec.loader) is not SourceFileLoader or not spec.origin:
            return None
        origin = Path(spec.origin).resolve()
        watched = next((one for one in reversed(WATCHED.values()) if one.has(origin)), None)
        if watched is None:
            return None
        spec.loader = SourceReader(name, spec.loader.path, watched)
        return spec


FINDER = WatchingFinder()


def found_by_others(name: str, path: Any = None) -> ModuleSpec | None:
    """Return the specification of a module from the first finder that knows it; nothing is imported for this."""
    finders = (finder for finder in sys.meta_path if finder is not FINDER and hasattr(finder, "find_spec"))
    return next((spec for finder in finders if (spec := finder.find_spec(name, path, None)) is not None), None)


@contextmanager
def watching(reference: str, *, replaced: bool, first: bool = True) -> Iterator[None]:
    """Watch the folder of a file or module that is about to be imported. `replaced`: whether it is a network or goes with one,
    whose sources are read anew when a network is loaded again; `first`: whether it is the network itself, with which what an
    earlier one imported is forgotten."""
    if FINDER not in sys.meta_path:
        sys.meta_path.insert(0, FINDER)
    folder, name = home_of(reference), key_of(reference)
    if replaced and first and reference.endswith(".py"):
        forget_networks()
    if folder is not None and (name not in WATCHED or reference.endswith(".py")):
        WATCHED.pop(name, None)
        WATCHED[name] = Watched(folder, replaced and reference.endswith(".py"))
    yield


def forget_networks() -> None:
    """Let modules that earlier networks imported from their folders be imported anew."""
    for name, watched in list(WATCHED.items()):
        if watched.replaced:
            for module in watched.modules:
                sys.modules.pop(module, None)
            del WATCHED[name]


def home_of(reference: str) -> Path | None:
    """Return the folder of a user's file, or of the package of a module; None where there is none of a user's own."""
    if reference.endswith(".py"):
        folder: Path | None = Path(reference).resolve().parent
    else:
        root = root_of(reference)
        spec = found_by_others(root) if root.isidentifier() and root not in VERSIONED else None
        places = list(spec.submodule_search_locations or ()) if spec else []
        if spec and spec.has_location and spec.origin:
            places.append(os.path.dirname(spec.origin))
        folder = Path(places[0]).resolve() if places else None
    return None if folder in install_places() else folder


def root_of(module: str) -> str:
    """Return the package that a module is of."""
    return module.partition(".")[0]


def key_of(reference: str) -> str:
    return os.path.normpath(reference) if reference.endswith(".py") else reference


def imported_sources(reference: str) -> dict[str, str]:
    """Return the SHA-256 of the files that a file or module imported from its own folder, by their names below it."""
    watched = WATCHED.get(key_of(reference))
    if watched is None:
        return {}
    for name, module in list(sys.modules.items()):
        note_other(watched, name, module)
    main = own_name(reference, watched.folder)
    return {name: digest for name, digest in watched.digests.items() if name != main}


def note_other(watched: Watched, name: str, module: Any) -> None:
    """Remember a module that was imported past the finder, such as a compiled one."""
    origin = vars(module).get("__file__") if isinstance(module, ModuleType) else None
    known = name in watched.before or name in watched.modules or name.startswith(USER_MODULE)
    if known or not isinstance(origin, str) or root_of(name) in VERSIONED:
        return
    path = Path(origin).resolve()
    if watched.has(path):
        with suppress(OSError):
            watched.note(name, path, hashlib.sha256(path.read_bytes()).hexdigest())


USER_MODULE = "parampi_user_"
"""Beginning of the names of modules that are user's files."""


def own_name(reference: str, folder: Path) -> str:
    """Return the name of the file itself below its folder: its digest is kept by itself."""
    if reference.endswith(".py"):
        return Path(reference).name
    module = sys.modules.get(reference)
    origin = getattr(module, "__file__", None)
    return str(Path(origin).resolve().relative_to(folder)) if origin and Path(origin).resolve().is_relative_to(folder) else ""


def recorded_sources(key: str, reference: str, recorded: Mapping[str, str]) -> dict[str, Path | None]:
    """Return where the sources are now that a record names as imported by the code of a key; None where they can be none."""
    folder, names = home_of(reference), {}
    for entry in recorded:
        if entry.startswith(f"{key}: "):
            name = entry.removeprefix(f"{key}: ")
            inside = folder is not None and "\0" not in name and (folder / name).resolve().is_relative_to(folder)
            names[entry] = folder / name if folder is not None and inside else None
    return names


def is_installed(path: Path) -> bool:
    """Return whether a file lies where Python and packages are installed."""
    return any(path.resolve().is_relative_to(place) for place in install_places())


def install_places() -> set[Path]:
    return {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")}
