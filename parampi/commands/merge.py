"""`parampi merge`."""

from pathlib import Path

import click


@click.command()
@click.argument("ensembles", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option("--compression", type=click.IntRange(0, 9), default=0, show_default=True, help="0 is none, 9 the slowest.")
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
def merge(ensembles: tuple[Path, ...], output: Path, compression: int, overwrite: bool) -> None:
    """Make one plain file of ENSEMBLES: of one in parts, or of several with different members, as a job array draws them. Needs
    no MPI."""
    from parampi.fields.stores.merge import merge as join
    from parampi.report import count

    merged = join(ensembles, output, compression, overwrite)
    left_out = f"; left out, as not true of all members: {', '.join(merged.dropped)}" if merged.dropped else ""
    print(f"wrote {output}: {count(merged.members, 'member')}, {merged.finished} of {merged.fields} fields finished{left_out}")
