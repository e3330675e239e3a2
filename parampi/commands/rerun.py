"""`parampi rerun`."""

from pathlib import Path

import click

from parampi.run.launched_rank import launched_rank


@click.command()
@click.argument("ensemble", type=click.Path(path_type=Path))
@click.option("--member", type=int, required=True, help="Its number, as in the variable realization.")
@click.option("--case", type=int, help="With conditions: the index of the case in their files.")
@click.option("--variable", "variables", multiple=True, help="Compare this one (repeatable); all by default.")
def rerun(ensemble: Path, member: int, case: int | None, variables: tuple[str, ...]) -> None:
    """Draw one member of ENSEMBLE again, from the file's own attributes, and compare it with what is stored."""
    from parampi.parallel.launch import abort_on_error, world
    from parampi.run.rerun import rerun as draw_again

    comm = world()
    with abort_on_error(comm):
        comparison = draw_again(ensemble, member, case, comm=comm, variables=variables)
        if launched_rank() == 0:
            print(comparison.table(), flush=True)
