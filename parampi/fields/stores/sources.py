"""Where the values of an ensemble file lie: in itself, or in files below its own folder, and nowhere else.

HDF5 files may have links, virtual datasets and raw data in any other file, which a reader follows without a word.
"""

import os
from pathlib import Path
from typing import Any

from parampi.errors import DataError
from parampi.fields.failures import intact


def require_own_sources(path: str | Path, *, joint: bool = True, parts: bool = True) -> None:
    """Raise DataError for a file that leads a reader out of its own folder, which parampi never writes, or cannot be read.

    joint  whether it may have parts below its folder; a part may not
    parts  whether these are looked into too
    """
    path = Path(path)
    strangers, part_paths = foreign_sources(path, joint)
    for part in part_paths if parts and not strangers else []:
        if part.is_file():
            strangers += foreign_sources(part, joint=False)[0]
    if strangers:
        raise DataError(
            f"{path} leads out of its own folder: {'; '.join(strangers[:3])}{' ...' * (len(strangers) > 3)}. Nothing of that "
            f"was read; see who made this file"
        )


def foreign_sources(path: Path, joint: bool) -> tuple[list[str], list[Path]]:
    """Return what in a file is not its own, and its parts."""
    import h5py

    if path.is_dir():
        return [f"{place} in {path} is a link" for place in links_out_of(path)], []
    if not h5py.is_hdf5(path):  # other formats have no links
        return [], []
    with intact(path), h5py.File(path) as file:
        strangers = [stranger for name in file for stranger in strangers_of(file, name, path, joint)]
        parts = {path.parent / source.file_name for name in file for source in virtual_sources_of(file, name)}
        return strangers, sorted(parts)


def links_out_of(folder: Path) -> list[str]:
    """Return the names of links in a folder that lead out of it."""
    with os.scandir(folder) as places:
        inside = [(place.path, place.is_symlink(), place.is_dir(follow_symlinks=False)) for place in places]
    links = [path for path, is_link, _ in inside if is_link and not below(folder, os.path.basename(path))]
    return links + [link for path, _, is_folder in inside if is_folder for link in links_out_of(Path(path))]


def strangers_of(file: Any, name: str, path: Path, joint: bool) -> list[str]:
    """Return what of a variable lies outside."""
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        return [f"{name} in {path} is a link"]
    variable = file[name]
    if not isinstance(variable, h5py.Dataset):
        return []
    if variable.external:
        return [f"{name} in {path} has its values in {variable.external[0][0]}"]
    return [
        f"{name} in {path} is read from {source.file_name}"
        for source in virtual_sources_of(file, name)
        if not joint or not below(path.parent, source.file_name)
    ]


def virtual_sources_of(file: Any, name: str) -> list[Any]:
    """Return the virtual sources of a variable, by their real names: none for one with values of its own."""
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        return []
    variable = file[name]
    sources = variable.virtual_sources() if isinstance(variable, h5py.Dataset) and variable.is_virtual else []
    return [s._replace(file_name=plain(s.file_name), dset_name=plain(s.dset_name)) for s in sources]


def literal(name: str) -> str:
    """Return a name as HDF5 takes it for a source, where `%b` stands for a number and `%%` for the sign itself."""
    return name.replace("%", "%%")


def plain(name: str) -> str:
    """Return the name that HDF5 has as `literal`."""
    return name.replace("%%", "%")


def below(folder: Path, name: str) -> bool:
    """Return whether a name leads to a file below a folder, links followed."""
    return not Path(name).is_absolute() and (folder / name).resolve().is_relative_to(folder.resolve())
