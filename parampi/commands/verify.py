"""`parampi verify`."""

from pathlib import Path

import click


@click.command()
@click.argument("ensemble", type=click.Path(path_type=Path))
@click.option("--statistics", type=click.Path(path_type=Path), required=True, help="Statistics file of the data.")
def verify(ensemble: Path, statistics: Path) -> None:
    """Compare an ensemble file with its data: spectrum per shell, kurtosis, standard deviation."""
    from parampi.verify import compare

    print(compare(ensemble, statistics).table())
