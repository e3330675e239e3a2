"""Modules of physicsnemo with metadata and statistics beside them, as earth2studio keeps them."""

from pathlib import Path
from typing import Any

from parampi.errors import DataError
from parampi.fields import DatasetStatistics
from parampi.networks.json_files import read_mapping
from parampi.networks.loading import stated
from parampi.run.projects.example import sampling
from parampi.run.projects.project import CHECK, FILL, STATISTICS, Line, Project, reference

DIFFUSION, REGRESSION, METADATA, STATS = "diffusion.mdlus", "regression.mdlus", "metadata.json", "stats.json"
INPUTS = "condition_statistics.nc"
MODEL = '''"""The mean of the regression network: once per case, before the members are drawn, and added to each of them."""

from parampi.networks.corrdiff import Mean, add  # noqa: F401
'''


def is_package(path: Path) -> bool:
    """Return whether a path is a folder with a diffusion module, or a module with metadata or statistics beside it."""
    if path.is_dir():
        return (path / DIFFUSION).is_file()
    return path.suffix == ".mdlus" and any((path.parent / name).is_file() for name in (METADATA, STATS))


def read(path: Path) -> dict[str, Any]:
    """Return a file of JSON, nothing where there is none. Raises DataError."""
    return read_mapping(path, "bring it back as it was") if path.is_file() else {}


def project(path: Path, folder: Path) -> Project:
    """Return the project of a package. Raises DataError where its files do not fit together."""
    module = path / DIFFUSION if path.is_dir() else path
    metadata, stats = read(module.parent / METADATA), read(module.parent / STATS)
    said = stated(module)
    regression = module.parent / REGRESSION
    drawn = variables(metadata, stats, "output")
    given = variables(metadata, stats, "input") + [str(name) for name in stats.get("invariants", {})]
    statistics, remark, shape = {}, f"{FILL}: parampi stats DATA.nc --output {STATISTICS}", None
    if said.shape:
        names = drawn or [f"field_{number}" for number in range(said.shape[0])]
        shape = [len(names), *said.shape[1:]]
        statistics[STATISTICS] = moments(names, stats, "output", said.shape)
        remark = "" if drawn else f"{CHECK}: mean 0 and deviation 1, so fields come out normalised"
    model = [
        Line("weights", reference(module, folder)),
        Line("predicts", said.predicts, "" if said.predicts else f"{FILL}: denoiser, edm, ..."),
        Line("sigma_data", said.sigma_data if said.sigma_data is not None else 1.0),
        Line("shape", shape, "" if shape else f"{FILL}: [channels, y, x]"),
    ]
    sources = {}
    if regression.is_file():
        channels = said.shape[0] if said.shape else None
        arguments = f"{{regression: !path {reference(regression, folder)}, channels: {channels}, "
        arguments += f"mean_conditioning: {str(bool(metadata.get('hr_mean_conditioning', True))).lower()}}}"
        sources["model.py"] = MODEL
        model += [Raw("prepare", f"{{function: model.py:Mean, arguments: {arguments}}}"), Line("finish", "model.py:add")]
    sections = {"model": model, "data": [Line("statistics", STATISTICS, remark)]}
    if regression.is_file() or said.condition or (given and said.condition is None):
        from parampi.run.projects.recognised import conditions

        if given and said.shape:
            statistics[INPUTS] = moments(given, stats, "input", said.shape)
        sections["condition"] = conditions(given or None, INPUTS if INPUTS in statistics else None)
    sections |= {"sampling": levels(metadata), "output": [Line("directory", "output")]}
    return Project(f"Written by parampi init of {path}", sections, statistics, sources)


class Raw(Line):
    """A line whose value is YAML already."""

    @property
    def text(self) -> str:
        return f"  {self.key}: {self.value}"


def variables(metadata: dict[str, Any], stats: dict[str, Any], kind: str) -> list[str]:
    """Return the names of what is drawn ("output"), or given."""
    names = metadata.get(f"{kind}_variables") or (metadata.get("variables") if kind == "output" else None)
    entries = stats.get(kind) or (stats if kind == "output" and flat(stats) else {})
    return [str(name) for name in (names or entries)]


def flat(stats: dict[str, Any]) -> bool:
    """Return whether statistics are those of variables by name, without sections."""
    return bool(stats) and all(isinstance(one, dict) and {"mean", "std"} <= set(one) for one in stats.values())


def moments(names: list[str], stats: dict[str, Any], kind: str, shape: tuple[int, ...]) -> DatasetStatistics:
    """Return the statistics of some variables, mean 0 and deviation 1 where the package says nothing of any. Raises DataError
    where it lacks some of them."""
    sections = [stats if flat(stats) else {}, stats.get("invariants", {}) if kind == "input" else {}, stats.get(kind, {})]
    known = {name: entry for section in sections for name, entry in section.items()}
    missing = [name for name in names if name not in known]
    if known and missing:
        raise DataError(f"{STATS} has no mean and std of {', '.join(missing)}; it has {', '.join(known)}")
    if kind == "output" and len(names) != shape[0]:
        raise DataError(f"{METADATA} names {len(names)} variables ({', '.join(names)}), and the network draws {shape[0]}")
    entries = [known.get(name, {"mean": 0.0, "std": 1.0}) for name in names]
    means, deviations = ([float(entry[key]) for entry in entries] for key in ("mean", "std"))
    return DatasetStatistics.of_moments(names, means, deviations, (shape[1], shape[2]))


def levels(metadata: dict[str, Any]) -> list[Line]:
    """Return the section `sampling`."""
    steps = int(metadata.get("number_of_steps") or metadata.get("steps") or 18)
    least, most = float(metadata.get("sigma_min") or 0.002), float(metadata.get("sigma_max") or 80.0)
    solver = str(metadata.get("solver") or "heun")
    if metadata.get("sampler_type") == "stochastic":
        solver = "heun"  # physicsnemo's stochastic sampler is one of Heun's steps
    sampler = "euler" if solver == "euler" else "heun"
    table: dict[str, object] = {"schedule": "karras", "steps": steps, "sigma_min": least, "sigma_max": most}
    return sampling(table, {"name": sampler}, int(metadata.get("seed") or 0))
