"""Compare the climate of a long roll-out that is swept in parallel with that of the serial one and of the simulator.

    python examples/05_climate/climate.py              # 2,000 lead times of half a day, one member; minutes

The network is that of `parampi.bench.lorenz96`: it draws how the state changes over half a day. Chaos sets the two roll-outs
apart after some weeks, however small the tolerance, so that only their statistics can agree. Prints mean, variance and
autocorrelations with their errors, and how far the three are apart, in errors of the difference.
"""

import argparse
import itertools
import sys
import time
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import long_run  # noqa: E402

import parampi  # noqa: E402
from parampi.bench.lorenz96 import lorenz96, simulate  # noqa: E402
from parampi.samplers import DDIM  # noqa: E402
from parampi.solvers import Serial, Spectral  # noqa: E402

SIGMAS = parampi.sigmas.karras(24, sigma_min=0.01, sigma_max=20.0)
SPIN_UP = 40  # lead times that are left out: the start is a state of the simulator
SIMULATIONS = 20
FEWEST = SPIN_UP + 10 * long_run.BLOCK


def roll_out(problem, solver, lead_times, seed):
    """States (lead_time, 40) of one member, and the rounds per lead time; the same noise for every solver."""
    drawn = parampi.rollout(
        problem.network, problem.starts[:1], problem.network.shape, lead_times, sigmas=SIGMAS, sampler=DDIM(), solver=solver,
        tol=1e-2, seed=seed, condition=problem.condition, update=problem.update,
    )  # fmt: skip
    states = [problem.starts[:1]]
    for change in drawn.fields:
        states.append(problem.update(states[-1], change))
    return torch.cat(states[1:])[:, 0].numpy(), drawn.report.rounds / lead_times


def table(estimates):
    """Measures with their standard errors, a row for each of the estimates by name; then how far they are apart."""
    heads = ["mean", "variance", *(f"lag {lag}" for lag in long_run.LAGS)]
    lines = [f"{'':20}" + "".join(f"{head:>18}" for head in heads)]
    for name, (values, errors) in estimates.items():
        cells = (f"{value:.4f} +- {error:.4f}" for value, error in zip(values, errors, strict=True))
        lines.append(f"{name:20}" + "".join(f"{cell:>18}" for cell in cells))
    for first, second in itertools.combinations(estimates, 2):
        distances = long_run.apart(estimates[first], estimates[second])
        lines.append(f"{first + ' - ' + second:20}" + "".join(f"{distance:18.2f}" for distance in distances))
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lead-times", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.lead_times < FEWEST:
        parser.error(
            f"--lead-times {options.lead_times} are too few blocks of {long_run.BLOCK} for errors; give {FEWEST} or more"
        )
    torch.set_num_threads(1)
    problem, estimates = lorenz96(0.1), {}
    for name, solver in (("swept", Spectral()), ("serial", Serial())):
        begin = time.monotonic()
        states, rounds = roll_out(problem, solver, options.lead_times, options.seed)
        estimates[name] = long_run.estimate(states[None, SPIN_UP:])
        print(f"{name}: {rounds:.2f} rounds per lead time, {time.monotonic() - begin:.0f} s", flush=True)
    simulated = simulate(SIMULATIONS, options.lead_times, problem.lead, seed=options.seed + 1000)
    estimates["simulator"] = long_run.estimate(simulated[:, 1 + SPIN_UP :].numpy())
    print(table(estimates))


if __name__ == "__main__":
    main()
