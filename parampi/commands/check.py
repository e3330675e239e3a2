"""`parampi check`."""

from pathlib import Path

import click

from parampi.errors import DataError


@click.command()
@click.argument("ensemble", type=click.Path(path_type=Path))
def check(ensemble: Path) -> None:
    """Find what is wrong with the file ENSEMBLE, or with all ensembles of a run's folder: parts that are missing, truncated or
    foreign, members that are missing or have gaps. Needs no MPI."""
    from parampi.report import count

    paths = ensembles_of(ensemble)
    problems = [examined(path, alone=len(paths) == 1) for path in paths]
    if sum(problems):
        where = paths[0] if len(paths) == 1 else ensemble
        raise DataError(f"{where} has {count(sum(problems), 'problem')}")
    print("no problem was found")


def ensembles_of(place: Path) -> list[Path]:
    """Return the ensembles of a run's folder, those of unfinished runs last; a place that is no such folder is one itself.
    Raises DataError for a folder without."""
    from parampi.fields.stores.found import ensembles_in, is_store
    from parampi.run.checkpoint.ownership import unfinished_in

    if not place.is_dir() or is_store(place):
        return [place]
    there = ensembles_in(place)
    paths = there + [path for path in unfinished_in(place) if path not in there]
    if not paths:
        raise DataError(f"{place} is a folder without an ensemble (a NetCDF file with members, or a Zarr store); name one")
    return paths


def examined(ensemble: Path, alone: bool) -> int:
    """Print what is found about an ensemble; return how many problems it has. What cannot be read is one of several's."""
    from parampi.fields.stores.check import check as examine

    try:
        say_unfinished(ensemble)
        findings = examine(ensemble)
    except DataError as error:
        if alone:
            raise
        print(f"problem: {error}", flush=True)
        return 1
    print(findings.table(), flush=True)
    return len(findings.problems)


def say_unfinished(ensemble: Path) -> None:
    """Raise DataError for a file that is not there because its run is not finished."""
    import os

    from parampi.run.checkpoint.ownership import folder_name

    if not os.path.lexists(ensemble) and (ensemble.parent / folder_name(ensemble.name)).is_dir():
        raise DataError(
            f"{ensemble} is not written yet: {ensemble.parent} holds the unfinished run that writes it; go on with it (parampi "
            f"resume {ensemble.parent})"
        )
