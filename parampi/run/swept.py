"""One member of a roll-out, whose lead times are swept together, drawn again."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from parampi.diffusion.denoisers import Denoiser
from parampi.report import MemberReport
from parampi.rollouts import rollout
from parampi.run.any_rank import physical
from parampi.run.condition_source import condition_source
from parampi.run.inputs import Inputs, sampling_options

if TYPE_CHECKING:
    from parampi.parallel.group import Comm

Floats = NDArray[np.floating[Any]]


def drawn_together(inputs: Inputs, number: int, denoiser: Denoiser, comm: "Comm | None") -> list[Floats]:
    """Return a member's fields (C, y, x), float32, at all lead times, which are swept together; on rank 0."""
    source, states = condition_source(inputs, None), dict[int, Floats]()
    assert source is not None

    def keep(state: torch.Tensor, member: MemberReport) -> None:
        fields = physical(inputs.statistics, state)
        states[member.lead] = inputs.cells.masked(fields).astype(np.float32)

    rollout(
        start=source.nothing_before,
        lead_times=inputs.leads,
        members=[number],
        seed=inputs.config.sampling.seed,
        flight=inputs.config.sampling.flight,
        comm=comm,
        condition=source.of_states,
        keep=keep,
        probe=False,
        **sampling_options(inputs, denoiser),
    )
    return [states[lead] for lead in sorted(states)]
