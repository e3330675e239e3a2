"""The examples that come with the package, copied for a user: an installed package has them within, a clone beside it."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from parampi.errors import ConfigError, OutputError
from parampi.fields.atomic_files import writing

PACKAGE = Path(__file__).resolve().parents[2]
FOLDER, CONFIG, README = "examples", "run.yaml", "README.md"
LEFT_OUT = ("__pycache__", ".ipynb_checkpoints", "output", "data", "scores", "scores.csv", "runinfo", ".snakemake")
"""What programs of the examples, and Python, leave there."""


def shipped() -> Path:
    """Return the folder of the examples. Raises ConfigError where there is none."""
    for root in (PACKAGE, PACKAGE.parent):
        if (root / FOLDER / "01_turbulence" / CONFIG).is_file():
            return root / FOLDER
    raise ConfigError(f"this installation of parampi, in {PACKAGE}, has no examples; install its wheel, or from a clone")


def examples() -> dict[str, str]:
    """Return the titles of the examples by their names, which are those of folders and of notebooks."""
    folder = shipped()
    folders = {path.parent.name: heading(path.read_text()) for path in folder.glob(f"*/{README}")}
    notebooks = {path.stem: heading("".join(first_cell(path))) for path in folder.glob("*.ipynb")}
    return dict(sorted((folders | notebooks).items()))


def first_cell(notebook: Path) -> list[str]:
    return list(json.loads(notebook.read_text())["cells"][0]["source"])


def heading(text: str) -> str:
    return text.partition("\n")[0].lstrip("# ")


def copy_example(name: str, folder: Path) -> tuple[list[Path], str]:
    """Copy an example, and those whose files it uses, into `examples` of a folder, so that the commands in its README run there
    as they stand. `name` may lack the number. Return its files, and what to do next.

    Raises ConfigError for an unknown name, and OutputError, before anything is written, where a file of it exists already.
    Files that exist of the others are left as they are.
    """
    known = examples()
    chosen = next((one for one in known if name in (one, one.partition("_")[2])), None)
    if chosen is None:
        raise ConfigError(f"--example {name} is not one of {', '.join(known)}")
    source, target = shipped(), folder / FOLDER
    own = [target / path for path in files(source, chosen)]
    existing = [str(path) for path in own if os.path.lexists(path)]
    if existing:
        raise OutputError(
            f"{existing[0]} exists already, and parampi init replaces nothing; move it away, or choose another folder with "
            "--directory"
        )
    for one in [chosen, *needed(source, chosen)]:
        for path in files(source, one):
            if not os.path.lexists(target / path):
                with writing(target / path):
                    (target / path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source / path, target / path)
    config = target / chosen / CONFIG
    return own, f"parampi run {config}" if config in own else f"see {next(p for p in own if p.suffix in ('.md', '.ipynb'))}"


def files(source: Path, name: str) -> list[Path]:
    """Return the files of an example, relative to the folder of all."""
    notebook = source / f"{name}.ipynb"
    if notebook.is_file():
        return [notebook.relative_to(source)]
    found = (path.relative_to(source) for path in sorted((source / name).rglob("*")) if path.is_file())
    return [path for path in found if not set(path.parts) & set(LEFT_OUT)]


def needed(source: Path, name: str) -> list[str]:
    """Return the other examples whose files an example uses, and those that these use."""
    found: list[str] = []
    waiting = [name]
    while waiting:
        for other in named(source, waiting.pop()):
            if other != name and other not in found:
                found.append(other)
                waiting.append(other)
    return found


def named(source: Path, name: str) -> Iterator[str]:
    """Yield the examples that the programs and configurations of one name."""
    others = [path.parent.name for path in source.glob(f"*/{README}")]
    texts = [(source / path).read_text() for path in files(source, name) if path.suffix in (".py", ".yaml", ".ipynb")]
    yield from (other for other in sorted(others) if any(re.search(rf"\b{other}\b", text) for text in texts))
