"""The rank of this process as its launcher numbers it, known before torch and MPI are loaded."""

import os
from collections.abc import Mapping

RANKS = (
    "PMI_RANK",
    "OMPI_COMM_WORLD_RANK",
    "MV2_COMM_WORLD_RANK",
    "PMIX_RANK",
    "PALS_RANKID",
    "FLUX_TASK_RANK",
    "SLURM_PROCID",
)
"""Variables in which launchers number their processes."""


def launched_rank(environment: Mapping[str, str] = os.environ) -> int:
    """Return this process's rank; 0 where no launcher is at work."""
    return next((int(environment[name]) for name in RANKS if environment.get(name, "").isdigit()), 0)
