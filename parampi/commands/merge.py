"""`parampi merge`."""

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("ensembles", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), required=True, help="File to write, or with --split the folder.")
@click.option("--compression", type=click.IntRange(0, 9), default=0, show_default=True, help="0 is none, 9 the slowest.")
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
@click.option("--time-first/--member-first", default=None, help="Put times before members, or after; by default as they are.")
@click.option(
    "--split",
    type=click.Choice(["member", "start", "lead_time"]),
    help="Write a file for each member, start or lead time instead, time first, for tools such as CDO.",
)
def merge(
    ensembles: tuple[Path, ...], output: Path, compression: int, overwrite: bool, time_first: bool | None, split: str | None
) -> None:
    """Make one plain file of ENSEMBLES: of one in parts, or of several with different members, as a job array draws them. Needs
    no MPI."""
    from parampi.fields.ensemble_axes import Order
    from parampi.fields.stores.merge import merge as join
    from parampi.report import count

    if split:
        cut(ensembles, output, split, overwrite, compression, time_first)
        return
    order: Order | None = None if time_first is None else "time_first" if time_first else "member_first"
    merged = join(ensembles, output, compression, overwrite, order)
    left_out = f"; left out, as not true of all members: {', '.join(merged.dropped)}" if merged.dropped else ""
    finished = f"{merged.finished} of {count(merged.fields, 'field')} finished"
    print(f"wrote {output}: {count(merged.members, 'member')}, {finished}{left_out}")
    if merged.finished < merged.fields:
        print(f"note: {output} has gaps where fields are not finished; go on with their runs (parampi resume) and merge again")


def cut(ensembles: tuple[Path, ...], output: Path, by: Any, overwrite: bool, compression: int, time_first: bool | None) -> None:
    """Write a file for each member, start or lead time of one ensemble."""
    from parampi.fields.ensembles.split import split
    from parampi.report import count

    if len(ensembles) > 1 or compression or time_first is not None:
        raise click.UsageError("--split takes one ENSEMBLE, and neither --compression nor --time-first, which it implies")
    files = split(ensembles[0], output, by, overwrite)
    print(f"wrote {count(len(files), 'file')}: {files[0]}{f' ... {files[-1].name}' if len(files) > 1 else ''}")
