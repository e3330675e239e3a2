"""The spectral solver: a linear model from the spectrum of the data, corrected by secants from sweep to sweep."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from parampi.basis import Basis, Identity
from parampi.errors import ConfigError
from parampi.samplers import CollocationEquations, Equations, StepMap
from parampi.solvers.base import Solver, check_choices, register
from parampi.solvers.linear_models import Guess, trend_of
from parampi.solvers.spectral.collocation import CollocationSweeps, LastChange
from parampi.solvers.spectral.model import SpectralModel
from parampi.solvers.spectral.prior import SpectralPrior
from parampi.solvers.spectral.stop_rule import SpectralStopRule
from parampi.solvers.spectral.sweeps import SpectralSweeps
from parampi.solvers.stop_rules import Rule
from parampi.solvers.sweep import Iteration


@register("spectral")
@dataclass(frozen=True)
class Spectral(Solver):
    """Sweeps whose linear model of the denoiser is diagonal in a basis, `D = mean + L (x - mean)`, `L_f = c_f / (c_f + s^2)`.

    basis       modes in which the fields are nearly uncorrelated: a name, for `parampi.basis.make_basis`, a mapping of `name`
                and its options, or a basis. None: that of the statistics, else Fourier modes, or the points themselves where
                fields have no axes of space
    statistics  `parampi.Statistics` of the normalised data, or the path of a file of them; None: variance sigma_data^2 for all
                modes and no mean. `parampi run` takes those of `data.statistics`
    secants     learn the model anew after every sweep, for each shell of modes and point, from what the sweep has changed; no
                effect in the basis of single points, where they prove little
    local       learn also where in a field the denoiser responds more and where less, from the same changes: pays with
                networks, whose responses are local, not with mixtures of regimes; no effect in bases that know no neighbouring
                points
    guess       of points that enter a window, from those before, without a network call. "extrapolated": the sampler's steps
                with the true noises and with denoised fields that are extrapolated from the last two of the window (`Trend`);
                far ahead, and before any is known, "model": the sampler's own solution for Gaussian data of this mean and
                spectrum
    safety      factor of the estimated error: by how much the share of the worst case that comes true may grow from sweep to
                sweep

    See the page "The spectral solver" for the derivation, and "Reading the tolerance" for the stop rule. Raises ConfigError for
    a safety below 1, for an unknown guess, for statistics of another type, and for a basis that is not that of its statistics.
    """

    basis: Any = None
    statistics: Any = None
    secants: bool = True
    local: bool = True
    safety: float = 2.0
    guess: Literal["extrapolated", "model"] = "extrapolated"
    solves: ClassVar[tuple[type[Equations], ...]] = (StepMap, CollocationEquations)

    def __post_init__(self) -> None:
        if not 1 <= self.safety < math.inf:
            raise ConfigError(f"Spectral's safety = {self.safety} is below 1 or not finite; give 1 or more")
        check_choices(self, {"guess": ("extrapolated", "model")})
        basis_choice(self.basis)
        if self.statistics is not None and not isinstance(self.statistics, SpectralPrior | str | Path):
            raise ConfigError(f"Spectral's statistics are {type(self.statistics).__name__}; give parampi.Statistics or a path")

    def bind(self, shape: tuple[int, ...], sigma_data: float) -> "Spectral":
        options = self.basis, self.statistics, self.secants, self.local, self.safety, self.guess
        return BoundSpectral(*options, self.known(shape, sigma_data))

    def first_guess(self, step_map: StepMap, sigma_data: float) -> Guess:
        trend = trend_of(step_map) if self.guess == "extrapolated" else None
        return replace(super().first_guess(step_map, sigma_data), trend=trend)

    def window(self, requested: int | None, equations: Equations) -> int:
        if not equations.causal and requested is not None and requested < equations.steps:
            raise ConfigError(
                f"window = {requested} is shorter than the {equations.steps} points of Collocation, whose steps read later "
                f"points too; leave the window out (null)"
            )
        return super().window(requested, equations)

    def known(self, shape: tuple[int, ...], sigma_data: float) -> SpectralModel:
        """Return the model for fields of this shape."""
        if isinstance(self.statistics, str | Path):
            prior = SpectralPrior.from_file(self.statistics)
            try:
                return replace(self, statistics=prior).known(shape, sigma_data)
            except ConfigError as error:
                raise ConfigError(f"{self.statistics}: {error}") from None
        prior, (basis, options) = self.statistics, basis_choice(self.basis)
        usual = "fourier" if 2 <= len(shape) <= 4 else "identity"
        if prior is None:
            prior = SpectralPrior(basis=basis or usual, options=options)
        elif basis is not None and (prior.spectrum is None or prior.spectrum.ndim == 0):
            prior = replace(prior, basis=basis, options=options)
        elif basis is not None and not (same(basis, prior.basis) and options.items() <= dict(prior.options).items()):
            raise ConfigError(
                f"Spectral's basis = {named(basis)}{with_options(options)} is not the one of its statistics, "
                f"{named(prior.basis)}{with_options(prior.options)}; leave it out, or take statistics in that basis: "
                f"SpectralPrior.from_samples(fields, basis={named(basis)})"
            )
        return SpectralModel(*prior.known(shape, sigma_data), assumed=prior.spectrum is None)

    def rule(self, equations: Equations, sigma_data: float, tolerance: float) -> Rule:
        one = torch.ones(1, dtype=torch.float64)
        return SpectralStopRule.of(
            equations.step_map, sigma_data**2 * one, one, size=sigma_data, tolerance=tolerance, safety=self.safety
        )


@dataclass(frozen=True)
class BoundSpectral(Spectral):
    """The spectral solver for fields of one shape."""

    known_model: SpectralModel | None = None

    def rule(self, equations: Equations, sigma_data: float, tolerance: float) -> Rule:
        if not equations.causal:
            return LastChange(tolerance, self.safety)
        if not bool(equations.evaluated.all()):
            # velocities are not denoised, and so tell nothing of the error
            return Solver.rule(self, equations, sigma_data, tolerance)
        model = self.model_of()
        shells, bands = model.shells(), model.bands
        freedom = bands.sums(shells[1])
        variance = bands.means(*shells)
        size = float((shells[0] * shells[1]).sum() + model.basis.shell_sums(model.mean**2).sum()) ** 0.5
        return SpectralStopRule.of(equations.step_map, variance, freedom, size=size, tolerance=tolerance, safety=self.safety)

    def iteration(self, equations: Equations, sigma_data: float) -> Iteration:
        if isinstance(equations, CollocationEquations):
            return CollocationSweeps(self.model_of(), equations, self.learns, self.local)
        return SpectralSweeps(self.model_of(), self.learns, self.local)

    @property
    def learns(self) -> bool:
        """Whether secants are learned: not in the basis of single points, where shells may be single numbers. The slope of one
        number is 0 as soon as it has settled in a mode of the data, also while sweeps still carry it from one to another."""
        return self.secants and not isinstance(self.model_of().basis, Identity)

    def model_of(self) -> SpectralModel:
        if self.known_model is None:
            raise TypeError("bind the solver to a shape first")
        return self.known_model


def same(basis: str | Basis, other: str | Basis) -> bool:
    return basis == other if isinstance(basis, str) else basis is other


def named(basis: str | Basis) -> str:
    return repr(basis) if isinstance(basis, str) else type(basis).__name__


def basis_choice(basis: Any) -> tuple[Any, dict[str, Any]]:
    """Return the name of a basis, or a basis, and options. Raises ConfigError for a mapping without a name."""
    if not isinstance(basis, Mapping):
        return basis, {}
    if not isinstance(basis.get("name"), str):
        raise ConfigError(f"Spectral's basis = {dict(basis)} has no name; give such as {{name: fourier, shells: axes}}")
    return basis["name"], {str(key): value for key, value in basis.items() if key != "name"}


def with_options(options: Mapping[str, Any]) -> str:
    return f" with {dict(options)}" if options else ""
