"""The clock of a run's network, and whether prediction, clock, noise levels and sampler fit together."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from parampi.diffusion.channel_scales import as_scale, each
from parampi.diffusion.clocks import CLOCKS, FAMILY, Clock
from parampi.diffusion.sigmas import VPTimes
from parampi.errors import ConfigError
from parampi.run.config import RunConfig, build
from parampi.samplers import Equations
from parampi.samplers.unit_gaussian import drawn_spread

TRAINED = ("epsilon", "velocity", "data", "score")
"""What networks predict that are told a training time."""
TRAINING_TIMES = ("linear", "scaled_linear", "cosine", "alphas_cumprod")
"""Clocks that are the training times of a variance-preserving schedule."""
SAME = 0.5
"""Largest difference of two clocks of training times that is rounding of times to whole numbers."""
ROUNDING = 1e-6
"""The same of other clocks, in units of their largest time."""
DIVERGES = 4.0
"""Spread of what a sampler draws of Gaussian data, relative to theirs, from which it is of no use."""
COARSE = 2.0
"""Factor of the same that is worth a note."""
DEFAULTS = {"edm": "log(sigma) / 4", "denoiser": "sigma", "flow": "t = sigma / (1 + sigma)"}
"""The clocks of other predictions, where none is given."""


def clock_of(config: RunConfig, sigmas: Tensor) -> Clock | None:
    """Return the clock of a configuration's network, None for the default of what it predicts. Raises ConfigError, with the
    remedy, where prediction, clock and grid contradict each other."""
    model, schedule = config.model, config.sampling.sigmas.schedule
    check_input(config)
    clock: Clock | None = build(config, "clock") if model.clock else None
    if model.predicts == "flow":
        check_flow(model.clock)
    if model.predicts in DEFAULTS:
        return clock
    own = clock_of_grid(config)
    if clock is None and own is None:
        raise ConfigError(
            f"model.predicts = {model.predicts}: the network is told training times, and sampling.sigmas.schedule = {schedule} "
            f"does not say of which schedule; give model.clock, such as {{name: linear}} or {{name: cosine}}: the one that the "
            f"network was trained with (clocks: {', '.join(CLOCKS)})"
        )
    if clock is not None and own is not None:
        check_agreement(model.clock.name, clock, schedule, own, sigmas)
    clock = clock or own
    check_range(clock, sigmas, schedule)
    return clock


def clock_of_grid(config: RunConfig) -> Clock | None:
    """Return the clock whose training times a grid is made of, None where it is made of none."""
    grid = config.sampling.sigmas
    name = FAMILY.get(grid.schedule)
    if name is None or name == "flow":
        return None
    options: dict[str, Any] = grid.model_dump()
    known = ("train_steps", "beta_first", "beta_last", "offset", "max_beta", "file")
    clock: Clock = CLOCKS[name](**{key: options[key] for key in known if key in options})
    return clock


def check_input(config: RunConfig) -> None:
    """Raise ConfigError for `scaled_input: false` where it has no meaning."""
    model = config.model
    if not model.scaled_input and model.predicts not in TRAINED:
        raise ConfigError(
            f"model.scaled_input = false is for networks that predict {', '.join(TRAINED)} of x itself; with model.predicts = "
            f"{model.predicts} the input is what that prediction says; leave scaled_input out"
        )


def check_flow(clock: Any) -> None:
    """Raise ConfigError for a clock of training times, which flows do not have."""
    if clock is not None and clock.name in TRAINING_TIMES:
        raise ConfigError(
            f"model.clock.name = {clock.name} with model.predicts = flow: a flow is told t = sigma / (1 + sigma), not times of "
            "a variance-preserving schedule; give {name: flow}, with scale: 1000 for networks that count to 1000, or "
            "model.predicts = velocity if the network was trained on that schedule"
        )


def check_agreement(name: str, clock: Clock, schedule: str, own: Clock, sigmas: Tensor) -> None:
    """Raise ConfigError where clock and grid are training times of different schedules."""
    levels = sigmas[sigmas > 0]
    if not isinstance(clock, VPTimes) or not isinstance(own, VPTimes):
        return
    apart = (clock(levels) - own(levels)).abs()
    worst = int(apart.argmax())
    if float(apart[worst]) > SAME:
        times = f"{float(clock(levels)[worst]):.1f} and {float(own(levels)[worst]):.1f}"
        raise ConfigError(
            f"model.clock.name = {name}, but sampling.sigmas.schedule = {schedule} is made of other training times: at "
            f"noise level {levels[worst]:.4g} they are {times}; leave the clock out if the network was trained on the grid's "
            "schedule, or take a grid of the clock's"
        )


def check_stated(config: RunConfig, clock: Mapping[str, Any] | None, sigmas: Tensor) -> None:
    """Raise ConfigError where the configured clock is another one than the network's own file says."""
    model = config.model
    if clock is None or model.clock is None:
        return
    options = {key: value for key, value in clock.items() if key != "name"}
    own, configured = CLOCKS[clock["name"]](**options), build(config, "clock")
    levels = sigmas[sigmas > 0]
    apart = (own(levels) - configured(levels)).abs()
    worst = int(apart.argmax())
    if float(apart[worst]) > (SAME if isinstance(own, VPTimes) else ROUNDING * float(own(levels).abs().max())):
        raise ConfigError(
            f"model.clock = {model.clock.model_dump()}, but model.weights = {model.weights} says {dict(clock)}: at noise level "
            f"{float(levels[worst]):.4g} they tell the network {float(configured(levels)[worst]):.4g} and "
            f"{float(own(levels)[worst]):.4g}; leave the clock out"
        )


def check_range(clock: Clock | None, sigmas: Tensor, schedule: str) -> None:
    """Raise ConfigError for noise levels beyond the last training time, where the clock stands still."""
    if not isinstance(clock, VPTimes):
        return
    last = float(clock.sigma(sigmas.new_full((1,), clock.times - 1.0)))
    if float(sigmas[0]) > 1.01 * last:
        raise ConfigError(
            f"sampling.sigmas.schedule = {schedule} begins at noise level {float(sigmas[0]):.4g}, beyond the network's last "
            f"training time ({last:.4g}), where it was never trained; begin at {last:.4g} at most, or give the model.clock of "
            "the schedule that it was trained with"
        )


def check_stability(config: RunConfig, equations: Equations) -> str:
    """Return a note about a sampler that is too coarse on its noise levels, or "". Raises ConfigError where it diverges."""
    if not equations.causal:
        return ""
    spreads = [drawn_spread(equations, scale) for scale in each(as_scale(config.model.sigma_data))]
    spread = max(spreads, key=lambda one: abs(math.log(max(one, 1e-300))))
    sampler, schedule = config.sampling.sampler.name, config.sampling.sigmas.schedule
    choice = f"sampling.sampler.name = {sampler} on {equations.steps} points of sampling.sigmas.schedule = {schedule}"
    draws = f"draws Gaussian data with {spread:.3g} times their standard deviation"
    if spread > DIVERGES:
        raise ConfigError(
            f"{choice} {draws}: its steps are too large where the noise is (it works in sigma, and the first steps are "
            f"{float(equations.sigmas[0]):.3g} to {float(equations.sigmas[1]):.3g}); take a sampler that steps in log sigma or "
            "in time, such as {name: dpmpp_2m} or {name: ddim}, more steps, or a grid such as {schedule: karras}"
        )
    if not 1 / COARSE <= spread <= COARSE:
        return f"note: {choice} {draws}: its steps are coarse; more of them, or dpmpp_2m, draw better"
    return ""
