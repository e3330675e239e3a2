"""parampi: ensembles from diffusion models of physics fields, parallel in time.

import parampi
ensemble = parampi.sample(denoiser, shape=(1, 64, 64), members=4, sigmas=parampi.sigmas.karras(18))
"""

from parampi import samplers, solvers
from parampi.diffusion import denoiser as denoisers
from parampi.diffusion import exact, guidance, noise, posterior, sigmas
from parampi.ensemble import Ensemble, sample
from parampi.errors import ConfigError, DataError, LaunchError, NonFiniteError, OutputError, UserError
from parampi.report import MemberReport, Report
from parampi.statistics import Statistics

__version__ = "0.1.0"

__all__ = [
    "ConfigError", "DataError", "Ensemble", "LaunchError", "MemberReport", "NonFiniteError", "OutputError", "Report",
    "Statistics", "UserError",
    "denoisers", "exact", "guidance", "noise", "posterior", "sample", "samplers", "sigmas", "solvers",
]  # fmt: skip
