"""`parallel: auto`: a run takes the layout that a plan for its ranks chooses."""

from typing import TYPE_CHECKING, Any

from parampi.errors import UserError
from parampi.parallel.agree import on_root
from parampi.parallel.hosts import undisturbed
from parampi.run.config import RunConfig
from parampi.run.planning.forecasts import open_network, prepare
from parampi.run.planning.text import overrides

if TYPE_CHECKING:
    from parampi.parallel.group import Comm


def with_layout(config: RunConfig, comm: "Comm | None", *, local_rank: int, ranks_here: int) -> RunConfig:
    """Return the configuration with the layout that a plan chooses where it leaves that to one; on all ranks. Raises UserError
    on all of them."""
    if config.parallel.layout != "auto":
        return config
    ranks = 1 if comm is None else comm.Get_size()
    choice, failure = undisturbed(comm, lambda: attempted(config, ranks, local_rank, ranks_here)) or ({}, None)

    def outcome() -> dict[str, Any]:
        if failure is not None:
            raise failure
        return choice

    chosen = on_root(comm, outcome)
    sampling = config.sampling.model_copy(update={"window": chosen.pop("window")})
    parallel = config.parallel.model_copy(update={**chosen, "layout": "members"})
    return config.model_copy(update={"sampling": sampling, "parallel": parallel})


def attempted(config: RunConfig, ranks: int, local_rank: int, ranks_here: int) -> tuple[dict[str, Any], UserError | None]:
    """Return what is chosen, or the error that keeps the run from starting."""
    try:
        network = open_network(config, local_rank=local_rank)
        prepared = prepare(network, ranks_per_node=ranks_here)
        best, serial = prepared.best(ranks), prepared.alone(ranks)
    except UserError as error:
        return {}, error
    print(f"parampi: parallel = auto takes {overrides(best)}, for about {best.seconds:.3g} s", flush=True)
    if network.inputs.equations.causal and serial.seconds < best.seconds:
        print(f"note: members alone, drawn by the serial sampler, would take about {serial.seconds:.3g} s", flush=True)
    window = best.window if network.inputs.equations.causal else None
    return {
        "window": window, "time_ranks": best.time_ranks, "network_batch": best.network_batch, "overlap": best.overlap,
    }, None  # fmt: skip
