"""Zarr stores (format 3) with the interface of the NetCDF library, as far as ensembles need it.

So one schema writes both, and whatever reads an ensemble reads both. A chunk is a file of its own beside those of the same
variable, and every chunk has a checksum (crc32c).
"""

import base64
import importlib
import struct
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from parampi.errors import DataError, OutputError

KEYS = {"name": "default", "separator": "."}
"""Chunks are named c.0.1.2, all in the folder of their variable: one file each, and no folders for the axes."""
LARGEST_CHUNK = 1 << 20
"""Bytes of a chunk, where nobody says how large one is and there are axes to cut."""
OF_THE_VARIABLE = ("flag_values", "valid_min", "valid_max", "valid_range", "missing_value", "actual_range")
"""Attributes that have the type of their variable."""
QUANTIZED = "_QuantizeGranularBitRoundNumberOfSignificantDigits"
MISSING = "needs the package zarr (version 3), which is not installed; install it (pip install 'parampi[zarr]')"


def library() -> Any:
    """Return the module `zarr`. Raise OutputError where there is none that knows format 3."""
    try:
        importlib.import_module("zarr.codecs.crc32c_")
        return importlib.import_module("zarr")
    except ImportError:
        raise OutputError(f"a Zarr store {MISSING}, or take another output.mode, such as virtual") from None


class ZarrFile:
    """A group of Zarr with variables, axes and attributes, as `netCDF4.Dataset` has them. `mode`: "r", "r+", or "w-" for a new
    one."""

    def __init__(self, path: str | Path, mode: str = "r"):
        self.path, zarr = Path(path), library()
        # a field of missing values is a chunk too, so that a chunk that is not there is one that was lost
        with zarr.config.set({"array.write_empty_chunks": True}):
            self.group = zarr.open_group(str(path), mode=mode, zarr_format=3, use_consolidated=False)
            self.variables = {name: ZarrVariable(self, array) for name, array in sorted(self.group.arrays())}
        self.dimensions: dict[str, range] = {}
        for variable in self.variables.values():
            self.dimensions |= {name: range(n) for name, n in zip(variable.dimensions, variable.shape, strict=True)}

    def __getitem__(self, name: str) -> "ZarrVariable":
        return self.variables[name]

    def __getattr__(self, name: str) -> Any:
        return attribute_or_raise(self.__dict__.get("group"), name)

    def filepath(self) -> str:
        """Return the name of the folder."""
        return str(self.path)

    def set_auto_mask(self, _: bool) -> None:
        """Do nothing: values are never masked arrays."""

    def ncattrs(self) -> list[str]:
        """Return the names of the attributes."""
        return list(self.group.attrs)

    def getncattr(self, name: str) -> Any:
        """Return an attribute."""
        return self.group.attrs[name]

    def setncattr(self, name: str, value: Any) -> None:
        """Set an attribute."""
        self.setncatts({name: value})

    def setncatts(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes."""
        self.group.attrs.update({name: plain(value) for name, value in attributes.items()})

    def createDimension(self, name: str, size: int) -> None:  # noqa: N802 (names are the NetCDF library's)
        """Make an axis known, of a length."""
        self.dimensions[name] = range(size)

    def createVariable(  # noqa: N802
        self,
        name: str,
        kind: Any,
        axes: Iterable[str],
        fill_value: Any = None,
        chunksizes: Iterable[int] | None = None,
        fletcher32: bool = True,
        compression: str | None = None,
        complevel: int = 0,
        shuffle: bool = True,
        significant_digits: int | None = None,
        quantize_mode: str = "",
    ) -> "ZarrVariable":
        """Create a variable. The options are those of NetCDF: compression is Blosc's (zstd, shuffled); values are not rounded
        here, but say to how many digits they were."""
        axes, kind = tuple(axes), np.dtype(kind).newbyteorder("=")
        shape = tuple(len(self.dimensions[axis]) for axis in axes)
        if kind.kind == "S":
            if shape:
                raise OutputError(f"{name} holds letters, which a Zarr store cannot; leave it out of output.grid_variables")
            kind = np.dtype("i1")  # of a variable that has attributes alone, such as a grid mapping
        chunks = tuple(chunksizes) if chunksizes else chunks_of(shape, kind.itemsize)
        array = self.group.create_array(
            name, shape=shape, dtype=kind, chunks=chunks, dimension_names=axes, chunk_key_encoding=KEYS, filters=None,
            fill_value=0 if fill_value is None else fill_value, compressors=codecs(complevel if compression else 0),
            config={"write_empty_chunks": True},
        )  # fmt: skip
        self.variables[name] = variable = ZarrVariable(self, array)
        marks = {} if fill_value is None else {"_FillValue": fill_value}
        variable.setncatts(marks | ({QUANTIZED: significant_digits} if significant_digits else {}))
        return variable

    def close(self) -> None:
        """Collect the descriptions of all variables in one file, which readers look for first."""
        if not self.group.read_only:
            with warnings.catch_warnings():  # that format 3 does not define it: readers that do not know it pass it by
                warnings.simplefilter("ignore")
                library().consolidate_metadata(self.group.store)

    def __enter__(self) -> "ZarrFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()


class ZarrVariable:
    """An array of Zarr, as `netCDF4.Variable` is one."""

    def __init__(self, file: ZarrFile, array: Any):
        self.file, self.array = file, array
        self.name: str = array.basename
        self.shape, self.ndim, self.dtype = tuple(array.shape), array.ndim, np.dtype(array.dtype).newbyteorder("=")
        names = getattr(array.metadata, "dimension_names", None) or ()
        own = (*names, *[None] * (self.ndim - len(names)))
        self.dimensions = tuple(name or f"{self.name}_axis_{place}" for place, name in enumerate(own))

    def group(self) -> ZarrFile:
        """Return the file that it is in."""
        return self.file

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))

    def __getitem__(self, index: Any) -> Any:
        return np.asarray(self.array[anywhere(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        values = np.asarray(value)
        self.array[anywhere(index)] = (
            values.astype("S1").view(np.int8) if values.dtype.kind == "S" else values.astype(self.dtype)
        )

    def __getattr__(self, name: str) -> Any:
        if "array" in self.__dict__ and name in self.array.attrs:
            return self.getncattr(name)
        raise AttributeError(name)

    def ncattrs(self) -> list[str]:
        """Return the names of the attributes."""
        return list(self.array.attrs)

    def getncattr(self, name: str) -> Any:
        """Return an attribute, in the type that NetCDF has it in. Raise DataError for one that is damaged."""
        value = self.array.attrs[name]
        try:
            if name == "_FillValue" and isinstance(value, str) and self.dtype.kind == "f":
                return self.dtype.type(struct.unpack("<d", base64.standard_b64decode(value))[0])
            return np.asarray(value, self.dtype) if name in OF_THE_VARIABLE and not isinstance(value, str) else value
        except (ValueError, TypeError, OverflowError, struct.error):
            raise DataError(
                f"{self.file.path}: {self.name} has {name} = {value!r}, which is no {self.dtype}; bring the store back as "
                f"it was written"
            ) from None

    def setncatts(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes; the mark of missing values as xarray writes it, which JSON can hold."""
        values = {name: plain(value) for name, value in attributes.items()}
        if "_FillValue" in attributes and self.dtype.kind == "f":
            mark = struct.pack("<d", float(attributes["_FillValue"]))
            values["_FillValue"] = base64.standard_b64encode(mark).decode()
        if values:
            self.array.attrs.update(values)

    def chunk(self, index: tuple[int, ...]) -> Path:
        """Return the file of the chunk that holds what is at an index along the first axes."""
        whole = (*index, *[0] * (self.ndim - len(index)))
        places = (at // size for at, size in zip(whole, self.array.chunks, strict=True))
        return Path(str(self.array.store_path.store.root), self.array.path, ".".join(("c", *map(str, places))))


def anywhere(index: Any) -> Any:
    """Return an index that stands for all of a variable, which may have no axes, as Zarr knows it; others as they are."""
    return ... if isinstance(index, slice) and index == slice(None) else index


def attribute_or_raise(group: Any, name: str) -> Any:
    """Return an attribute of a group. Raise AttributeError where it has none."""
    if group is None or name not in group.attrs:
        raise AttributeError(name)
    return group.attrs[name]


def chunks_of(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the lengths of chunks of what is no members' field: all of a variable, or single fields where that is much."""
    chunks = [max(size, 1) for size in shape]
    for axis in range(len(shape) - 2):
        if itemsize * np.prod(chunks) > LARGEST_CHUNK:
            chunks[axis] = 1
    return tuple(chunks)


def codecs(level: int) -> list[Any]:
    """Return what chunks pass through: lossless compression, if any, and a checksum."""
    from zarr.codecs import BloscCodec, Crc32cCodec

    packing = [BloscCodec(cname="zstd", clevel=level, shuffle="shuffle")] if level else []
    return [*packing, Crc32cCodec()]


def plain(value: Any) -> Any:
    """Return an attribute's value as JSON can hold it."""
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(one) for one in np.asarray(value).ravel().tolist()]
    value = value.item() if isinstance(value, np.generic) else value
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value
