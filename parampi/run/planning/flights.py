"""Lead times in flight: how many rounds a roll-out takes in windows that reach over the ends of its lead times."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from parampi.engine import EngineOptions, SamplingProblem
from parampi.engine.window_reach import WindowReach
from parampi.run.planning.measured import Track, tracked
from parampi.run.planning.sweeps import Chain, Sweeps
from parampi.samplers import Equations
from parampi.solvers import Solver

MOST_FLIGHT = 4
"""Lead times whose points a window has at most, where nothing else is configured: more take evaluations and save few rounds."""
GAIN = 0.5
"""By how much more lead times end in a round for each lead time that the window has points of (docs/generated/rollout.md)."""
PILOT_LEADS = 6
"""Lead times of a pilot: so many that a window of `MOST_FLIGHT` slides."""


def reach_of(equations: Equations, solver: Solver, options: EngineOptions, leads: int) -> WindowReach:
    """Return the reach of the longest windows that are worth while; that of one lead time where windows stop at its end."""
    longest = replace(options, window=equations.steps * (options.flight or MOST_FLIGHT))
    return WindowReach.over(equations, solver, longest, leads)


def one_after_another(sweeps: Sweeps, leads: int) -> Sweeps:
    """Return what all lead times take where windows stop at their ends."""

    def chain(window: int) -> Chain:
        one = sweeps(window)
        return replace(one, lengths=list(one.lengths) * leads)

    return chain


def from_table_in_flight(sweeps: Sweeps, steps: int, leads: int) -> Sweeps:
    """Return what all lead times take, by what one of `steps` points takes, in windows that slide over their ends."""

    def chain(window: int) -> Chain:
        one, longest = sweeps(min(window, steps)), min(window, steps * leads)
        between = one.rounds / (1 + GAIN * window / steps)
        return replace(one, window=window, lengths=[*one.lengths, *[float(longest)] * round((leads - 1) * between)])

    return chain


def longer(track: Track, steps: int, leads: int, *, window: int, evaluated: float) -> Chain:
    """Return a chain of so many lead times, of the track of fewer: lead times between the first and the last go on as they
    did."""
    made = track.reached[-1] // steps
    begun = track.rounds_until(steps)
    pace = (len(track.lengths) - begun) / (made - 1) if made > 1 else len(track.lengths)
    full = [length for length, reached in zip(track.lengths, track.reached, strict=True) if reached + length < made * steps]
    usual = sum(full[begun:]) / len(full[begun:]) if full[begun:] else max(track.lengths)
    middle = [usual] * round((leads - made) * pace)
    return Chain(window, [*map(float, track.lengths[:begun]), *middle, *map(float, track.lengths[begun:])], evaluated)


def pilot_in_flight(
    problem_of: Callable[[int, int], SamplingProblem],
    solver: Solver,
    options: EngineOptions,
    members: Sequence[int],
    windows: Sequence[int],
    leads: int,
) -> list[Chain]:
    """Return the rounds of `leads` lead times in windows of some lengths, from fewer lead times of members that are drawn on
    this rank; of the member that takes the most. `problem_of` is of a member and a number of lead times."""
    chains, few = [], min(leads, PILOT_LEADS)
    for window in windows:
        tracks = []
        for member in members:
            problem = problem_of(member, few)
            track, evaluated = tracked(problem, solver, options, member, window)
            tracks.append(longer(track, problem.equations.steps, leads, window=window, evaluated=evaluated))
        chains.append(max(tracks, key=lambda chain: chain.rounds))
    return chains
