"""Which tool of others does what a message asks for: one that reads the files."""

from collections.abc import Iterable
from pathlib import Path

from parampi.fields.inputs.units import conversion, spelling


def regridding(sources: Iterable[str | Path], *units: str) -> str:
    """Return such as "such as with cdo remapbil", which reads NetCDF files on latitude and longitude, and no others."""
    on_globe = any(spelling(one) != "1" and conversion(one, "degree") for one in units)
    if on_globe and not any(Path(source).is_dir() for source in sources):
        return "such as with cdo remapbil"
    return "such as with xarray (Dataset.interp)"


def cutting(path: Path, axis: str, count: int) -> str:
    """Return what keeps the first entries along an axis of a NetCDF file or a Zarr store."""
    if path.is_dir():
        return f"xarray.open_zarr({str(path)!r}).isel({axis}=slice({count}))"
    return f"ncks -d {axis},0,{count - 1}"
