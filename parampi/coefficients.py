"""The numbers of a chain's steps, for all of it and for one rank's slice of the members' windows."""

from dataclasses import dataclass, fields

from torch import Tensor

from parampi.samplers.chain import Chain
from parampi.solvers import Solver


@dataclass(frozen=True)
class Coefficients:
    """One number per step: (N,) on the CPU for a whole chain, (n, m, 1 ... 1) beside the states for a slice of windows.

    state, drift, noise        of the step map
    slopes                     of the solver's linear model
    guess_slopes, guess_noise  of its first guess
    sigmas, scale              noise level of the step's first point, and sqrt(sigma^2 + sigma_data^2)
    """

    state: Tensor
    drift: Tensor
    noise: Tensor
    slopes: Tensor
    guess_slopes: Tensor
    guess_noise: Tensor
    sigmas: Tensor
    scale: Tensor

    @classmethod
    def of(cls, chain: Chain, solver: Solver) -> "Coefficients":
        """Those of all N steps of a chain."""
        step_map, sigma_data = chain.step_map, chain.sigma_data
        guess, sigmas = solver.first_guess(step_map, sigma_data), step_map.sigmas[:-1]
        scale = (sigmas**2 + sigma_data**2).sqrt()
        slopes = solver.slopes(step_map, sigma_data)
        return cls(step_map.state, step_map.drift, step_map.noise, slopes, guess.slopes, guess.noise, sigmas, scale)

    def at(self, steps: Tensor, active: Tensor, like: Tensor) -> "Coefficients":
        """Those of the steps (n, m), in the dtype of `like`, on its device and shaped to go with it; 0 where not `active`."""
        inside, shape = steps.clamp(max=len(self.state) - 1), (*steps.shape, *(1 for _ in like.shape[2:]))
        numbers = (getattr(self, one.name)[inside] * active for one in fields(self))
        return Coefficients(*(number.to(like).view(shape) for number in numbers))
