"""`parampi bench rollout`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from parampi.bench.forecasts import Forecast
    from parampi.engine import SamplingProblem

SIMULATED = 48
"""Ranks of `--simulate`, one for each point of two lead times."""


def whole_numbers(context: click.Context, option: click.Parameter, text: str) -> tuple[int, ...]:
    """Return whole numbers of at least 1, of a text with commas between them; none for an empty one. Raises BadParameter."""
    parts = [part.strip() for part in text.split(",")] if text else []
    if not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"{text!r} is not whole numbers of at least 1 with commas between them, such as 1,2,4")
    return tuple(map(int, parts))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--config", type=click.Path(path_type=Path), help="A run's configuration, whose forecast is measured instead.")
@click.option("--lead-times", callback=whole_numbers, default="24", show_default=True, help="In a row, such as 10,100,1000.")
@click.option("--members", default=4, show_default=True, type=click.IntRange(min=1), help="Medians over them are shown.")
@click.option("--flights", callback=whole_numbers, default="", help="Only these lead times in flight, such as 1,2,4.")
@click.option("--windows", callback=whole_numbers, default="", help="Only windows of these points, such as 8,24,48.")
@click.option("--tolerance", type=click.FloatRange(min=0, min_open=True), help="Of each lead time, instead of the usual one.")
@click.option("--figure", type=click.Path(path_type=Path), help="Draw rounds and residuals of the first forecast and solver.")
@click.option("--problem", "problems", multiple=True, help="Only these lead times: 'half a day' or 'a day' (repeatable).")
@click.option("--equations", multiple=True, help="Only ODE or SDE (repeatable).")
@click.option("--solver", "solvers", multiple=True, help="Only these solvers, as the table names them (repeatable).")
@click.option("--simulate", help="Measure seconds, with a closed form whose calls sleep so long, such as 50ms.")
@click.option("--ranks", type=click.IntRange(min=2), help="Of --simulate, as threads; those of mpiexec where it started any.")
def rollout(
    as_json: bool,
    config: Path | None,
    lead_times: tuple[int, ...],
    members: int,
    flights: tuple[int, ...],
    windows: tuple[int, ...],
    tolerance: float | None,
    figure: Path | None,
    problems: tuple[str, ...],
    equations: tuple[str, ...],
    solvers: tuple[str, ...],
    simulate: str | None,
    ranks: int | None,
) -> None:
    """Measure rounds and evaluations per lead time of roll-outs, lead by lead and swept together."""
    from parampi.bench import rollout as measurement
    from parampi.bench.forecasts import shipped

    if simulate:
        if config or figure or problems or equations or flights or windows or tolerance:
            raise click.UsageError(
                "--simulate goes with --ranks, --lead-times, --solver and --json alone; leave the others out"
            )
        measure_seconds(simulate, lead_times[0], ranks or SIMULATED, solvers, as_json)
        return
    if config and (problems or equations):
        raise click.UsageError("--problem and --equations are of the forecasts that are shipped; leave them out with --config")
    forecasts = [forecast_of(config, tolerance)] if config else shipped(problems, equations, tolerance)
    rows = measurement.measure(forecasts, lead_times, members, solvers=solvers, flights=flights, windows=windows)
    print(measurement.to_json(rows) if as_json else measurement.to_markdown(rows))
    if figure:
        draw(figure, forecasts[0], rows[0].solver, lead_times[0], members, flights)


def measure_seconds(call: str, lead_times: int, ranks: int, solvers: tuple[str, ...], as_json: bool) -> None:
    """Print the seconds of a simulated roll-out."""
    from parampi.bench import rollout_seconds as measurement
    from parampi.bench.simulated import seconds_of
    from parampi.commands.bench_machine import speak
    from parampi.parallel.launch import abort_on_error, world

    comm = world()
    with abort_on_error(comm):
        rows = measurement.measure(lead_times, seconds_of(call), ranks, comm, solvers)
        speak(measurement.to_json(rows) if as_json else measurement.to_markdown(rows))


def draw(path: Path, forecast: "Forecast", solver: str, lead_times: int, members: int, flights: tuple[int, ...]) -> None:
    """Draw the figure of a forecast."""
    from parampi.bench.flights import flights_of
    from parampi.bench.rollout import FLIGHTS
    from parampi.verify.rollout import rollout_figure

    flown = flights_of(forecast, solver, lead_times, members, flights or FLIGHTS)
    rollout_figure(path, flown, f"{lead_times} lead times of {forecast.length}, {forecast.equations}, {solver}")


def forecast_of(config: Path, tolerance: float | None = None) -> "Forecast":
    """Return the forecast of a run's configuration. Raises ConfigError for one that is no roll-out."""
    from parampi.bench.forecasts import Forecast
    from parampi.errors import ConfigError
    from parampi.run.config import load
    from parampi.run.inputs import read_inputs

    run = load(config)
    if run.condition is None or not run.condition.lead_times:
        missing = "condition" if run.condition is None else "condition.lead_times"
        raise ConfigError(
            f"{config} has no {missing}, so there is no roll-out to measure; give the files that forecasts start from "
            f"(condition.files) and how many lead times there are (condition.lead_times)"
        )
    inputs = read_inputs(run)
    conditions, solver = inputs.conditions, inputs.solver
    assert conditions is not None and conditions.leads is not None
    length, kind = f"{conditions.leads.values[0]:g} {conditions.leads.units}", run.sampling.sampler.name
    solvers = {type(solver).__name__: solver}
    return Forecast(length, kind, partial(chain_of, config), solvers, tolerance or run.sampling.tolerance)


def chain_of(config: Path, lead_times: int, members: int) -> "SamplingProblem":
    """Return the roll-outs of the first members of a configuration's first case."""
    import torch

    from parampi.diffusion.batched import BatchedDenoiser
    from parampi.engine import SamplingProblem
    from parampi.engine.lead_times import LeadTimes
    from parampi.run.condition_source import condition_source
    from parampi.run.config import load
    from parampi.run.hooks import load_hooks
    from parampi.run.inputs import read_inputs, sampling_options
    from parampi.run.model_loading import load_denoiser

    inputs = read_inputs(load(config, [f"condition.lead_times={lead_times}", f"sampling.members={members}"]))
    source, numbers = condition_source(inputs, None), inputs.members[:members]
    assert source is not None
    denoiser = load_denoiser(inputs, 0)
    options = sampling_options(inputs, denoiser)
    network = BatchedDenoiser(denoiser, options["network_batch"])
    states = source.nothing_before(numbers)[:, None].to(network.device, options["dtype"])
    return SamplingProblem(
        network,
        inputs.equations,
        torch.tensor(numbers),
        tuple(options["shape"]),
        inputs.config.sampling.seed,
        options["sigma_data"],
        options["dtype"],
        network.device,
        leads=LeadTimes(lead_times, states, source.of_states, hooks=load_hooks(inputs, denoiser)),
    )
