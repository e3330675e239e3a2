"""Advice where ranks along time, or windows of several points, cannot pay."""

from parampi.parallel import Layout

SERIAL = "sampling.solver.name=serial sampling.window=null"
OTHER_SERIAL = f"sampling.sampler.name=dpmpp_2m {SERIAL}"
"""For collocation, which no serial solver can run."""


def advice(layout: Layout, window: int, ranks_here: int, cores: int, device: str, serial: str = SERIAL) -> str:
    """Return one line to print before sampling, or nothing.

    ranks_here  ranks that share this node and its `cores`
    device      where the network runs: "cpu", or another type as torch names it
    serial      what would make the run serial
    """
    if layout.time_ranks > window:
        idle = layout.time_ranks - window
        return f"note: {layout.time_ranks} ranks share windows of {window} points; {idle} of them idle"
    if window == 1:
        return ""
    if layout.time_ranks == 1:
        return (
            "note: one rank per group: sweeping several points at once pays only if the device evaluates a batch of "
            f"{window} fields faster than one by one (a GPU with room); on a CPU, {serial} costs less"
        )
    if device == "cpu" and ranks_here > cores:
        return (
            f"note: {ranks_here} ranks share the {cores} cores of this node: rounds are as few as with a core each, but every "
            f"one takes longer; {serial} parallel.time_ranks=1 is likely to end sooner here"
        )
    return ""


def overlap_advice(members: int, device: str) -> str:
    """Return one line to print before sampling where rounds are to overlap and nothing can come of it; `members` that a group
    sweeps at once."""
    if members == 1:
        return (
            "note: parallel.overlap = true, and a group sweeps one member at a time, so that no two halves alternate; let it "
            "sweep two or more (parallel.batch, or fewer groups: a larger parallel.time_ranks)"
        )
    if device == "cpu":
        return (
            "note: parallel.overlap = true hides nothing on a CPU, where a network call is over when it returns; leave it out "
            "(parallel.overlap=false)"
        )
    return ""
