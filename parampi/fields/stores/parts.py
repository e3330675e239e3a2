"""Files of an ensemble's parts: their names, and the removal of those of earlier runs."""

from collections.abc import Sequence
from pathlib import Path


def parts_folder(path: str | Path) -> Path:
    """Return the folder of an ensemble's parts, beside the joint file."""
    path = Path(path)
    return path.with_name(f"{path.stem}.parts")


def part_name(path: str | Path, ensemble: str, rank: int) -> Path:
    """Return the file of one rank's part; `ensemble` tells the parts of one run from those of another."""
    return parts_folder(path) / f"{ensemble[:8]}-{rank:05d}.nc"


def remove_stale_parts(path: str | Path, parts: Sequence[Path] = ()) -> None:
    """Remove all parts beside an ensemble file but `parts`, also those that a killed job left unfinished."""
    folder, name = parts_folder(path), f"{'?' * 8}-{'[0-9]' * 5}.nc"
    if not folder.is_dir():
        return
    for unfinished in folder.glob(f".{name}.partial"):
        unfinished.unlink(missing_ok=True)
    for part in folder.glob(name):
        if part not in parts:
            part.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
