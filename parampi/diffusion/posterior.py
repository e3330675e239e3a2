"""Guidance by observations: denoisers for fields of which something has been measured."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from parampi.diffusion.denoisers import Denoiser
from parampi.diffusion.guidance import Guided, column
from parampi.errors import ConfigError

Observe = Callable[[Tensor], Tensor]


class Posterior(Guided, ABC):
    """A denoiser for fields of which `observations = observe(x0) + noise n` are known.

    observe       (B, *shape) to (B, *observed), differentiable, each row by itself
    observations  (*observed), the same for all fields
    noise         their standard deviation, a number or a tensor that broadcasts to (*observed)
    """

    def __init__(self, denoiser: Denoiser, observe: Observe, observations: Tensor, noise: Tensor | float):
        super().__init__(denoiser)
        if not callable(observe):
            raise ConfigError(f"observe must be callable as observe(x); got {type(observe).__name__}")
        self.observe = observe
        self.observations, self.noise = torch.as_tensor(observations), torch.as_tensor(noise)
        self.check_noise()
        if not bool(self.observations.isfinite().all()):
            raise ConfigError("observations must be finite; leave out what is missing by not observing it")
        self.checked = False

    def check_noise(self) -> None:
        if not bool(((self.noise >= 0) & self.noise.isfinite()).all()):
            raise ConfigError("noise must not be negative: it is the standard deviation of the observations' errors")
        try:
            self.noise.expand(self.observations.shape)
        except RuntimeError as error:
            raise ConfigError(
                f"noise has shape {tuple(self.noise.shape)}, the observations {tuple(self.observations.shape)}; give one "
                "standard deviation for all, or one for each"
            ) from error

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return D(x, sigma): x (B, *shape), sigma (B,)."""

        def observed(state: Tensor) -> tuple[Tensor, Tensor]:
            denoised = self.denoiser(state.clone(), sigma.clone())  # which may write into them
            return self.observe(denoised), denoised

        # differentiates although the caller has switched gradients off, and can be differentiated itself
        expected, pullback, denoised = torch.func.vjp(observed, x, has_aux=True)  # type: ignore[misc]
        residual, level = self.residual(expected, x), column(sigma.to(x) ** 2, x)
        if not self.checked:
            self.check(x, denoised, pullback(residual)[0], residual)
            self.checked = True
        result: Tensor = denoised + level * pullback(self.weigh(residual, lambda z: pullback(z)[0], sigma.to(x) ** 2))[0]
        return result

    def residual(self, expected: Tensor, x: Tensor) -> Tensor:
        """Return the observations less their prediction (B, *observed)."""
        if expected.shape != (len(x), *self.observations.shape):
            raise ConfigError(
                f"observe made {tuple(expected.shape)} of {len(x)} fields of shape {tuple(x.shape[1:])}, but the observations "
                f"have shape {tuple(self.observations.shape)}; they must be alike but for the leading axis"
            )
        return self.observations.to(expected) - expected

    def check(self, x: Tensor, denoised: Tensor, pulled: Tensor, residual: Tensor) -> None:
        """Raise ConfigError for a denoiser that cannot be differentiated."""
        if bool((residual != 0).any()) and not bool((pulled != 0).any()):
            raise ConfigError(
                "the denoiser does not answer to a change of x, as far as automatic differentiation sees; posterior guidance "
                "needs its derivative: remove torch.no_grad and detach from it, or check what is observed"
            )

    @abstractmethod
    def weigh(self, residual: Tensor, pull: Observe, level: Tensor) -> Tensor:
        """Return z (B, *observed) of which `D + sigma^2 J^T H^T z` is made; level is sigma^2 (B,)."""


class MomentMatching(Posterior):
    """Posterior guidance by matched moments, for observations that are linear in the field:

        D + sigma^2 J^T H^T z,        (noise^2 + H sigma^2 J^T H^T) z = y - H D,        J = dD/dx

    `sigma^2 J` is the covariance of x0 given x (Tweedie), so this is the posterior mean for a Gaussian of the same mean and
    covariance; it is exact for Gaussian data. Rozet, Andry, Lanusse and Louppe 2024 (arXiv 2405.13712); with J replaced by a
    multiple of 1 it is the PiGDM of Song, Vahdat, Mardani and Kautz (ICLR 2023).

    The system is solved by `iterations` steps of conjugate gradients from z = 0, the same number for every field; as many as
    there are observations solve it. One evaluation costs the denoiser's and `iterations + 1` times its derivative, each about
    two evaluations. Raises ConfigError if `observe` is not linear.
    """

    def __init__(
        self, denoiser: Denoiser, observe: Observe, observations: Tensor, noise: Tensor | float, *, iterations: int = 3
    ):
        super().__init__(denoiser, observe, observations, noise)
        if iterations < 1:
            raise ConfigError(f"iterations = {iterations} of conjugate gradients; take at least 1, 3 is usual")
        self.iterations = iterations

    def check(self, x: Tensor, denoised: Tensor, pulled: Tensor, residual: Tensor) -> None:
        super().check(x, denoised, pulled, residual)
        slack = max(1e-3, 50 * torch.finfo(x.dtype).eps)
        sum_of_both, both = self.observe(x + denoised), self.observe(x) + self.observe(denoised)
        if not torch.allclose(sum_of_both, both, rtol=0, atol=slack * float(both.abs().max())):
            raise ConfigError(
                "observe is not linear, observe(a + b) differs from observe(a) + observe(b): subtract its offset from the "
                "observations, or use DiffusionPosterior, which takes any differentiable one"
            )

    def weigh(self, residual: Tensor, pull: Observe, level: Tensor) -> Tensor:
        variance = self.noise.to(residual) ** 2
        levels = column(level, residual)
        return conjugate_gradients(lambda z: variance * z + levels * self.observe(pull(z)), residual, self.iterations)


class DiffusionPosterior(Posterior):
    """Diffusion posterior sampling (Chung, Kim, Mccann, Klasky and Ye 2022, arXiv 2209.14687), for differentiable `observe`:

        D + sigma^2 J^T H^T w (y - H D),        w = strength / |y - H D|   or, where noise is given,   w = strength / noise^2

    with J^T H^T the derivative of `observe(D(x))`. x0 given x is taken to be certain, so that the observations count too much
    where there is much noise. The first w is the published rule, of a gradient of fixed length; the second the likelihood's.
    One evaluation costs the denoiser's and one derivative, about two evaluations.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        observe: Observe,
        observations: Tensor,
        noise: Tensor | float | None = None,
        *,
        strength: float = 1.0,
    ):
        super().__init__(denoiser, observe, observations, 0.0 if noise is None else noise)
        if noise is not None and bool((self.noise == 0).any()):
            raise ConfigError("noise = 0 would give observations infinite weight; leave it out for the published rule")
        if not 0 < strength < math.inf:
            raise ConfigError(f"strength = {strength} must be a positive number; 1 is usual")
        self.normalised, self.strength = noise is None, strength

    def weigh(self, residual: Tensor, pull: Observe, level: Tensor) -> Tensor:
        if not self.normalised:
            return self.strength * residual / self.noise.to(residual) ** 2
        length = column(inner(residual, residual).sqrt(), residual)
        return self.strength * residual / torch.where(length > 0, length, torch.ones_like(length))


def conjugate_gradients(apply: Observe, target: Tensor, iterations: int) -> Tensor:
    """Return z (B, ...) with `apply(z) = target`, each row by itself, after a fixed number of steps from 0 (Hestenes, Stiefel
    1952).

    A row that is solved stays as it is, as does one for which the operator turns out not to be positive.
    """
    solution, residual, direction = torch.zeros_like(target), target, target
    size = inner(residual, residual)
    for _ in range(iterations):
        image = apply(direction)
        step = column(ratio(size, inner(direction, image)), target)
        solution, residual = solution + step * direction, residual - step * image
        size, before = inner(residual, residual), size
        direction = residual + column(ratio(size, before), target) * direction
    return solution


def ratio(top: Tensor, bottom: Tensor) -> Tensor:
    """Return top/bottom (B,), 0 where the bottom is not positive."""
    return torch.where(bottom > 0, top / torch.where(bottom > 0, bottom, torch.ones_like(bottom)), torch.zeros_like(top))


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Return inner products of the rows, (B,)."""
    return (a * b).flatten(1).sum(1)
