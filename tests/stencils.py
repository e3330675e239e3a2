"""Made-up step maps, so that the engine is tested beyond the samplers there happen to be, and the loop they are judged by."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch

from parampi.samplers import StepMap
from tests.serial_loop import draw

F64 = torch.float64


@dataclass(frozen=True)
class Made:
    """A sampler of a made-up step map: whatever the grid, the same steps."""

    step_map: StepMap
    order = 1

    def steps(self, sigmas):
        return self.step_map


def loop(denoiser, step_map, shape, member, seed=0, sigma_data=1.0, dtype=F64):
    """All states (N + 1, *shape) of one member, one step after another:

        x[i+1] = sum_l state[i,l] x[i-l] + denoised_weight[i,l] D(x[i-l]) + sum_q noise[i,q] xi[i-q]

    For equal bits it adds up in the engine's order. Points and steps before the first are not read, numbers of 0 are left out.
    """
    sigmas = step_map.sigmas
    level = sigmas[0].item() if step_map.start is None else step_map.start
    states = [math.sqrt(level**2 + sigma_data**2) * draw(seed, member, 0, shape, dtype)]
    said = {}

    def denoised(i):
        if i not in said:
            said[i] = denoiser(states[i][None], sigmas[i][None].to(dtype, copy=True))[0]
        return said[i]

    for i, (state, denoised_weight, noise) in enumerate(
        zip(step_map.state, step_map.denoised_weight, step_map.noise, strict=True)
    ):
        x = torch.zeros(shape, dtype=dtype)
        for tap, (keeps, moves) in enumerate(zip(state.tolist(), denoised_weight.tolist(), strict=True)):
            if keeps:
                x = x + keeps * states[i - tap]
            if moves:
                x = x + moves * denoised(i - tap)
        added = [(adds, i - q) for q, adds in enumerate(noise.tolist()) if adds]
        if added:
            x = x + sum(
                (adds * draw(seed, member, step + 1, shape, dtype) for adds, step in added), torch.zeros(shape, dtype=dtype)
            )
        states.append(x)
    return torch.stack(states)


def loops(problem, step_map, members, **options):
    """The same for several members, (N + 1, m, *shape)."""
    options = {"sigma_data": problem.sigma_data, **options}
    return torch.stack([loop(problem, step_map, problem.shape, m, **options) for m in members], dim=1)


def levels(steps, first=20.0, last=0.05):
    """Noise levels (steps + 1,) in geometric progression, the last one 0."""
    falling = torch.logspace(0, 1, steps, dtype=F64) if steps > 1 else torch.ones(1, dtype=F64)
    falling = first * (last / first) ** (falling.log10())
    return torch.cat([falling, torch.zeros(1, dtype=F64)])


def inside(numbers):
    """Numbers (N, K) without those that would reach before the first."""
    reach = torch.arange(len(numbers))[:, None] >= torch.arange(numbers.shape[1])
    return torch.where(reach, numbers, 0.0)


def random_stencil(seed, steps, taps=1, noises=1, blind=0.0, stochastic=True):
    """Steps that keep a state's size, roughly, by a random mixture of `taps` states and denoised fields before and `noises`
    noises; `blind` is the share of points whose denoised field no step reads."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*sizes):
        return torch.rand(sizes, generator=generator, dtype=F64)

    sigmas = levels(steps)
    ratio = sigmas[1:] / sigmas[:-1]
    state, denoised_weight = 0.2 * (uniform(steps, taps) - 0.5), 0.3 * (uniform(steps, taps) - 0.5)
    state[:, 0] += ratio
    denoised_weight[:, 0] += 1 - ratio
    for i in (torch.nonzero(uniform(steps - 1) < blind).flatten() + 1).tolist():
        for tap in range(min(taps, steps - i)):
            denoised_weight[i + tap, tap] = 0
    noise = 0.1 * (uniform(steps, noises) + 0.2) if stochastic else torch.zeros(steps, noises, dtype=F64)
    return StepMap(sigmas, inside(state), inside(denoised_weight), inside(noise))


def heun(grid):
    """Heun's method for the probability-flow ODE (Karras et al. 2022, algorithm 1) on a grid of levels: its predictor is a
    point of its own, at the next level; the last step, to 0, is Euler's."""
    grid = grid.tolist()
    sigmas, state, denoised_weight = [grid[0]], [], []
    for k, (a, b) in enumerate(pairwise(grid)):
        sigmas.append(b)
        state.append([b / a, 0.0])
        denoised_weight.append([1 - b / a, 0.0])
        if k + 2 < len(grid):
            # x = x_a + (b - a) ((x_a - D_a) / a + (x_b - D_b) / b) / 2
            sigmas.append(b)
            state.append([(b - a) / (2 * b), 1 + (b - a) / (2 * a)])
            denoised_weight.append([(a - b) / (2 * b), (a - b) / (2 * a)])
    return StepMap(*(torch.tensor(n, dtype=F64) for n in (sigmas, state, denoised_weight)), torch.zeros(len(state), dtype=F64))


def multistep(grid, noise=0.0):
    """DPM-Solver++(2M) (Lu et al. 2022, arXiv:2211.01095): it reads the denoised field of the point before, not its state."""
    log = -grid.clamp(min=1e-3).log()
    h = log[1:] - log[:-1]
    ratio = grid[1:] / grid[:-1]
    back = torch.cat([torch.zeros(1, dtype=F64), h[1:] / (2 * h[:-1])])
    state = torch.stack([ratio, torch.zeros_like(ratio)], dim=1)
    denoised_weight = (1 - ratio)[:, None] * torch.stack([1 + back, -back], dim=1)
    return StepMap(grid, state, denoised_weight, noise * grid[1:])


def langevin(count, taps=2, step=0.4, friction=0.7, level=0.5):
    """Positions and velocities in turn, x_0, v_0, x_1, v_1, ...: underdamped Langevin dynamics whose force is `D - x`. No step
    reads the denoised field of a velocity. A velocity takes the noise of its own step and of the step before."""
    steps, a = 2 * count, friction
    state, denoised_weight, noise = (torch.zeros(steps, max(taps, 2), dtype=F64) for _ in range(3))
    noise = noise[:, :2]
    for i in range(0, steps, 2):
        # point i is a position; the next one is the velocity that leaves it
        state[i, 0], denoised_weight[i, 0], noise[i] = -step, step, torch.tensor([0.3, 0.1 if i else 0.0])
        state[i, 1] = a if i else 0.0
        # and the one after is the next position, by the velocity
        state[i + 1, 0], state[i + 1, 1], noise[i + 1, 0] = step, 1.0, 0.05
    return StepMap(torch.full((steps + 1,), level, dtype=F64), state, denoised_weight, noise)


def stencils():
    """One of each kind, small."""
    grid = levels(6)
    return {
        "heun": heun(grid),
        "multistep": multistep(grid),
        "noisy multistep": multistep(grid, 0.3),
        "langevin": langevin(5),
        "one tap": random_stencil(1, 9),
        "three taps": random_stencil(2, 11, 3, 2),
        "four taps, blind points": random_stencil(3, 12, 4, 3, blind=0.4),
        "more taps than steps": random_stencil(4, 3, 4, 4),
        "three taps, one step": random_stencil(5, 1, 3, 2),
    }
