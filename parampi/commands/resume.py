"""`parampi resume`."""

from pathlib import Path

import click

from parampi.run.stop_request import StopRequest


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1)
@click.option(
    "--progress", type=click.Choice(["auto", "bar", "lines"]), default="auto", show_default=True, help="As in parampi run."
)
@click.pass_obj
def resume(stop: StopRequest | None, directory: Path, overrides: tuple[str, ...], progress: str) -> None:
    """Go on with the run in DIRECTORY, on any number of ranks; where there are several, DIRECTORY/ENSEMBLE names one.
    OVERRIDES may change parallel and checkpoint."""
    from parampi.parallel.launch import abort_on_error, world
    from parampi.run.checkpoint.folder import Folder
    from parampi.run.config import RunConfig, agreed, resolved
    from parampi.run.job import run as draw

    def stored() -> RunConfig:
        folder = Folder.find(directory)
        tree = folder.about()["config"]
        tree["output"]["directory"] = str(folder.directory)
        return resolved(tree, overrides, folder.directory)

    comm = world()
    with abort_on_error(comm):
        draw(agreed(comm, directory, stored), comm, progress=progress, resume=True, stop=stop)
