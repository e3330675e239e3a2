"""What points of a roll-out that wait or enter are told of the same points of the lead time before."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parampi.engine.lead_rule import LeadRule
from parampi.engine.slice import Slice
from parampi.parallel import Group

Integers = NDArray[np.int64]


def inherited(rule: LeadRule, slice_: Slice, group: Group, lead: Integers, known: Integers, count: int) -> Tensor | None:
    """Return the `count` numbers of each point (n, m, count) of this rank that waits, as members are at a lead time (m,) before
    its own, or that enters, beyond the points `known` (m,); 0 for others. None where there are no such points. The rank that
    drives knows the numbers; collective."""
    steps_of_lead, window = slice_.problem.equations.steps, slice_.window
    begin = np.minimum(known, np.maximum(lead * steps_of_lead, window.first))
    steps = begin + np.arange((window.first + slice_.lengths - begin).max(initial=0))[:, None]
    if not len(steps):
        return None
    numbers = np.zeros((*steps.shape, count))
    if group.rank == 0:
        numbers = rule.inherited(steps, (steps >= known) | (steps // steps_of_lead > rule.lead))
    group.broadcast(numbers)
    place = slice_.steps - torch.from_numpy(begin)
    rows = torch.from_numpy(numbers)[place.clamp(0, len(steps) - 1), torch.arange(len(begin))]
    own = torch.where(((place >= 0) & slice_.active)[..., None], rows, 0.0)
    return own.to(window.x.device, non_blocking=True)
