"""`parampi stats`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from parampi.run.launched_rank import launched_rank

if TYPE_CHECKING:
    from parampi.fields import DatasetStatistics, FileSamples
    from parampi.fields.moments import Missing, Team


@click.command()
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--output", type=click.Path(path_type=Path), default=Path("statistics.nc"), show_default=True, help="File to write."
)
@click.option("--variable", "variables", multiple=True, help="A channel, in the network's order (repeatable); all by default.")
@click.option(
    "--missing",
    type=click.Choice(["refuse", "mean"]),
    default="refuse",
    show_default=True,
    help="Missing values: refuse them, or leave them out, with the mean in their place for the spectrum.",
)
@click.option("--axes", default="", help="Names of the axes in the order of storage, such as sample,time,x,y,channel.")
@click.option(
    "--field-axes",
    default="",
    help="Names of the axes of fields that are no maps (y, x), such as z,y,x or face,y,x or cell; cells with latitudes and "
    "longitudes are known without.",
)
@click.option(
    "--plane", is_flag=True, help="Take latitude and longitude for a plane: no weights by area, no spherical harmonics."
)
@click.option(
    "--normalised-by",
    type=click.Path(path_type=Path),
    help="A statistics file whose means and deviations are kept: those that a network was trained with.",
)
@click.option("--static", type=click.Path(path_type=Path), help="A file of static fields (y, x), which become channels, too.")
@click.option("--static-variable", "constants", multiple=True, help="A static field (repeatable), of the file of --static.")
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
def stats(
    data: tuple[Path, ...],
    output: Path,
    variables: tuple[str, ...],
    missing: Any,
    axes: str,
    field_axes: str,
    plane: bool,
    normalised_by: Path | None,
    static: Path | None,
    constants: tuple[str, ...],
    overwrite: bool,
) -> None:
    """Compute mean, standard deviation and spectrum per channel of samples (..., y, x) in NetCDF files, shared by ranks."""
    from parampi.fields import DatasetStatistics, FileSamples, check_target
    from parampi.parallel.agree import Reducer, on_all, on_root
    from parampi.parallel.launch import abort_on_error, world

    require_pair(static, constants)
    comm = world()
    with abort_on_error(comm):
        on_root(comm, lambda: check_target(output, overwrite))
        own = on_all(comm, lambda: DatasetStatistics.from_file(normalised_by)) if normalised_by else None
        with on_all(comm, lambda: FileSamples(data, variables, axes=listed(axes), field_axes=listed(field_axes))) as samples:
            statistics, notes, fixed_names = samples.statistics(Reducer(comm), missing, plane), samples.notes, set[str]()
            if static:
                common: dict[str, Any] = {"grid": samples.grid, "dimensions": samples.dimensions}
                with on_all(comm, lambda: FileSamples([static], constants, least=2, **common)) as fixed:
                    statistics = with_static(statistics, fixed, static, Reducer(comm), missing, plane)
                    notes, fixed_names = [*notes, *fixed.notes], set(fixed.names)
        if own is not None and normalised_by is not None:
            statistics = on_all(comm, lambda: statistics.normalised_by(own, normalised_by))
        on_root(comm, lambda: statistics.save(output))
        if launched_rank() == 0:
            words = statistics.geometry.words()
            notes = [*notes, *([f"the grid is {words}"] if words else [])]
            notes += [f"fields have the axes {statistics.dimensions.words()}"] if statistics.dimensions else []
            print(*(f"note: {line}" for line in notes), table(statistics, fixed_names), f"wrote {output}", sep="\n", flush=True)


def require_pair(static: Path | None, constants: tuple[str, ...]) -> None:
    """Raise ConfigError where a file of static fields is named without them, or they without a file."""
    from parampi.errors import ConfigError

    if (static is None) != (not constants):
        given, wanted = ("--static", "--static-variable") if static else ("--static-variable", "--static")
        raise ConfigError(f"{given} is given without {wanted}; name the file of static fields and each of its fields")


def with_static(
    statistics: "DatasetStatistics", fixed: "FileSamples", path: Path, team: "Team", missing: "Missing", plane: bool
) -> "DatasetStatistics":
    """Return statistics with static fields as further channels. Raises DataError for fields that are not one each."""
    from parampi.errors import DataError

    if fixed.shape[0] != 1:
        raise DataError(
            f"{path}: {', '.join(fixed.names)} have {fixed.shape[0]} fields each; a static field is one (y, x); name it among "
            f"the samples (--variable)"
        )
    return statistics.joined(fixed.statistics(team, missing, plane))


def listed(names: str) -> list[str]:
    """Return names that commas part."""
    return [name.strip() for name in names.split(",") if name.strip()]


def table(statistics: "DatasetStatistics", fixed: set[str]) -> str:
    """Return a line per channel; those that are `fixed` have one field, whatever the number of samples."""
    rows = zip(statistics.names, statistics.mean, statistics.standard_deviation, statistics.units, strict=True)
    return "\n".join(
        f"{name}: mean {mean:.6g}, standard deviation {deviation:.6g} {units}, "
        f"{'1 static field' if name in fixed else f'{statistics.samples} samples'}"
        for name, mean, deviation, units in rows
    )
