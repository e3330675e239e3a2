"""`parampi rerun`."""

from pathlib import Path

import click

from parampi.commands.trust_options import CONFIG, TRUST
from parampi.run.launched_rank import launched_rank


@click.command()
@click.argument("ensemble", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1)
@click.option("--member", type=int, required=True, help="Its number, as in the variable realization.")
@click.option("--case", type=int, help="With conditions of several cases: the index of the case in their files.")
@click.option("--variable", "variables", multiple=True, help="Compare this one (repeatable); all by default.")
@click.option("--config", "own_config", type=click.Path(path_type=Path), help=CONFIG)
@click.option("--trust", is_flag=True, help=TRUST)
def rerun(
    ensemble: Path,
    overrides: tuple[str, ...],
    member: int,
    case: int | None,
    variables: tuple[str, ...],
    own_config: Path | None,
    trust: bool,
) -> None:
    """Draw one member of ENSEMBLE again, from the file's own attributes, and compare it with what is stored.

    OVERRIDES may say where inputs are now, such as model.weights=elsewhere/weights.safetensors.
    """
    from parampi.parallel.launch import abort_on_error, world
    from parampi.run.rerun import rerun as draw_again

    comm = world()
    with abort_on_error(comm):
        comparison = draw_again(
            ensemble,
            member,
            case,
            comm=comm,
            variables=variables,
            own_config=own_config,
            overrides=overrides,
            trust=trust,
        )
        if launched_rank() == 0:
            print(comparison.table(), flush=True)
