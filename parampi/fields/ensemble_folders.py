"""Ensembles that are folders: Zarr stores, known by what they say of themselves. The library is not loaded for it."""

import json
from pathlib import Path

ENDING = ".zarr"
"""Ending of the names of ensembles that are folders."""
METADATA = "zarr.json"
"""The file that makes a folder a group or an array of Zarr 3."""
COMPLETE = "parampi_complete"
"""Attribute of every ensemble."""


def attributes_of_folder(path: Path) -> dict[str, object]:
    """Return the attributes of the group of Zarr 3 at `path`; none where there is no such thing."""
    try:
        metadata = json.loads((path / METADATA).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    attributes = metadata.get("attributes") if isinstance(metadata, dict) else None
    return attributes if isinstance(attributes, dict) else {}


def is_ensemble_folder(path: Path) -> bool:
    """Return whether there is an ensemble in a folder, which a run may replace where that is allowed."""
    return path.suffix == ENDING and COMPLETE in attributes_of_folder(path)
