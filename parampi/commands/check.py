"""`parampi check`."""

from pathlib import Path

import click

from parampi.errors import DataError


@click.command()
@click.argument("ensemble", type=click.Path(path_type=Path))
def check(ensemble: Path) -> None:
    """Find what is wrong with the file ENSEMBLE: parts that are missing, truncated or foreign, members that are missing or have
    gaps. Needs no MPI."""
    from parampi.fields.stores.check import check as examine
    from parampi.report import count

    findings = examine(ensemble)
    print(findings.table(), flush=True)
    if findings.problems:
        raise DataError(f"{ensemble} has {count(len(findings.problems), 'problem')}")
    print("no problem was found")
