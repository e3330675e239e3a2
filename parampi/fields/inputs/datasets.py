"""Files of NetCDF, HDF5 and Zarr as xarray data sets, whose values are what their attributes say.

HDF5 is read by h5py (xarray's engine h5netcdf), which knows types that NetCDF's library ends the process with, such as
float16. Its filters are those of the netCDF4 package, and of hdf5plugin where that is installed. Times stay numbers.
"""

import importlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from parampi.errors import DataError
from parampi.fields.failures import intact, not_there, unreadable
from parampi.fields.inputs.axes import with_coordinates
from parampi.fields.inputs.classic import require_whole
from parampi.fields.inputs.encoding import STORED, mended, plain_marks
from parampi.fields.inputs.groups import open_all
from parampi.fields.inputs.named_axes import with_named_axes

if TYPE_CHECKING:
    import xarray

ZARR = ("zarr.json", ".zgroup", ".zmetadata")
"""Files that make a folder a Zarr group."""
OTHERS = {b"GRIB": "GRIB; make NetCDF of it, such as with cdo -f nc4 copy", b"\x1f\x8b": "compressed; unpack it (gunzip)",
          b"PK\x03\x04": "a zip archive; unpack it"}  # fmt: skip
"""How files of other formats begin, what they are, and the remedy."""


@contextmanager
def opened(path: Path, names: Sequence[str] = (), axes: Sequence[str] = ()) -> "Iterator[xarray.Dataset]":
    """Open a file for reading, in the groups that have the variables of these names, whose axes are these, if any. Raise
    DataError where it cannot be read, and for all that the libraries raise meanwhile."""
    kind = format_of(path)
    if kind == "NetCDF":
        require_whole(path)
    with intact(path, kind), decoded(path, kind, names, axes) as dataset:
        yield dataset


def format_of(path: Path) -> str:
    """Return "NetCDF" (classic), "HDF5" or "Zarr". Raise DataError for anything else."""
    if path.is_dir():
        if any((path / name).is_file() for name in ZARR):
            return "Zarr"
        raise DataError(f"{path} is a folder and no Zarr group (none of {', '.join(ZARR)} is in it); name a file")
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except FileNotFoundError as error:
        raise not_there(path) from error
    except OSError as error:
        raise unreadable(path, "a file", error) from error
    if head[:3] == b"CDF" and head[3:4] in (b"\x01", b"\x02", b"\x05"):
        return "NetCDF"
    import h5py

    with intact(path, "HDF5"):
        if h5py.is_hdf5(path):
            return "HDF5"
    other = next((f"it is {remedy}" for begin, remedy in OTHERS.items() if head.startswith(begin)), "")
    other = (
        other or ("it is empty" if not head else "it is truncated, damaged or of another format") + "; copy or make it again"
    )
    raise DataError(f"{path} is no file of NetCDF or HDF5: {other}")


@contextmanager
def decoded(path: Path, kind: str, names: Sequence[str], axes: Sequence[str]) -> "Iterator[xarray.Dataset]":
    """Open a data set, unpacked and masked; several markers of missing values are all taken for that."""
    import xarray

    load_filters()
    if kind == "Zarr":
        require_package("zarr", path, "Zarr")
    with warnings.catch_warnings(), ExitStack() as stack:
        warnings.simplefilter("ignore")
        raw, groups = open_all(stack, path, kind, names)
        raw = repaired(with_named_axes(raw, list(groups), axes, path), path, list(groups))
        dataset = xarray.decode_cf(raw, decode_times=False, decode_coords="all", decode_timedelta=False)
        dataset = with_coordinates(dataset)
        dataset.encoding["groups"] = groups
        dataset.encoding[STORED] = {name: (one, marks) for name, one in raw.variables.items() if (marks := plain_marks(one))}
        yield dataset


def repaired(raw: "xarray.Dataset", path: Path, names: Sequence[str]) -> "xarray.Dataset":
    """Return the data set with attributes that xarray takes for what they mean, without variables that cannot be unpacked;
    raise DataError where one of those is named, or none is."""
    for name, variable in list(raw.variables.items()):
        try:
            variable.attrs = mended(variable.attrs, variable.dtype, path, str(name))
        except DataError:
            if not names or name in names:
                raise
            raw = raw.drop_vars([name])
    return raw


def load_filters() -> None:
    """Make further filters of HDF5 known, where they are installed; netCDF4 brings some that h5py then finds."""
    importlib.import_module("netCDF4")
    with suppress(ImportError):
        importlib.import_module("hdf5plugin")


def require_package(name: str, path: Path, kind: str) -> None:
    try:
        importlib.import_module(name)
    except ImportError:
        raise DataError(f"{path} is a file of {kind}, for which {name} is needed; install it (pip install {name})") from None


def require_filters(dataset: "xarray.Dataset", path: Path, variable: str) -> None:
    """Raise DataError where values are compressed by a filter of HDF5 that is not installed, naming it."""
    if format_of(path) != "HDF5":
        return
    import h5py

    with h5py.File(path) as file:
        stored = file.get(f"{dataset.encoding['groups'].get(variable, '')}/{variable}")
        if not isinstance(stored, h5py.Dataset):
            return
        plan = stored.id.get_create_plist()
        filters = [plan.get_filter(number) for number in range(plan.get_nfilters())]
    for code, _, _, label in filters:
        if not h5py.h5z.filter_avail(code):
            raise DataError(
                f"{path}: {variable} is compressed by filter {code} of HDF5 ({label.decode('utf-8', 'replace') or 'no name'}), "
                f"which is not installed; install it (pip install hdf5plugin), or write the file without"
            )
