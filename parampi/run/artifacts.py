"""The files beside the ensemble at the end of a run: its report, and a figure."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from parampi.ensemble import Ensemble
from parampi.errors import UserError
from parampi.fields import PER_CASE, DatasetStatistics
from parampi.fields.atomic_files import write_whole
from parampi.fields.ensembles.opened import open_file
from parampi.fields.ensembles.places import Place, fields_at, places
from parampi.fields.json_text import to_json
from parampi.report import count
from parampi.run.config import RunConfig
from parampi.run.inputs import Inputs
from parampi.run.metadata import content
from parampi.run.output import store_class

T = TypeVar("T")
SHOWN = 64
"""Members whose spectrum the figure shows; ensembles may be larger than memory."""


def write_report(config: RunConfig, attributes: dict[str, Any], ensemble: Ensemble) -> None:
    """Write the configuration, how the run was made, and what it cost. Raises OutputError."""
    facts = {"config": config.as_dict(), **attributes, **ensemble.report.as_dict()}
    facts.pop("parampi_config")
    write_whole(Path(config.output.directory) / config.output.report, (to_json(facts, indent=1) + "\n").encode())


def attempt(work: Callable[[], T]) -> tuple[T | None, str]:
    """Return what `work` returns, and "", or None and in one line the error that it ended with."""
    try:
        return work(), ""
    except Exception as error:
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        return None, kind + " ".join(str(error).split())


def figure_obstacle(config: RunConfig, mode: str, statistics: DatasetStatistics) -> str:
    """Return why the figure cannot be drawn from the ensemble file that the store of this name writes; "" where it can."""
    output = config.output
    if not store_class(mode).schema_file:
        return f"output.mode = {mode} writes no NetCDF file of parampi's schema"
    if not output.members:
        return "output.members = false leaves members out of the file"
    if len(statistics.reference) == 0:
        return "the statistics hold no sample to show beside the members"
    names = statistics.names
    if content(output, mode).chosen(names) != names:
        return "output.variables leaves channels out of the file"
    return ""


def draw_figure(inputs: Inputs, mode: str, ensemble: Ensemble) -> str:
    """Draw members beside data, spectra, and the changes of one member. Return why there is no figure, "" where there is one.

    Raises OutputError.
    """
    from parampi.verify.figures import report_figure

    report, output = ensemble.report, inputs.config.output
    if obstacle := figure_obstacle(inputs.config, mode, inputs.statistics):
        return obstacle
    if not report.residuals:
        return "it shows the rounds of a member, and this run drew none"
    number = next(iter(report.residuals))
    history = [(r.first, np.array(r.changes)) for r in report.residuals[number]]
    names = inputs.statistics.names
    with open_file(Path(output.directory) / output.ensemble).to_xarray() as dataset:
        place = shown_place(places(dataset))
        fields = fields_at(dataset, names[0], place, SHOWN)
    report_figure(
        Path(output.directory) / str(output.figure),
        fields,
        inputs.statistics,
        history,
        sigmas=inputs.equations.sigmas.numpy(),
        tolerance=inputs.config.sampling.tolerance,
        title=f"{report.counted()}, {count(report.rounds, 'round')} instead of {report.serial_rounds}",
        place=place.words,
        numbers=place.numbers,
        total=len(place.numbers),
        swept=swept_words(number, inputs),
    )
    return ""


def shown_place(there: Sequence[Place]) -> Place:
    """Return the last lead time of the first case, of those at which members are finished."""
    return [place for place in there if place.case == there[0].case][-1]


def swept_words(number: int, inputs: Inputs) -> str:
    """Return of whom residuals are, in words."""
    case = f", case {number // PER_CASE}" if inputs.conditions else ""
    first = ", first lead time" if inputs.leads > 1 else ""
    return f"member {number % PER_CASE if inputs.conditions else number}{case}{first}"
