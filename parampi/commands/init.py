"""`parampi init`."""

from pathlib import Path

import click

from parampi.errors import ConfigError

PREDICTIONS = ["edm", "denoiser", "epsilon", "velocity", "data", "score", "flow"]


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option(
    "--directory", type=click.Path(path_type=Path), default=Path(), help="Folder to write into, the current one if none."
)
@click.option("--predicts", type=click.Choice(PREDICTIONS), help="As model.predicts, where the file does not say.")
@click.option("--shape", help="As model.shape, such as 1,64,64, where the file does not say.")
@click.option(
    "--example", "name", is_flag=False, flag_value="", help="Copy the example NAME; without NAME, list them.", metavar="[NAME]"
)
def init(path: Path | None, directory: Path, predicts: str | None, shape: str | None, name: str | None) -> None:
    """Write a project for the network at PATH: a folder of diffusers, a module of physicsnemo (.mdlus) or a folder with one, a
    program of torch.export (.pt2) or TorchScript, or weights. Without PATH, write a small project that runs as it is, or copy
    an example that comes with parampi."""
    if name is not None:
        if path or predicts or shape:
            raise ConfigError("--example copies what is there; leave out PATH, --predicts and --shape")
        show_or_copy(name, directory)
        return
    from parampi.run.projects import example, recognised, write
    from parampi.run.projects.project import CHECK, FILL

    project = recognised(path, directory, predicts, sizes(shape)) if path else example()
    files = write(project, directory)
    print(f"wrote {', '.join(map(str, files))}")
    for kind, words in ((FILL, "fill in"), (CHECK, "look at")):
        for remark in project.remarks(kind):
            print(f"{words} {remark}")
    print(f"then: parampi run {files[0]}" if project.remarks(FILL) else f"next: parampi run {files[0]}")


def show_or_copy(name: str, directory: Path) -> None:
    """List the examples, or copy the one of this name."""
    from parampi.report import count
    from parampi.run.projects import copy_example, examples

    if not name:
        for known, title in examples().items():
            print(f"{known:20} {title}")
        return
    files, following = copy_example(name, directory)
    print(f"wrote {count(len(files), 'file')} into {files[0].parent}")
    print(f"next: {following}")


def sizes(text: str | None) -> list[int] | None:
    """Return the numbers of a shape. Raises ConfigError."""
    try:
        numbers = [int(part) for part in text.strip("[]").split(",")] if text else None
    except ValueError:
        numbers = [0]
    if numbers is not None and min(numbers) < 1:
        raise ConfigError(f"--shape {text}: give whole numbers, such as 1,64,64")
    return numbers
