"""Mistakes that users make: how each comes about, and the command that meets it."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import netCDF4
import numpy as np
import torch
from safetensors.torch import save_file

from parampi.errors import InterruptionError
from parampi.fields import DatasetStatistics
from parampi.run.checkpoint.folder import Folder
from parampi.run.config import load
from parampi.run.job import run
from tests.small import write_conditions, write_project

RUN = ("run", "{folder}/run.yaml")
OUT = "{folder}/out"
ENSEMBLE = "{folder}/out/ensemble.nc"
BOTH = "condition.files=[{folder}/cond.nc, {folder}/more.nc]"
GIVEN = {"condition__files": "cond.nc", "condition__variables": ["vorticity"]}


@dataclass(frozen=True)
class Mistake:
    """`arrange` makes it in a folder that holds a project with `changes`; `command` meets it."""

    arrange: Callable[[Path], object] = lambda folder: None
    command: tuple[str, ...] = RUN
    changes: dict[str, object] = field(default_factory=dict)


def with_override(*overrides: str, arrange: Callable[[Path], object] = lambda folder: None, **changes: object) -> Mistake:
    return Mistake(arrange, (*RUN, *overrides), changes)


def text(name: str, content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content)


def removed(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def emptied(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(b"")


def truncated(name: str) -> Callable[[Path], object]:
    def cut(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])

    return cut


def weights(state: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> Callable[[Path], object]:
    return lambda folder: save_file(state, folder / "weights.safetensors", metadata)


def edited(name: str, change: Callable[[netCDF4.Dataset], object]) -> Callable[[Path], object]:
    """A NetCDF file after a change."""

    def edit(folder: Path) -> None:
        with netCDF4.Dataset(folder / name, "a") as file:
            change(file)

    return edit


def spoilt(name: str, variable: str, values: object) -> Callable[[Path], object]:
    def change(file: netCDF4.Dataset) -> None:
        file[variable][:] = values

    return edited(name, change)


def other_grid(folder: Path) -> None:
    fields = np.random.default_rng(0).normal(size=(20, 1, 16, 8))
    DatasetStatistics.from_samples(fields, ["vorticity"], ["s-1"], ["vorticity"], x=np.arange(8.0), y=np.arange(16.0)).save(
        folder / "statistics.nc"
    )


def second_conditions(size: int = 8, **attributes: str) -> Callable[[Path], object]:
    """More conditions, whose time has other attributes."""

    def make(folder: Path) -> None:
        write_conditions(folder / "more.nc", size=size)
        with netCDF4.Dataset(folder / "more.nc", "a") as file:
            file["time"].setncatts(attributes)

    return make


def gaps(count: int) -> Callable[[Path], object]:
    def change(file: netCDF4.Dataset) -> None:
        values = np.ma.asarray(file["vorticity"][1])
        values[:count] = np.nan
        file["vorticity"][1] = values

    return edited("cond.nc", change)


def layered(folder: Path) -> None:
    with netCDF4.Dataset(folder / "cond.nc", "w") as file:
        for name, size in (("time", 2), ("level", 3), ("y", 8), ("x", 8)):
            file.createDimension(name, size)
        file.createVariable("vorticity", "f4", ("time", "level", "y", "x"))[:] = 1.0
        file["vorticity"].units = "s-1"


def drawn(folder: Path) -> None:
    run(load(folder / "run.yaml"))


def drawn_and(change: Callable[[Path], object]) -> Callable[[Path], object]:
    def both(folder: Path) -> None:
        drawn(folder)
        change(folder)

    return both


def cut(folder: Path) -> None:
    """A run that was stopped after its first round."""
    try:
        run(load(folder / "run.yaml", ["checkpoint.max_walltime=0.001", "checkpoint.every=0"]))
    except InterruptionError:
        return
    raise AssertionError("the run was not stopped")


def cut_and(change: Callable[[Path], object]) -> Callable[[Path], object]:
    def both(folder: Path) -> None:
        cut(folder)
        change(folder)

    return both


HELD: list[Folder] = []


def locked(folder: Path) -> None:
    """Another job is at work."""
    other = Folder(folder / "out", "ensemble.nc")
    other.lock()
    HELD.append(other)


def sampled(values: np.ndarray, name: str = "data.nc", axes: tuple[str, ...] = ("time", "y", "x")) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        with netCDF4.Dataset(folder / name, "w") as file:
            for axis, size in zip(axes, values.shape, strict=True):
                file.createDimension(axis, size)
            file.createVariable("u", "f8", axes)[:] = values

    return make


def two_ensembles(folder: Path) -> None:
    drawn(folder)
    run(load(folder / "run.yaml", [f"output.directory={folder / 'two'}"]))


def merged_over(folder: Path) -> None:
    drawn(folder)
    (folder / "merged.nc").write_text("mine")


def linked_to_nothing(folder: Path) -> None:
    os.symlink(folder / "nowhere", folder / "out")


STATS = ("stats", "{folder}/data.nc", "--output", "{folder}/s.nc")
RESUME, RERUN = ("resume", OUT), ("rerun", ENSEMBLE, "--member")
NOISE = np.random.default_rng(0).normal(size=(4, 6, 5))
MISTAKES: dict[str, Mistake] = {
    # the configuration
    "no configuration": Mistake(removed("run.yaml")),
    "no YAML": Mistake(text("run.yaml", "model: [1,")),
    "an empty configuration": Mistake(emptied("run.yaml")),
    "a list for a configuration": Mistake(text("run.yaml", "- model\n")),
    "a key that is misspelt": with_override("sampling.tolerence=1e-3"),
    "a text for a number": with_override("sampling.members=many"),
    "no members": with_override("sampling.members=0"),
    "a member twice": with_override("sampling.members=[1,1]"),
    "a tolerance of 0": with_override("sampling.tolerance=0"),
    "an unknown sampler": with_override("sampling.sampler.name=eular"),
    "an option of another sampler": with_override("sampling.sampler.order=4"),
    "rising noise levels": with_override("sampling.sigmas={schedule: explicit, values: [1.0, 2.0, 0.0]}"),
    "an override without a value": with_override("sampling.members"),
    "a wall time that is no time": with_override("checkpoint.max_walltime=soon"),
    "a solver that cannot solve this": with_override("sampling.sampler={name: collocation}"),
    # the model
    "no network file": with_override("model.network={folder}/gone.py:White"),
    "no such class": with_override("model.network={folder}/net.py:Black"),
    "a network file with a mistake": Mistake(text("net.py", "import numppy\n")),
    "an argument that the network does not take": with_override("model.arguments={depth: 3}"),
    "a network of another shape": with_override("model.arguments={channels: 3}"),
    "a network that returns another shape": with_override("model.arguments={crop: true}"),
    "no weights": Mistake(removed("weights.safetensors")),
    "empty weights": Mistake(emptied("weights.safetensors")),
    "truncated weights": Mistake(truncated("weights.safetensors")),
    "weights of another network": Mistake(weights({"bias": torch.zeros(2)})),
    "weights of another size": Mistake(weights({"weight": torch.zeros(3)})),
    "a card of other channels": Mistake(weights({"weight": torch.zeros(2)}, {"channels": '["u"]'})),
    "a damaged card": Mistake(weights({"weight": torch.zeros(2)}, {"channels": "u"})),
    "a device that is not there": with_override("parallel.device=cuda:7"),
    # the data
    "no statistics": Mistake(removed("statistics.nc")),
    "truncated statistics": Mistake(truncated("statistics.nc")),
    "empty statistics": Mistake(emptied("statistics.nc")),
    "a file of conditions for statistics": with_override("data.statistics={folder}/cond.nc"),
    "statistics of another grid": Mistake(other_grid),
    "statistics of a channel that does not vary": Mistake(spoilt("statistics.nc", "standard_deviation", 0.0)),
    "no samples": Mistake(command=STATS),
    "samples without time": Mistake(sampled(NOISE[0], axes=("y", "x")), STATS),
    "a variable that is not there": Mistake(sampled(NOISE), (*STATS, "--variable", "v")),
    "a sample with NaN": Mistake(sampled(np.where(NOISE > 2, np.nan, NOISE)), STATS),
    "samples that are all the same": Mistake(sampled(np.ones((4, 6, 5))), STATS),
    "statistics that exist": Mistake(lambda folder: (sampled(NOISE)(folder), text("s.nc", "mine")(folder)), STATS),
    # conditions
    "no conditions": Mistake(removed("cond.nc"), changes=GIVEN),
    "a pattern that fits nothing": with_override("condition.files={folder}/gone-*.nc", **GIVEN),
    "truncated conditions": Mistake(truncated("cond.nc"), changes=GIVEN),
    "empty conditions": Mistake(emptied("cond.nc"), changes=GIVEN),
    "another variable": with_override("condition.variables=[divergence]", **GIVEN),
    "other units": Mistake(edited("cond.nc", lambda file: file["vorticity"].setncattr("units", "K")), changes=GIVEN),
    "another calendar": with_override(
        BOTH, arrange=second_conditions(calendar="noleap"), **GIVEN
    ),
    "times that come twice": with_override(
        BOTH, arrange=second_conditions(units="days since 2001-01-01"), **GIVEN
    ),
    "another grid": with_override(
        BOTH, arrange=second_conditions(size=9), **GIVEN
    ),
    "a field that is all NaN": Mistake(gaps(8), changes=GIVEN | {"condition__missing": "mean"}),
    "some NaN": Mistake(gaps(2), changes=GIVEN),
    "levels": Mistake(layered, changes=GIVEN),
    "a time beyond the end": with_override("condition.select=[1, 3]", **GIVEN),
    "a time twice": with_override("condition.select=[1, 1]", **GIVEN),
    "a channel without statistics": Mistake(
        edited("cond.nc", lambda file: file.renameVariable("vorticity", "sst")),
        changes=GIVEN | {"condition__variables": ["sst"]},
    ),
    # the output
    "an ensemble that exists": Mistake(drawn),
    "a file where the folder should be": Mistake(text("out", "mine")),
    "a link to nothing": Mistake(linked_to_nothing),
    "a folder where the file should be": Mistake(lambda folder: (folder / "out" / "ensemble.nc").mkdir(parents=True)),
    "a variable to write that is not drawn": with_override("output.variables=[pressure]"),
    "nothing to write": with_override("output.members=false"),
    "quantiles out of order": with_override("output.summary=[quantiles]", "output.quantiles=[0.9, 0.1]"),
    "one process writing in parallel": with_override("output.mode=mpio"),
    # stopping and going on
    "another job in the folder": Mistake(locked),
    "a run that was not finished": Mistake(cut),
    "nothing to go on with": Mistake(command=RESUME),
    "another configuration": Mistake(cut, (*RESUME, "sampling.seed=9")),
    "a damaged checkpoint": Mistake(cut_and(text("out/.parampi-ensemble.nc/run.json", "{")), RESUME),
    "a checkpoint that was edited": Mistake(
        cut_and(lambda folder: edit_text(folder / "out/.parampi-ensemble.nc/run.json", '"members": 4', '"members": 5')), RESUME
    ),
    "weights that were changed meanwhile": Mistake(cut_and(weights({"weight": torch.ones(2)})), RESUME),
    "weights that vanished meanwhile": Mistake(cut_and(removed("weights.safetensors")), RESUME),
    # what was drawn
    "a member that is not there": Mistake(drawn, (*RERUN, "17")),
    "a file that does not say how it was made": Mistake(
        drawn_and(edited("out/ensemble.nc", lambda file: file.delncattr("parampi_config"))), (*RERUN, "1")
    ),
    "a field that was changed": Mistake(drawn_and(spoilt("out/ensemble.nc", "vorticity", 0.0)), (*RERUN, "1")),
    "other weights than then": Mistake(drawn_and(weights({"weight": torch.ones(2)})), (*RERUN, "1")),
    "no ensemble": Mistake(command=("check", "{folder}/statistics.nc")),
    "one member twice": Mistake(
        two_ensembles, ("merge", ENSEMBLE, "{folder}/two/ensemble.nc", "--output", "{folder}/merged.nc")
    ),
    "a file in the place of the merged one": Mistake(merged_over, ("merge", ENSEMBLE, "--output", "{folder}/merged.nc")),
    "no ensemble to verify": Mistake(
        command=("verify", "{folder}/gone.nc", "--statistics", "{folder}/statistics.nc")
    ),
}  # fmt: skip


def edit_text(path: Path, old: str, new: str) -> None:
    told = path.read_text()
    assert old in told
    path.write_text(told.replace(old, new))


def prepare(folder: Path, mistake: Mistake) -> list[str]:
    """Make the mistake; the command that meets it."""
    write_project(folder, **mistake.changes)
    write_conditions(folder / "cond.nc")
    mistake.arrange(folder)
    return [argument.replace("{folder}", str(folder)) for argument in mistake.command]
