"""What a sampler draws of Gaussian data, in closed form: whether its steps on these noise levels are stable."""

import numpy as np
import torch

from parampi.samplers.base import Equations


def drawn_spread(equations: Equations, sigma_data: float = 1.0) -> float:
    """Return the standard deviation of what steps draw of white Gaussian data, relative to the one that they should,
    `sqrt(sigma_data^2 + sigma_N^2)`: 1 but for the sampler's error. The denoiser is `s^2 / (s^2 + sigma^2) x`.

    Raises TypeError for equations that are no steps from point to point.
    """
    steps = equations.step_map
    squares = steps.sigmas.numpy() ** 2
    response = sigma_data**2 / (sigma_data**2 + squares)
    states, noises = steps.taps, steps.noise.shape[1]
    # covariance of the last `states` states and of the noise of the last `noises` steps, the newest first
    covariance = np.zeros((states + noises, states + noises))
    covariance[0, 0] = sigma_data**2 + steps.start_level**2
    slopes = steps.slopes(torch.from_numpy(response[:-1])).numpy()
    shift = np.zeros_like(covariance)
    shift[range(1, states), range(states - 1)] = 1.0
    shift[range(states + 1, states + noises), range(states, states + noises - 1)] = 1.0
    shift[states, states] = 0.0
    for slope, noise in zip(slopes, steps.noise.numpy(), strict=True):
        covariance[states, :], covariance[:, states], covariance[states, states] = 0.0, 0.0, 1.0
        shift[0] = np.concatenate([slope, noise])
        covariance = shift @ covariance @ shift.T
    return float(np.sqrt(max(covariance[0, 0], 0.0) / (sigma_data**2 + squares[-1])))
