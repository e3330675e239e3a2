"""`parampi resume`."""

from pathlib import Path

import click

from parampi.commands.key_names import completed
from parampi.commands.trust_options import CONFIG, TRUST
from parampi.run.stop_request import StopRequest


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, shell_complete=completed("parallel", "checkpoint"))
@click.option(
    "--progress", type=click.Choice(["auto", "bar", "lines"]), default="auto", show_default=True, help="As in parampi run."
)
@click.option(
    "--overwrite", is_flag=True, help="Replace files in the places of outputs that others have put there since it began."
)
@click.option("--config", "own_config", type=click.Path(path_type=Path), help=CONFIG)
@click.option("--trust", is_flag=True, help=TRUST)
@click.pass_obj
def resume(
    stop: StopRequest | None,
    directory: Path,
    overrides: tuple[str, ...],
    progress: str,
    overwrite: bool,
    own_config: Path | None,
    trust: bool,
) -> None:
    """Go on with the run in DIRECTORY, on any number of ranks; where there are several, DIRECTORY/ENSEMBLE names one.
    OVERRIDES may change parallel and checkpoint."""
    from parampi.parallel.launch import abort_on_error, world
    from parampi.run.checkpoint.folder import Folder
    from parampi.run.config import RunConfig, agreed, load, resolved
    from parampi.run.job import run as draw
    from parampi.run.trust import code_of, require_trust

    def stored() -> RunConfig:
        folder = Folder.find(directory)
        if own_config:
            return load(own_config, [*overrides, f"output.directory={folder.directory}"])
        about = folder.about()
        tree = about.config
        if not trust:
            require_trust(code_of(tree), about.inputs, {}, folder.path / "run.json")
        tree["output"]["directory"] = str(folder.directory)
        return resolved(tree, overrides, folder.directory)

    comm = world()
    with abort_on_error(comm):
        draw(agreed(comm, directory, stored), comm, overwrite=overwrite, progress=progress, resume=True, stop=stop)
