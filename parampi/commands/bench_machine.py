"""`parampi bench network`, `scan` and `scaling`: what this machine takes for calls, messages, and whole members."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from parampi.commands.rank_counts import RANKS, counts
from parampi.run.launched_rank import launched_rank

if TYPE_CHECKING:
    from parampi.run.planning.forecasts import Network

OUT = "Write what was measured to this file too, beside what it says already; parampi plan --machine reads it."
VARIANTS = "all, or some of them with commas: the network compiled, in half precision, ...: time, and what it changes."
TOGETHER = "Members that all ranks sweep together, instead of one: once, and once with rounds of two halves that overlap."
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
out_option = click.option("--out", type=click.Path(path_type=Path), help=OUT)


def speak(text: str) -> None:
    """Print on rank 0."""
    if launched_rank() == 0:
        print(text, flush=True)


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1)
@as_json_option
@out_option
@click.option("--most", default=64, show_default=True, type=click.IntRange(min=1), help="Fields in the largest call.")
@click.option("--variants", help=VARIANTS)
def network(config: Path, overrides: tuple[str, ...], as_json: bool, out: Path | None, most: int, variants: str | None) -> None:
    """Measure a call of CONFIG's network against its number of fields: time and memory, on all ranks at once."""
    import os

    from parampi.bench import network as measurement
    from parampi.diffusion.batched import BatchedDenoiser
    from parampi.errors import ConfigError
    from parampi.parallel.agree import on_all, on_root
    from parampi.parallel.launch import abort_on_error, world
    from parampi.run.config import agreed, load
    from parampi.run.machine import Call, Machine, NetworkCalls
    from parampi.run.planning.forecasts import network_name, open_network

    comm = world()
    with abort_on_error(comm):
        if variants and (out or comm is not None):
            raise ConfigError("--variants compares networks on one rank, for reading; leave --out and mpiexec away")
        place, ranks_here = share_cores(comm)
        run = agreed(comm, config, lambda: load(config, overrides))
        subject = on_all(comm, lambda: open_network(run, local_rank=place))
        if variants:
            speak(in_variants(subject, place, variants, most, as_json))
            return
        single = BatchedDenoiser(subject.denoiser)
        rows = measurement.measure(single, run.model.shape, subject.level, subject.condition(), comm, most)
        speak(measurement.to_json(rows) if as_json else measurement.to_markdown(rows))
        calls = [Call(fields=row.fields, seconds=row.seconds, bytes=max(0, row.bytes)) for row in rows]
        if out:
            entry = NetworkCalls(network=network_name(run), device=str(single.device), ranks_here=ranks_here, calls=calls)
            on_root(comm, lambda: Machine(cores=os.cpu_count() or 1, networks=[entry]).write(out))


def in_variants(subject: "Network", place: int, variants: str, most: int, as_json: bool) -> str:
    """Return what variants of a network take and change."""
    from parampi.bench import variants as measurement
    from parampi.commands.bench_variants import chosen, measure

    rows = measure(subject, place, chosen(variants), most)
    return measurement.to_json(rows) if as_json else measurement.to_markdown(rows)


def share_cores(comm: Any) -> tuple[int, int]:
    """Let ranks of a node share its cores, as a run does; return this rank's place on the node, and how many there are."""
    import torch

    from parampi.parallel.launch import fair_threads, place_on_node

    place, ranks_here = place_on_node(comm)
    if threads := fair_threads(ranks_here):
        torch.set_num_threads(threads)
    return place, ranks_here


@click.command()
@as_json_option
@out_option
@click.option(
    "--numbers", multiple=True, type=click.IntRange(min=1), help="Of a field; scans of it alone. More than one may be given."
)
def scan(as_json: bool, out: Path | None, numbers: tuple[int, ...]) -> None:
    """Measure messages between these ranks: latency, bandwidth, scans, and all that a round sends. Start it with mpiexec."""
    import os

    from parampi.bench import scan as measurement
    from parampi.errors import ConfigError
    from parampi.parallel import as_group
    from parampi.parallel.agree import on_root
    from parampi.parallel.launch import abort_on_error, world
    from parampi.run.machine import Machine, MessageCosts

    comm = world()
    with abort_on_error(comm):
        if comm is None and out:
            raise ConfigError(f"--out {out}: one rank has no messages to measure; start several, such as mpiexec -n 2")
        share_cores(comm)
        group = as_group(comm)
        messages, rows = measurement.measure_messages(group), measurement.measure(group, numbers)
        if messages and not as_json:
            speed = f"latency {1e6 * messages.latency:.3g} us, bandwidth {messages.bandwidth / 1e9:.3g} GB/s"
            speak(f"{speed}, of {group.size} ranks\n")
        speak(measurement.to_json(rows) if as_json else measurement.to_markdown(rows))
        if out and messages:
            costs = MessageCosts(ranks=group.size, latency=messages.latency, bandwidth=messages.bandwidth)
            on_root(comm, lambda: Machine(cores=os.cpu_count() or 1, messages=costs).write(out))


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1)
@click.option("--ranks", default="1,2", show_default=True, callback=counts, help=RANKS)
@click.option("--time-ranks", default=2, show_default=True, type=click.IntRange(min=1), help="In a group, where members grow.")
@click.option("--points-per-rank", type=click.IntRange(min=1), help="Of a window; by default the configured window.")
@click.option("--simulate", help="Seconds of a call of a closed form that sleeps in the network's place, such as 50ms.")
@click.option(
    "--growth", type=click.Choice(["flat", "linear"]), default="flat", show_default=True, help="Of these with fields."
)
@click.option("--together", type=click.IntRange(min=2), help=TOGETHER)
@click.option("--no-plan", is_flag=True, help="Without the seconds that a plan with a pilot expects.")
@as_json_option
@click.option("--figure", type=click.Path(path_type=Path), help="Draw seconds and efficiency against ranks.")
def scaling(
    config: Path,
    overrides: tuple[str, ...],
    ranks: list[int],
    time_ranks: int,
    points_per_rank: int | None,
    simulate: str | None,
    growth: str,
    together: int | None,
    no_plan: bool,
    as_json: bool,
    figure: Path | None,
) -> None:
    """Measure seconds against ranks: one member, members that grow, and members alone. Ranks are those of mpiexec; without it
    --simulate makes them threads of this process."""
    import os

    from parampi.bench import scaling as measurement
    from parampi.commands.experiments import experiment_of, with_plan
    from parampi.errors import ConfigError
    from parampi.parallel.agree import on_root
    from parampi.parallel.launch import abort_on_error, world
    from parampi.run.config import agreed, load

    comm = world()
    with abort_on_error(comm):
        place, _ = share_cores(comm)
        if comm is None and max(ranks) > 1 and not simulate:
            raise ConfigError(f"--ranks {max(ranks)}: there is 1; start as many (mpiexec -n {max(ranks)}), or --simulate 50ms")
        run = agreed(comm, config, lambda: load(config, overrides))
        experiment = experiment_of(run, comm, place, points_per_rank, simulate=simulate, growth=growth)
        rows = measurement.measure(experiment, ranks, comm, time_ranks=time_ranks, together=together)
        if not no_plan:
            rows = with_plan(rows, experiment, comm)
        cores = os.cpu_count() or 1
        speak(measurement.to_json(rows) if as_json else f"{measurement.to_markdown(rows)}\n\n{measurement.note(rows, cores)}")
        if figure:
            from parampi.verify.scaling import scaling_figure

            on_root(comm, lambda: scaling_figure(figure, rows))


COMMANDS = (network, scan, scaling)
