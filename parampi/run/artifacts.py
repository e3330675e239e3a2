"""The files beside the ensemble at the end of a run: its report, and a figure."""

from pathlib import Path
from typing import Any

import numpy as np

from parampi.ensemble import Ensemble
from parampi.fields import read_members
from parampi.fields.json_text import to_json
from parampi.report import count
from parampi.run.checkpoint.folder import write_whole
from parampi.run.config import RunConfig
from parampi.run.inputs import Inputs

SHOWN = 64
"""Members whose spectrum the figure shows; ensembles may be larger than memory."""


def write_report(config: RunConfig, attributes: dict[str, Any], ensemble: Ensemble) -> None:
    """Write the configuration, how the run was made, and what it cost. Raises OutputError."""
    facts = {"config": config.as_dict(), **attributes, **ensemble.report.as_dict()}
    facts.pop("parampi_config")
    write_whole(Path(config.output.directory) / config.output.report, (to_json(facts, indent=1) + "\n").encode())


def draw_figure(inputs: Inputs, ensemble: Ensemble) -> None:
    """Draw members beside data, spectra, and the changes of one member, where the file has them. Raises OutputError."""
    from parampi.verify.figures import report_figure

    report, output = ensemble.report, inputs.config.output
    if not report.residuals or not output.members or output.variables:
        return
    number = next(iter(report.residuals))
    history = [(r.first, np.array(r.changes)) for r in report.residuals[number]]
    fields, _ = read_members(Path(output.directory) / output.ensemble, inputs.statistics.names, SHOWN)
    fields = np.where(np.isnan(fields), inputs.statistics.mean[:, None, None], fields)  # masked points
    title = f"{count(len(report.members), 'member')}, {report.rounds} rounds instead of {report.serial_rounds}"
    target, sigmas = Path(output.directory) / str(output.figure), inputs.step_map.sigmas.numpy()
    tolerance = inputs.config.sampling.tolerance
    report_figure(target, fields, inputs.statistics, history, sigmas=sigmas, tolerance=tolerance, title=title)
