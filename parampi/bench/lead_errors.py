"""Errors of drawn lead times against the serial sampler's from the condition that was used."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, stack

from parampi.bench.rounds import relative
from parampi.diffusion.noise import lead_seed
from parampi.engine import SamplingProblem, engine_for
from parampi.engine.lead_log import FinishedLead
from parampi.engine.lead_times import LeadTimes
from parampi.parallel import SerialGroup
from parampi.solvers import Serial

Floats = NDArray[np.float64]


class LeadErrors:
    """Relative errors of lead times, which are judged as soon as all members have drawn them and then forgotten.

    states  (m, h, *state) before the next lead time that is judged
    errors  (m,) of each lead time that is judged
    """

    def __init__(self, problem: SamplingProblem):
        assert problem.leads is not None
        self.problem, self.leads, self.states = problem, problem.leads, problem.leads.start
        self.drawn: dict[int, dict[int, Tensor]] = {}
        self.errors: list[Floats] = []

    def take(self, finished: FinishedLead) -> None:
        """Take a lead time of one member; those of a member come in their order."""
        self.drawn.setdefault(finished.lead, {})[finished.column] = finished.field.cpu()
        while len(row := self.drawn.get(len(self.errors), {})) == len(self.problem.members):
            self.judge(stack([row[column] for column in range(len(row))]))
            del self.drawn[len(self.errors) - 1]

    def judge(self, fields: Tensor) -> None:
        """Judge the fields (m, *shape) of the next lead time."""
        lead, numbers = len(self.errors), self.problem.members.tolist()
        self.errors.append(relative(fields, serial_of(self.problem, self.leads, self.states, lead).cpu()).double().numpy())
        self.states = self.leads.after(self.states, fields, lead, numbers)
        for number in numbers:
            self.leads.forget(lead, number)

    def table(self) -> Floats:
        """Return the errors (l, m)."""
        return np.stack(self.errors)


def serial_of(problem: SamplingProblem, leads: LeadTimes, states: Tensor, lead: int) -> Tensor:
    """Return the serial sampler's fields (m, *shape) at a lead time, from the states (m, h, *state) before it."""
    numbers = problem.members.tolist()
    conditions = leads.conditions(states, lead, numbers).to(problem.device, problem.dtype)
    alone = replace(problem, leads=None, seed=lead_seed(problem.seed, lead), conditions=conditions)
    return leads.finished(states, engine_for(alone, Serial(), SerialGroup()).run(), lead, numbers)
