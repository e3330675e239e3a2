"""How a run describes itself: before it starts, and in the attributes of its ensemble file."""

import math
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

import parampi
from parampi.diffusion.denoisers import Denoiser, placement
from parampi.fields import Content
from parampi.fields.json_text import to_json
from parampi.fields.stores.parts import new_identifier
from parampi.parallel import Layout
from parampi.parallel.launch import mpi_version
from parampi.report import count
from parampi.run.advice import OTHER_SERIAL, SERIAL, advice, overlap_advice
from parampi.run.config import RunConfig
from parampi.run.config.output_section import Output as OutputConfig
from parampi.run.earlier_files import RUN
from parampi.run.model_clock import check_stability
from parampi.run.model_loading import acceleration_of
from parampi.run.output import store_class

if TYPE_CHECKING:
    from parampi.run.inputs import Inputs
    from parampi.run.plan import Plan

INPUTS_DIGESTS = "inputs_sha256"
"""Attribute of the ensemble file: SHA-256 of the files that decide its fields, by the keys that name them, as JSON."""

THREADS = "threads_per_rank"
"""Attribute of the ensemble file: threads with which each rank computed, on which the last bits of fields depend."""


def versions() -> dict[str, str]:
    """Return the versions of what computes fields."""
    return {"parampi": parampi.__version__, "torch": str(torch.__version__)}


def content(output: OutputConfig, mode: str) -> Content:
    """Return what is written of the ensemble by the store of this name."""
    return Content(
        variables=None if output.variables is None else tuple(output.variables),
        members=output.members,
        summary=tuple(output.summary),
        quantiles=tuple(output.quantiles),
        compression=output.compression,
        checksums=store_class(mode).checksums,
        digits=output.digits,
    )


def describe(config: RunConfig, layout: Layout, run: str) -> dict[str, str | int]:
    """Return what the ensemble file says about its making; `run` names the run through all its attempts."""
    return {
        "parampi_version": parampi.__version__,
        "parampi_config": to_json(config.as_dict()),
        "parampi_ensemble": new_identifier(Path(config.output.directory) / config.output.ensemble),
        RUN: run,
        "rank_layout": layout.describe(),
        "ranks": layout.ranks,
        "time_ranks": layout.time_ranks,
        THREADS: torch.get_num_threads(),
        "mpi": mpi_version(),
        "software": f"python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}",
    }


def announcement(plan: "Plan", denoiser: Denoiser, ranks_here: int) -> str:
    """Return what is about to happen, and what is likely to be a waste."""
    inputs, config, layout = plan.inputs, plan.config, plan.layouts[0]
    times = f" for {inputs.leads} lead times" if inputs.leads > 1 else ""
    serial = SERIAL if inputs.equations.causal else OTHER_SERIAL
    device, _ = placement(denoiser)
    sigmas, sampling = inputs.sigmas, config.sampling
    lines = [
        f"parampi {parampi.__version__}: {layout.describe()}; MPI: {mpi_version()}",
        f"drawing {count(len(inputs.members), 'member')}{times} of {config.model.shape} with {inputs.sampler}, "
        f"{inputs.equations.steps} points from sigma {sigmas[0]:.4g} to {sigmas[-1]:.4g}",
        f"solver {inputs.solver}, window {inputs.window}, tolerance {sampling.tolerance:g}, {config.parallel.mode} mode, "
        f"on {device} with {count(torch.get_num_threads(), 'thread')} per rank",
        f"the network is run with {words}" if (words := acceleration_of(config).words()) else "",
        size(plan),
        f"note: the grid is {words}" if (words := inputs.statistics.geometry.words()) else "",
        *(f"note: {line}" for line in (inputs.conditions.notes if inputs.conditions else ())),
        f"no figure: {plan.figure_obstacle}" if plan.figure_obstacle else "",
        advice(layout, inputs.window, ranks_here, os.cpu_count() or 1, device.type, serial),
        overlap_advice(at_once(config, layout), device.type) if config.parallel.overlap is True else "",
        check_stability(inputs.config, inputs.equations),
    ]
    return "\n".join(line for line in lines if line)


def at_once(config: RunConfig, layout: Layout) -> int:
    """Return how many members a group sweeps at once, at most."""
    share = len(layout.share(0))
    return min(config.parallel.batch or share, share)


def file_bytes(inputs: "Inputs", mode: str) -> int:
    """Return the bytes of all fields in the ensemble file, before compression."""
    written = content(inputs.config.output, mode)
    cases = len(inputs.conditions.cases.indices) if inputs.conditions else 1
    variables, points = len(written.chosen(inputs.statistics.names)), math.prod(inputs.statistics.grid)
    leads = inputs.leads + inputs.config.output.initial_state
    return written.size(len(inputs.members) // cases, cases * leads, variables, points)


def size(plan: "Plan") -> str:
    """Return how large the ensemble file will be, and where it comes."""
    number = file_bytes(plan.inputs, plan.mode) / 1e6
    packing = " before compression" if plan.config.output.compression else ""
    ending = store_class(plan.mode).announce(plan.layouts[0].groups)
    return f"output: {number:.3g} MB{packing} in {plan.ensemble_file}{ending}"
