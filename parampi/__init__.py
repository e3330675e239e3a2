"""parampi: ensembles from diffusion models of physics fields, parallel in time.

import parampi
ensemble = parampi.sample(denoiser, shape=(1, 64, 64), members=4, sigmas=parampi.sigmas.karras(18))

Names are loaded when they are first used, so that a process can hear signals before it has loaded torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

MODULES = {
    "denoisers": "diffusion.denoiser", "exact": "diffusion.exact", "guidance": "diffusion.guidance", "noise": "diffusion.noise",
    "posterior": "diffusion.posterior", "sigmas": "diffusion.sigmas",
    **{name: name for name in ("basis", "diffusion", "fields", "parallel", "samplers", "solvers", "verify")},
}  # fmt: skip
HOMES = {
    "ensemble": ("Ensemble", "sample"), "report": ("MemberReport", "Report"), "statistics": ("Statistics",),
    "errors": ("ConfigError", "DataError", "LaunchError", "NonFiniteError", "OutputError", "UserError"),
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in MODULES:
        found: Any = import_module(f"parampi.{MODULES[name]}")
    else:
        home = next((module for module, names in HOMES.items() if name in names), None)
        if home is None:
            raise AttributeError(f"module 'parampi' has no attribute {name!r}")
        found = getattr(import_module(f"parampi.{home}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
