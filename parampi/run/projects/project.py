"""A project: a configuration with remarks, statistics files and sources, and how they are written."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from parampi.errors import OutputError
from parampi.fields import DatasetStatistics
from parampi.fields.atomic_files import write_whole

CONFIG, STATISTICS = "run.yaml", "statistics.nc"
FILL, CHECK = "FILL IN", "CHECK"
"""Beginnings of the remarks on what a user has to write, and what a user has to see to."""


@dataclass(frozen=True)
class Line:
    """A key of a configuration, its value and a remark."""

    key: str
    value: Any
    remark: str = ""

    @property
    def text(self) -> str:
        shown = (
            yaml.safe_dump(self.value, default_flow_style=True, sort_keys=False, width=1 << 16).removesuffix("...\n").strip()
        )
        return f"  {self.key}: {shown}" + (f"  # {self.remark}" if self.remark else "")


@dataclass(frozen=True)
class Project:
    """The files of a project.

    title       first line of the configuration, a comment
    sections    lines of the configuration by section
    statistics  by their files
    sources     texts by their files
    """

    title: str
    sections: Mapping[str, list[Line]]
    statistics: Mapping[str, DatasetStatistics] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    def configuration(self) -> str:
        """Return the text of the configuration."""
        blocks = ["\n".join([f"{name}:", *(line.text for line in lines)]) for name, lines in self.sections.items()]
        return "\n".join([f"# {self.title}", *blocks, ""])

    def remarks(self, kind: str) -> list[str]:
        """Return the lines with remarks of a kind, as `section.key: remark`."""
        return [
            f"{section}.{line.key}{line.remark.removeprefix(kind)}"
            for section, lines in self.sections.items()
            for line in lines
            if line.remark.startswith(kind)
        ]


def write(project: Project, folder: Path) -> list[Path]:
    """Write the files of a project; return them. Raises OutputError where one exists already, before anything is written."""
    names = [CONFIG, *project.statistics, *project.sources]
    existing = [str(folder / name) for name in names if os.path.lexists(folder / name)]
    if existing:
        raise OutputError(
            f"{', '.join(existing)} exist{'s' if len(existing) == 1 else ''} already, and parampi init replaces nothing; move "
            f"{'it' if len(existing) == 1 else 'them'} away, or choose another folder with --directory"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made ({error.strerror}); choose another folder with --directory") from None
    for name, statistics in project.statistics.items():
        statistics.save(folder / name)
    for name, text in {**project.sources, CONFIG: project.configuration()}.items():
        write_whole(folder / name, text.encode())
    return [folder / name for name in names]


def reference(path: Path, folder: Path) -> str:
    """Return the path as a configuration in a folder names it: relative where it is in the folder, else absolute."""
    place, root = Path(os.path.abspath(path)), Path(os.path.abspath(folder))
    return place.relative_to(root).as_posix() if place.is_relative_to(root) else str(place)
