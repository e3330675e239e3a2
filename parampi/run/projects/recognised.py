"""From a file or a folder to a project: which framework it is of, and what it says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from parampi.diffusion.probe import check_denoiser
from parampi.diffusion.sigmas import karras
from parampi.errors import ConfigError, DataError, UserError
from parampi.fields import DatasetStatistics, FieldDimensions
from parampi.networks import FileKind, Stated, kind_of
from parampi.networks.loading import load, stated
from parampi.run import card
from parampi.run.any_rank import folded
from parampi.run.card import Card
from parampi.run.model_clock import TRAINED
from parampi.run.model_loading import WRAPPERS
from parampi.run.projects import corrdiff, scheduler
from parampi.run.projects.example import sampling
from parampi.run.projects.project import CHECK, FILL, STATISTICS, Line, Project, reference

KINDS = ("denoiser", "edm", "epsilon", "velocity", "flow", "data", "score")
KARRAS: dict[str, object] = {"schedule": "karras", "steps": 18, "sigma_min": 0.002, "sigma_max": 80.0}
NETWORK = '''"""The class of the network whose weights are in {weights}."""

import torch


class Network(torch.nn.Module):
    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError("put the class here that the weights were trained with")
'''


def recognised(path: Path, folder: Path, predicts: str | None = None, shape: list[int] | None = None) -> Project:
    """Return the project of what is at a path, to be written into a folder. Raises DataError where it is none that is known."""
    if not path.exists():
        raise DataError(f"there is no file or folder {path}; give a network, or nothing for a small working project")
    if corrdiff.is_package(path):
        return corrdiff.project(path, folder)
    kind, said = kind_of(path), stated(path)
    facts = Card() if kind.whole else card.read(path)
    prediction = predicted(said.predicts or facts.predicts, predicts, path)
    if kind is FileKind.EXPORTED and predicts is None:
        said, prediction = of_program(path)
    lines = scheduler.sampling_of(path, folder) if kind is FileKind.DIFFUSERS else levels_of(prediction.value)
    if kind.whole:
        clip = scheduler.clipping(path) if kind is FileKind.DIFFUSERS else []
        return of_network(path, folder, said, [prediction, *clip], lines, shape)
    return of_weights(path, folder, facts, prediction, lines, shape)


def levels_of(predicts: str | None) -> list[Line]:
    """Return the section `sampling` for networks that predict this kind, with noise levels to be looked at."""
    remark = f"{CHECK}: the noise levels that it was trained for"
    if predicts in TRAINED:
        return sampling({"schedule": "vp_linear", "steps": 50}, {"name": "ddim"}, remark=remark)
    if predicts == "flow":
        return sampling({"schedule": "flow", "steps": 50}, {"name": "ddim"}, remark=remark)
    return sampling(KARRAS, {"name": "heun"}, remark=remark)


def of_program(path: Path) -> tuple[Stated, Line]:
    """Return the shapes of a program, and what it predicts: the first kind that the probe does not refuse."""
    network: Any = load(path, torch.device("cpu"))
    first, condition = network.shapes[0][1:], network.shapes[2:]
    known = all(isinstance(one, int) for one in first)
    said = Stated(shape=tuple(first) if known else None, condition=int(bool(condition)))
    kinds = [kind for kind in KINDS if denoises(network, kind, said.shape)] if known and not condition else []
    if not kinds:
        return said, predicted(None, None, path)
    return said, Line("predicts", kinds[0], f"{CHECK}: called for a few fields, it may be {' or '.join(kinds)}")


def predicted(stated: str | None, predicts: str | None, path: Path) -> Line:
    """Return the line that says what a network predicts, by its file, else by the user. Raises ConfigError where they
    differ."""
    if stated and predicts and stated != predicts:
        raise ConfigError(f"--predicts {predicts}: {path} says {stated}; leave the option out")
    kind = stated or predicts
    return Line("predicts", kind, "" if kind else f"{FILL}: {', '.join(KINDS[:-1])} or {KINDS[-1]}")


def denoises(network: torch.nn.Module, kind: str, shape: Any) -> bool:
    """Return whether the probe takes a network for one that predicts this kind."""
    try:
        check_denoiser(WRAPPERS[kind](network), shape, karras(18), dtype=torch.float32)
    except (UserError, RuntimeError):
        return False
    return True


def of_network(
    path: Path, folder: Path, said: Stated, predictions: list[Line], lines: list[Line], shape: list[int] | None
) -> Project:
    """Return the project of a file that holds the whole network."""
    model = [Line("weights", reference(path, folder)), *predictions]
    if said.sigma_data is not None:
        model.append(Line("sigma_data", said.sigma_data))
    size = shape or (list(said.shape) if said.shape else None)
    names = [f"field_{number}" for number in range(size[0])] if size else []
    return whole(path, model, lines, names=names, shape=size, condition=bool(said.condition))


def of_weights(path: Path, folder: Path, facts: Card, prediction: Line, lines: list[Line], shape: list[int] | None) -> Project:
    """Return the project of weights, whose class has to be written."""
    model = [
        Line("network", "model.py:Network", f"{FILL}: put the class into model.py, or name it as package.module:Class"),
        Line("weights", reference(path, folder)),
        prediction,
    ]
    if facts.sigma_data is not None:
        model.append(Line("sigma_data", facts.sigma_data))
    names = list(facts.channels or ([f"field_{number}" for number in range(shape[0])] if shape else []))
    made = whole(path, model, lines, names=names, shape=shape, condition=bool(facts.condition))
    return Project(made.title, made.sections, made.statistics, {"model.py": NETWORK.format(weights=path.name)})


def whole(
    path: Path, model: list[Line], lines: list[Line], *, names: list[str], shape: list[int] | None, condition: bool
) -> Project:
    """Return the project with statistics of unit variance, where the shape is known."""
    statistics: Mapping[str, DatasetStatistics] = {}
    remark = f"{FILL}: parampi stats DATA.nc --output {STATISTICS}"
    if shape and len(shape) > 1:
        grid = folded(shape)[1:]
        statistics = {STATISTICS: DatasetStatistics.of_moments(names, [0.0] * shape[0], [1.0] * shape[0], grid)}
        remark = f"{CHECK}: mean 0 and deviation 1, so fields come out normalised; parampi stats makes those of your data"
    sections = {
        "model": [*model, Line("shape", shape, "" if shape else f"{FILL}: [channels, y, x]")],
        "data": [Line("statistics", STATISTICS, remark), *named_axes(shape)],
    }
    if condition:
        sections["condition"] = conditions()
    sections |= {"sampling": lines, "output": [Line("directory", "output")]}
    return Project(f"Written by parampi init of {path}", sections, statistics)


def named_axes(shape: list[int] | None) -> list[Line]:
    """Return the line that names the axes of fields that are no maps."""
    if not shape or len(shape) == 3:
        return []
    names = list(FieldDimensions.usual(shape[1:]).names)
    return [Line("field_axes", names, f"{CHECK}: names of the axes after the channels, as files will have them")]


def conditions(variables: list[str] | None = None, statistics: str | None = None) -> list[Line]:
    """Return the lines of the section `condition`, whose files nobody can know."""
    lines = [
        Line("files", None, f"{FILL}: the files of what the network is given, on its grid"),
        Line("variables", variables, "" if variables else f"{FILL}: their variables, in the network's order"),
    ]
    return [*lines, Line("statistics", statistics, "" if statistics else f"{FILL}: the statistics file of these variables")]
