"""A plan as text."""

from collections.abc import Sequence

from parampi.report import count, in_seconds
from parampi.run.advice import SERIAL
from parampi.run.metadata import file_bytes
from parampi.run.planning.forecasts import Prepared
from parampi.run.planning.layouts import Forecast, one_rank, wasted_from

HEADER = (
    "ranks", "groups x time", "window", "network_batch", "rounds", "seconds", "efficiency", "memory a rank", "node-hours",
)  # fmt: skip
IN_FLIGHT = "in flight"
"""The column of roll-outs whose lead times are swept together, after the window."""


def plan_text(prepared: Prepared, ranks: Sequence[int]) -> str:
    """Return the plan for these numbers of ranks: a table, and what it means."""
    best, serial = [prepared.best(count) for count in ranks], [prepared.alone(count) for count in ranks]
    rows: list[Sequence[str]] = [HEADER[:3] + (IN_FLIGHT,) * (prepared.subject.reach is not None) + HEADER[3:]]
    for sweep, members in zip(best, serial, strict=True):
        rows.append(cells(prepared, sweep))
        if prepared.subject.causal:
            rows.append(cells(prepared, members))
    return "\n".join([*about(prepared), *table(rows), *verdicts(prepared, best, serial)])


def about(prepared: Prepared) -> list[str]:
    """Return what the plan is of, and where its numbers are from."""
    inputs, subject, costs = prepared.inputs, prepared.subject, prepared.costs
    serial = one_rank(subject, costs)
    size = file_bytes(inputs, "gather") / 1e6
    together = "swept together" if subject.longest > subject.steps else "one after another"
    leads = f" of {count(inputs.leads, 'lead time')}, {together}" if inputs.leads > 1 else ""
    return [
        f"{count(subject.members, 'member')}{leads} of {inputs.config.model.shape}, {subject.steps} points, "
        f"{type(inputs.solver).__name__}, tolerance {inputs.config.sampling.tolerance:g}; the configuration has no mistake",
        f"network: {1e3 * costs.call(1):.3g} ms a field ({prepared.calls_from}); engine: "
        f"{1e3 * costs.engine.at(1):.2g} ms a round of 1 point, {1e3 * costs.engine.at(16):.2g} of 16",
        f"rounds: {prepared.rounds_from}",
        f"messages: {1e6 * costs.messages.latency:.2g} us and {costs.messages.bandwidth / 1e9:.2g} GB/s"
        + ("" if prepared.machine and prepared.machine.messages else ", assumed (parampi bench scan --out FILE measures them)"),
        f"output: {size:.3g} MB; {count(prepared.ranks_per_node, 'rank')} a node",
        f"the serial sampler on one rank: {in_seconds(serial)} ({subject.members * subject.evaluations} calls)",
        "",
    ]


def cells(prepared: Prepared, forecast: Forecast) -> tuple[str, ...]:
    way = ", serial" if forecast.serial else ", overlapping" if forecast.overlap else ""
    hours = prepared.nodes(forecast.ranks) * forecast.seconds / 3600
    subject = prepared.subject
    flight = [] if subject.reach is None else ["-" if forecast.serial else str(subject.in_flight(forecast.window))]
    return (
        str(forecast.ranks),
        f"{forecast.groups} x {forecast.time_ranks}{way}",
        "-" if forecast.serial else str(forecast.window),
        *flight,
        str(forecast.network_batch),
        str(forecast.rounds),
        f"{forecast.seconds:.3g}",
        f"{100 * forecast.efficiency:.0f} %",
        f"{forecast.memory / 1e6:.3g} MB",
        f"{hours:.2g}",
    )


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in rows]


def verdicts(prepared: Prepared, best: Sequence[Forecast], serial: Sequence[Forecast]) -> list[str]:
    """Return where more ranks are wasted, where the serial sampler is better, and how the best is started."""
    lines = [""]
    wasted = wasted_from(best)
    if wasted is not None:
        lines.append(f"more than {count(wasted, 'rank')} are wasted: none of the larger numbers saves a tenth of the time")
    better = [one.ranks for one, other in zip(best, serial, strict=True) if other.seconds <= one.seconds]
    if better and prepared.subject.causal:
        lines.append(
            f"on {', '.join(map(str, better))} rank{'s' * (better != [1])} the serial sampler is better, with members alone: "
            f"{SERIAL} parallel.time_ranks=1"
        )
    fastest = min(best, key=lambda one: one.seconds)
    chosen = next((one for one in best if one.ranks == wasted), fastest) if wasted is not None else fastest
    if chosen.ranks not in better:
        lines.append(
            f"start with mpiexec -n {chosen.ranks} parampi run ... {overrides(chosen)} (or parallel=auto, which chooses so)"
        )
    return lines


def overrides(forecast: Forecast) -> str:
    """Return what makes a run take a layout."""
    return (
        f"parallel.time_ranks={forecast.time_ranks} sampling.window={forecast.window} "
        f"parallel.network_batch={forecast.network_batch}" + " parallel.overlap=true" * forecast.overlap
    )
