"""What a run's configuration names, read and checked on every rank: steps, data, conditions, network."""

import glob
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import parampi
from parampi.ensemble import member_numbers
from parampi.errors import ConfigError, DataError
from parampi.fields import PER_CASE, Conditions, DatasetStatistics, Rollout
from parampi.fields.inputs.grids import GridMetadata, read_grid
from parampi.parallel.agree import on_all
from parampi.run import card, model_loading
from parampi.run.config import RunConfig, build, registered
from parampi.run.plugins import plugin_digests
from parampi.run.user_files import sha256
from parampi.solvers import Spectral, check_solver

if TYPE_CHECKING:
    from parampi.parallel.group import Comm


class Inputs:
    """Of one run. `read` and `load` are made by all ranks of `comm` together; what is wrong is a UserError on all of them.

    sigmas, sampler, solver, step_map, window   what is computed
    members      numbers, those of all cases where there are conditions; `leads`, how many lead times
    statistics   of the data, with the network's channels in the network's order
    cells        what the output takes over of a grid file
    conditions   None where there are none
    """

    def __init__(self, config: RunConfig, comm: "Comm | None" = None):
        self.config, self.comm = config, comm
        self.sigmas = build(config, "sigmas")
        self.sampler = build(config, "sampler")
        self.solver = build(config, "solver")
        self.members = member_numbers(config.sampling.members)
        self.leads = 1

    def read(self) -> None:
        """Everything but the weights."""
        self.step_map = self.sampler.steps(self.sigmas)
        check_solver(self.solver, self.step_map, tuple(self.config.model.shape))
        self.window = self.solver.window(self.config.sampling.window, self.step_map)
        self.card = on_all(self.comm, self.read_card)
        self.statistics = on_all(self.comm, self.read_statistics)
        self.conditions = on_all(self.comm, self.open_conditions)
        self.cells = on_all(self.comm, self.read_cells)
        if self.conditions is not None:
            self.members = self.numbered(self.conditions.cases.indices)
            self.leads = len(self.conditions.leads.values) if self.conditions.leads else 1
        self.solver = on_all(self.comm, self.with_default_prior)

    def read_card(self) -> card.Card:
        """What the weights say of their network."""
        model = self.config.model
        found = card.read(model.weights)
        found.agree(model.predicts, model.sigma_data)
        if self.config.condition is None and found.condition:
            found.order_given([])
        return found

    def read_statistics(self) -> DatasetStatistics:
        path, wanted = Path(self.config.data.statistics), tuple(self.config.model.shape)
        data = DatasetStatistics.from_file(path)
        data = data.select(self.card.order(data.names, f"data.statistics = {path}"))
        if data.shape != wanted:
            raise ConfigError(
                f"model.shape = {list(wanted)} but the fields of data.statistics = {path} are {list(data.shape)} (channels, y, "
                f"x); the two must describe the same grid"
            )
        return data

    def open_conditions(self) -> Conditions | None:
        """What the files say; fields are read when members are drawn."""
        wanted = self.config.condition
        if wanted is None:
            return None
        statistics = DatasetStatistics.from_file(Path(wanted.statistics or self.config.data.statistics))
        files = [wanted.files] if isinstance(wanted.files, str) else wanted.files
        paths = [Path(path) for pattern in files for path in fitting(pattern)]
        static = (Path(wanted.static), wanted.static_variables) if wanted.static else None
        rollout = Rollout(wanted.lead_times, wanted.lead_step, wanted.feed) if wanted.lead_times else None
        return Conditions(
            paths, wanted.variables, statistics, wanted.select, wanted.missing, static, rollout, self.card.order_given,
            self.statistics.names,
        )  # fmt: skip

    def numbered(self, cases: list[int]) -> list[int]:
        """Numbers of the members of all cases; they do not depend on how many others there are."""
        if max(self.members) >= PER_CASE or max(cases) >= PER_CASE:
            raise ConfigError(f"with a condition, members and cases are numbered below {PER_CASE}; draw them in several runs")
        return [case * PER_CASE + member for case in cases for member in self.members]

    def read_cells(self) -> GridMetadata:
        """What the ensemble file takes over from a file of the grid."""
        output = self.config.output
        if output.grid is None:
            return GridMetadata()
        return read_grid(Path(output.grid), self.statistics.axes, self.statistics.grid, output.grid_variables, output.mask)

    def with_default_prior(self) -> Any:
        """The solver; a spectral one in Fourier modes that names no statistics gets those of the data."""
        fourier = isinstance(self.solver, Spectral) and self.solver.basis in (None, "fourier")
        if not fourier or self.solver.statistics is not None:
            return self.solver
        return replace(self.solver, statistics=parampi.Statistics.of_data(self.statistics))

    def load(self, local_rank: int, given: Any = None) -> None:
        """The denoiser on this rank's device, asked for one field, of what is `given` if it is conditional."""
        self.denoiser = on_all(self.comm, lambda: self.loaded(local_rank, given))

    def loaded(self, local_rank: int, given: Any) -> Any:
        model = self.config.model
        device = model_loading.choose_device(self.config.parallel.device, local_rank)
        network = model_loading.build_network(model.network, model.arguments)
        model_loading.load_weights(network, Path(model.weights))
        denoiser = model_loading.build_denoiser(network, model.predicts, model.sigma_data, device)
        dtype = getattr(torch, self.config.parallel.dtype)
        model_loading.probe(
            denoiser, model.shape, float(self.sigmas[0]), dtype, device, given(self.members[:1]) if given else None
        )
        return denoiser

    def arguments(self) -> dict[str, Any]:
        """Of `parampi.sample`, but for the members and who draws them."""
        sampling, parallel = self.config.sampling, self.config.parallel
        return {
            "denoiser": self.denoiser, "shape": self.config.model.shape, "sigmas": self.sigmas, "sampler": self.sampler,
            "solver": self.solver, "window": sampling.window, "tol": sampling.tolerance, "comm": self.comm,
            "sigma_data": self.config.model.sigma_data, "mode": parallel.mode, "dtype": getattr(torch, parallel.dtype),
            "network_batch": parallel.network_batch,
        }  # fmt: skip

    def digests(self) -> dict[str, str]:
        """Of the files that decide the fields."""
        names: dict[str, str | None] = {
            "model.weights": self.config.model.weights, "data.statistics": self.config.data.statistics
        }  # fmt: skip
        condition = self.config.condition
        names |= {"condition.statistics": condition.statistics, "condition.static": condition.static} if condition else {}
        found = {name: sha256(Path(path)) for name, path in names.items() if path and Path(path).is_file()}
        if self.conditions is not None:
            # large files are not read for this
            found["condition.files"] = ", ".join(f"{path.name}: {path.stat().st_size}" for path in self.conditions.paths)
        return found | plugin_digests(self.config.model.plugins, registered(self.config))


def fitting(pattern: str) -> list[str]:
    """Files that a pattern stands for, or the one of that name. Raises DataError where a pattern fits none."""
    found = sorted(glob.glob(pattern))
    if not found and glob.has_magic(pattern):
        raise DataError(f"condition.files: no file fits {pattern}; is the folder right?")
    return found or [pattern]
