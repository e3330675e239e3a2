"""Classic NetCDF files that end before their values do: the library reads zeros there without a word.

The format is that of the NetCDF classic specification (Unidata; CDF-1, CDF-2, CDF-5): big-endian, a header, then variables
of fixed size, then records. No library tells how long the file should be, so its header is read by hand.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from parampi.errors import DataError

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
"""Bytes of a value, by the format's number of its type."""
STREAMING = {4: 2**32 - 1, 8: 2**64 - 1}
"""Numbers of records that say nothing, by the bytes of a number."""


@dataclass(frozen=True)
class Extent:
    """Where a variable's values lie: from `begin`, `size` bytes, once or for each record."""

    begin: int
    size: int
    recorded: bool


def require_whole(path: Path) -> None:
    """Raise DataError for a classic NetCDF file that is shorter than its header says."""
    try:
        expected = declared_size(path)
    except (EOFError, KeyError, IndexError, OverflowError, MemoryError):
        raise DataError(
            f"{path} is damaged: its header of classic NetCDF ends or makes no sense; copy or make it again"
        ) from None
    length = path.stat().st_size
    if length < expected:
        raise DataError(
            f"{path} is truncated: its header says {expected} bytes, and it has {length}; what is missing would be read as 0; "
            f"copy or make it again"
        )


def declared_size(path: Path) -> int:
    """Return how many bytes the header of a classic NetCDF file says it has; padding after the last value may be missing."""
    with path.open("rb") as file:
        header = Header(file, 8 if file.read(4)[3] == 5 else 4)
        records = header.number()
        if records == STREAMING[header.width]:
            records = 0
        lengths = header.dimensions()
        header.attributes()
        extents = header.variables(lengths)
    fixed = [one.begin + one.size for one in extents if not one.recorded]
    recorded = [one for one in extents if one.recorded]
    # one variable alone is not padded between records
    stride = recorded[0].size if len(recorded) == 1 else sum(padded(one.size) for one in recorded)
    ends = [one.begin + (records - 1) * stride + one.size for one in recorded if records]
    return max([0, *fixed, *ends])


def padded(size: int) -> int:
    """Return the next multiple of 4."""
    return -(-size // 4) * 4


class Header:
    """The header of a classic NetCDF file, read from its fifth byte on; a number has `width` bytes."""

    def __init__(self, file: BinaryIO, width: int):
        self.file, self.width = file, width
        self.offset_width = 4
        position = file.tell()
        file.seek(3)
        self.offset_width = 4 if file.read(1) == b"\x01" else 8
        file.seek(position)

    def read(self, size: int) -> bytes:
        content = self.file.read(size)
        if len(content) < size:
            raise EOFError
        return content

    def number(self, width: int | None = None) -> int:
        return int.from_bytes(self.read(width or self.width), "big")

    def skip_name(self) -> None:
        self.read(padded(self.number()))

    def length_of_list(self) -> int:
        """Return how many entries follow; the tag before says of what."""
        self.number(4)
        return self.number()

    def dimensions(self) -> list[int]:
        """Return the lengths; 0 is that of records."""
        lengths = []
        for _ in range(self.length_of_list()):
            self.skip_name()
            lengths.append(self.number())
        return lengths

    def attributes(self) -> None:
        for _ in range(self.length_of_list()):
            self.skip_name()
            size = SIZES[self.number(4)]
            self.read(padded(size * self.number()))

    def variables(self, lengths: list[int]) -> list[Extent]:
        extents = []
        for _ in range(self.length_of_list()):
            self.skip_name()
            axes = [lengths[self.number()] for _ in range(self.number())]
            self.attributes()
            size = SIZES[self.number(4)]
            self.number()  # the size that is stored overflows for large variables
            recorded = bool(axes) and axes[0] == 0
            values = math.prod(axes[1:] if recorded else axes)
            extents.append(Extent(self.number(self.offset_width), size * values, recorded))
        return extents
