"""`parampi run`."""

from pathlib import Path

import click

from parampi.commands.key_names import completed
from parampi.run.stop_request import StopRequest


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, shell_complete=completed())
@click.option("--overwrite", is_flag=True, help="Replace output files that exist.")
@click.option(
    "--progress",
    type=click.Choice(["auto", "bar", "lines"]),
    default="auto",
    show_default=True,
    help="A bar, or a line now and then; auto: a bar on a terminal, which ranks behind mpiexec cannot see.",
)
@click.option("--measure-serial", is_flag=True, help="Draw the first member with the serial sampler too, for its seconds.")
@click.pass_obj
def run(
    stop: StopRequest | None,
    config: Path,
    overrides: tuple[str, ...],
    overwrite: bool,
    progress: str,
    measure_serial: bool,
) -> None:
    """Draw the ensemble that CONFIG describes, with OVERRIDES such as sampling.members=4 on top."""
    from parampi.parallel.launch import abort_on_error, world
    from parampi.run.config import agreed, load
    from parampi.run.job import run as draw

    comm = world()
    with abort_on_error(comm):
        resolved = agreed(comm, config, lambda: load(config, overrides))
        draw(resolved, comm, overwrite=overwrite, progress=progress, measure_serial=measure_serial, stop=stop)
