"""A small forecast problem in closed form, and its serial roll-out, which shares nothing with the engine but the noise."""

import math

import torch

from parampi import sigmas
from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.noise import lead_seed, normal
from parampi.engine import EngineOptions, SamplingProblem, engine_for
from parampi.engine.lead_times import LeadTimes
from parampi.parallel import SerialGroup
from parampi.samplers import DDIM, DDPM, DPMpp2M, Heun  # noqa: F401 (for tests)

SHAPE = (1, 3, 4)
SPREAD = 0.3
ANCESTRAL = DDPM()
GRID = sigmas.karras(10, 0.05, 5.0)


def mean(condition):
    """The mean of the next state: nonlinear, and of every place's neighbours."""
    return torch.sin(condition + 0.7 * condition.roll(1, -1)) + 0.5 * condition.roll(1, -2)


def denoise(x, sigma, condition):
    """E[x0 | x] where the next state is Gaussian around `mean(condition)`."""
    centre, squares = mean(condition), sigma.view(-1, 1, 1, 1) ** 2
    return centre + SPREAD**2 / (SPREAD**2 + squares) * (x - centre)


def denoise_weakly(x, sigma, condition):
    """The same where the next state hardly depends on the one before."""
    return denoise(x, sigma, 0.01 * condition)


def starts(members, history=1):
    return normal(9, torch.arange(members), torch.arange(history), SHAPE).movedim(0, 1)


def condition(states, lead, numbers):
    """The state before, pushed by a forcing of the lead time; of two states their mean counts too."""
    latest = states if states.ndim == 4 else 0.8 * states[:, -1] + 0.2 * states[:, 0]
    return latest + 0.1 * math.cos(lead)


def update(state, drawn, lead, numbers):
    """The network draws a change."""
    return 0.6 * state + drawn


def chain(sampler=ANCESTRAL, members=3, count=4, history=1, mode="bitwise", denoiser=denoise, seed=0):
    leads = LeadTimes(count, starts(members, history), condition, update)
    network = BatchedDenoiser(denoiser, padded=mode == "bitwise")
    return SamplingProblem(network, sampler.steps(GRID), torch.arange(members), SHAPE, seed, leads=leads)


def advanced(problem, solver, window=None, flight=None, tol=1e-3, mode="bitwise", group=None):
    """An engine at its end; returns it, and its finished lead times."""
    engine = engine_for(problem, solver, group or SerialGroup(), EngineOptions(window, tol, mode, flight=flight))
    return engine, rest(engine)


def rest(engine):
    finished = []
    while not engine.finished:
        engine.advance()
        finished += engine.finished_leads
        engine.finished_leads.clear()
    return finished


def fields(problem, finished):
    """Drawn fields (l, m, *shape)."""
    table = torch.empty(problem.leads.count, len(problem.members), *problem.shape, dtype=torch.float64)
    for lead in finished:
        table[lead.lead, lead.column] = lead.field
    return table


def serial_lead(step_map, states, lead, member, denoiser=denoise, seed=0):
    """The drawn field (*shape) of one member at one lead time, one step after another, from the states (h, *shape) before."""
    read, own = condition(states[None, 0] if len(states) == 1 else states[None], lead, [member]), lead_seed(seed, lead)

    def draw(point):
        return normal(own, torch.tensor([member]), torch.tensor([point]), SHAPE)[0, 0]

    x, d = [math.sqrt(step_map.start_level**2 + 1) * draw(0)], []
    for i in range(step_map.steps):
        d.append(denoiser(x[i][None], step_map.sigmas[i][None], read)[0])
        new = torch.zeros(SHAPE, dtype=torch.float64)
        for tap in range(min(step_map.taps, i + 1)):
            new += float(step_map.state[i, tap]) * x[i - tap]
            new += float(step_map.denoised_weight[i, tap]) * d[i - tap]
        lags = range(min(step_map.noise.shape[1], i + 1))
        x.append(new + sum(float(step_map.noise[i, q]) * draw(i - q + 1) for q in lags))
    return x[-1]


def serial_from_used(problem, drawn, denoiser=denoise):
    """Fields (l, m, *shape) of the serial sampler from the conditions that drawn fields made."""
    table, history = torch.empty_like(drawn), problem.leads.history
    for member in range(drawn.shape[1]):
        states = list(problem.leads.start[member])
        for lead in range(len(drawn)):
            table[lead, member] = serial_lead(problem.step_map, torch.stack(states[-history:]), lead, member, denoiser)
            states.append(update(states[-1], drawn[lead, member], lead, [member]))
    return table
