"""parampi: ensembles from diffusion models of physics fields, parallel in time.

import parampi
ensemble = parampi.sample(denoiser, shape=(1, 64, 64), members=4, sigmas=parampi.sigmas.karras(18))

Names are loaded when they are first used, so that a process can hear signals before it has loaded torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parampi import samplers, solvers
    from parampi.diffusion import denoisers, exact, guidance, noise, posterior, sigmas
    from parampi.ensemble import Ensemble, sample
    from parampi.errors import ConfigError, DataError, InterruptionError, LaunchError, NonFiniteError, OutputError, UserError
    from parampi.report import MemberReport, Report
    from parampi.solvers.spectral.prior import SpectralPrior as Statistics

__version__ = "0.1.0"

__all__ = [
    "ConfigError", "DataError", "Ensemble", "InterruptionError", "LaunchError", "MemberReport", "NonFiniteError", "OutputError",
    "Report", "Statistics", "UserError",
    "denoisers", "exact", "guidance", "noise", "posterior", "sample", "samplers", "sigmas", "solvers",
]  # fmt: skip

MODULES = {
    **{name: f"diffusion.{name}" for name in ("denoisers", "exact", "guidance", "noise", "posterior", "sigmas")},
    **{name: name for name in ("basis", "diffusion", "fields", "parallel", "samplers", "solvers", "verify")},
}
NAMES = {
    **{name: ("ensemble", name) for name in ("Ensemble", "sample")},
    **{name: ("report", name) for name in ("MemberReport", "Report")},
    **{name: ("errors", name) for name in ("ConfigError", "DataError", "InterruptionError", "LaunchError", "NonFiniteError")},
    **{name: ("errors", name) for name in ("OutputError", "UserError")},
    "Statistics": ("solvers.spectral.prior", "SpectralPrior"),
}


def __getattr__(name: str) -> Any:
    if name in MODULES:
        value: Any = import_module(f"parampi.{MODULES[name]}")
    elif name in NAMES:
        module, attribute = NAMES[name]
        value = getattr(import_module(f"parampi.{module}"), attribute)
    else:
        raise AttributeError(f"module 'parampi' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
