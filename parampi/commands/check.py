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

    say_unfinished(ensemble)
    findings = examine(ensemble)
    print(findings.table(), flush=True)
    if findings.problems:
        raise DataError(f"{ensemble} has {count(len(findings.problems), 'problem')}")
    print("no problem was found")


def say_unfinished(ensemble: Path) -> None:
    """Raise DataError for a file that is not there because its run is not finished."""
    import os

    from parampi.run.checkpoint.ownership import folder_name

    if not os.path.lexists(ensemble) and (ensemble.parent / folder_name(ensemble.name)).is_dir():
        raise DataError(
            f"{ensemble} is not written yet: {ensemble.parent} holds the unfinished run that writes it; go on with it (parampi "
            f"resume {ensemble.parent})"
        )
