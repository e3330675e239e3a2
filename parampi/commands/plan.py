"""`parampi plan`."""

from pathlib import Path

import click

from parampi.commands.key_names import completed
from parampi.commands.rank_counts import MACHINE, RANKS, counts


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, shell_complete=completed())
@click.option("--ranks", default="1,2,4,8", show_default=True, callback=counts, help=RANKS)
@click.option("--machine", type=click.Path(path_type=Path), help=MACHINE)
@click.option("--pilot", is_flag=True, help="Draw two members here in four windows, for the rounds that they take.")
@click.option("--ranks-per-node", type=click.IntRange(min=1), help="By default as many as this one has cores, or GPUs.")
@click.option("--overwrite", is_flag=True, help="The run will replace output files that exist.")
def plan(
    config: Path,
    overrides: tuple[str, ...],
    ranks: list[int],
    machine: Path | None,
    pilot: bool,
    ranks_per_node: int | None,
    overwrite: bool,
) -> None:
    """Check all that a run of CONFIG would check, and say what it will take on these numbers of ranks. Draws and writes
    nothing."""
    from parampi.run.config import load
    from parampi.run.machine import Machine
    from parampi.run.planning.forecasts import check_run, open_network, prepare
    from parampi.run.planning.text import plan_text

    known = Machine.read(machine) if machine else None
    network = open_network(load(config, overrides))
    check_run(network.inputs, ranks, overwrite=overwrite)
    prepared = prepare(network, machine=known, piloted=pilot, ranks_per_node=ranks_per_node)
    print(plan_text(prepared, ranks), flush=True)
