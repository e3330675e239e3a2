"""parampi: ensembles from diffusion models of physics fields, parallel in time.

import parampi
ensemble = parampi.sample(denoiser, shape=(1, 64, 64), members=4, sigmas=parampi.sigmas.karras(18))

Names are loaded when they are first used, so that a process can hear signals before it has loaded torch. `PUBLIC` says where
they are; modules among them can be imported from too: `from parampi.sigmas import karras`. Type checkers find those of another
place by files such as `sigmas.pyi`.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parampi import basis, diffusion, errors, fields, parallel, registry, report, samplers, solvers, verify
    from parampi.diffusion import clocks, exact, guidance, noise, posterior, sigmas
    from parampi.diffusion import public_denoisers as denoisers
    from parampi.diffusion.probe import check_denoiser
    from parampi.ensemble import Ensemble, sample
    from parampi.errors import ConfigError, DataError, InterruptionError, LaunchError, NonFiniteError, OutputError, UserError
    from parampi.fields.ensembles.opened import open_file as open
    from parampi.networks.accelerated import accelerated
    from parampi.progress import Progress
    from parampi.report import MemberReport, Report
    from parampi.rollouts import rollout
    from parampi.solvers.spectral.prior import SpectralPrior as Statistics

__version__ = "0.1.0"

__all__ = [
    "ConfigError", "DataError", "Ensemble", "InterruptionError", "LaunchError", "MemberReport", "NonFiniteError", "OutputError",
    "Progress", "Report", "Statistics", "UserError",
    "accelerated", "basis", "check_denoiser", "clocks", "denoisers", "diffusion", "errors", "exact", "fields", "guidance",
    "noise", "open", "parallel", "posterior", "registry", "report", "rollout", "sample", "samplers", "sigmas", "solvers",
    "verify",
]  # fmt: skip

OWN_NAMES = "basis", "diffusion", "errors", "fields", "parallel", "registry", "report", "samplers", "solvers", "verify"
"""Modules that are found under their own names."""
PUBLIC = {
    "Ensemble": "ensemble:Ensemble",
    "accelerated": "networks.accelerated:accelerated",
    "rollout": "rollouts:rollout",
    "sample": "ensemble:sample",
    "open": "fields.ensembles.opened:open_file",
    "check_denoiser": "diffusion.probe:check_denoiser",
    "MemberReport": "report:MemberReport",
    "Progress": "progress:Progress",
    "Report": "report:Report",
    "Statistics": "solvers.spectral.prior:SpectralPrior",
    "ConfigError": "errors:ConfigError",
    "DataError": "errors:DataError",
    "InterruptionError": "errors:InterruptionError",
    "LaunchError": "errors:LaunchError",
    "NonFiniteError": "errors:NonFiniteError",
    "OutputError": "errors:OutputError",
    "UserError": "errors:UserError",
    "clocks": "diffusion.clocks",
    "denoisers": "diffusion.public_denoisers",
    "exact": "diffusion.exact",
    "guidance": "diffusion.guidance",
    "noise": "diffusion.noise",
    "posterior": "diffusion.posterior",
    "sigmas": "diffusion.sigmas",
    **{name: name for name in OWN_NAMES},
}
"""Where the names that users need are: a module of this package, or `module:name`."""


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'parampi' has no attribute {name!r}")
    module, _, attribute = PUBLIC[name].partition(":")
    value = import_module(f"parampi.{module}")
    globals()[name] = getattr(value, attribute) if attribute else value
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


class PublicModules(MetaPathFinder, Loader):
    """Finder that lets `import parampi.sigmas` find the module that `PUBLIC` names, the same one as under its own name."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        package, _, module = name.rpartition(".")
        return ModuleSpec(name, self) if package == __name__ and ":" not in PUBLIC.get(module, ":") else None

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = import_module(f"parampi.{PUBLIC[module.__name__.rpartition('.')[2]]}")


sys.meta_path.append(PublicModules())
