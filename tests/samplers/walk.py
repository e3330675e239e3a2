"""A step map walked point by point: the definition, and nothing else."""

import torch


def walk(step_map, denoise, start, noises):
    """All states (N + 1, *shape) from `start`; `denoise(x, sigma)` is asked where a step reads it, `noises[i]` is of step i."""
    states, denoised = [start], []
    for i in range(step_map.steps):
        evaluated = bool(step_map.evaluated[i])
        denoised.append(denoise(states[i], step_map.sigmas[i]) if evaluated else torch.zeros_like(start))
        x = torch.zeros_like(start)
        for tap in range(min(step_map.taps, i + 1)):
            x = x + step_map.state[i, tap] * states[i - tap] + step_map.denoised_weight[i, tap] * denoised[i - tap]
        for tap in range(min(step_map.noise.shape[1], i + 1)):
            if step_map.noise[i, tap] != 0:
                x = x + step_map.noise[i, tap] * noises[i - tap]
        states.append(x)
    return torch.stack(states)
