"""The choice of what is written of an ensemble."""

from dataclasses import dataclass
from typing import Literal

from parampi.errors import OutputError
from parampi.fields.channels import split_channel

Kind = Literal["mean", "standard_deviation", "minimum", "maximum", "quantiles"]


@dataclass(frozen=True)
class Content:
    """Choice of what is written of an ensemble.

    variables    names of channels, or of variables for all their levels; None for all channels
    members      whether the members themselves are
    summary      statistics over members; standard deviations are those of a sample (divided by members - 1)
    quantiles    for the summary "quantiles", by linear interpolation between members
    compression  0 (none) to 9, lossless
    checksums    whether members' fields have checksums, which tell damaged ones
    digits       significant decimal digits that are kept; None for all of float32. Fewer compress better
    """

    variables: tuple[str, ...] | None = None
    members: bool = True
    summary: tuple[Kind, ...] = ()
    quantiles: tuple[float, ...] = (0.05, 0.5, 0.95)
    compression: int = 0
    checksums: bool = True
    digits: int | None = None

    def __post_init__(self) -> None:
        if not self.members and not self.summary:
            raise OutputError("neither members nor a summary would be written; leave output.members true, or name a summary")
        if not self.members and "quantiles" in self.summary:
            raise OutputError("quantiles need the members in the file; leave output.members true, or the quantiles out")
        if self.digits is not None and not self.compression:
            raise OutputError(
                f"output.digits = {self.digits} without output.compression makes fields less exact but no file smaller; "
                f"compress too, or leave the digits out"
            )
        if not all(0 <= q <= 1 for q in self.quantiles) or list(self.quantiles) != sorted(set(self.quantiles)):
            raise OutputError(f"quantiles = {list(self.quantiles)}; give increasing numbers from 0 to 1")

    def chosen(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the channels to write, in the order of `names`. Raise OutputError for unknown ones."""
        if self.variables is None:
            return names
        variable_of = {name: split_channel(name)[0] for name in names}
        unknown = [name for name in self.variables if name not in names and name not in variable_of.values()]
        if unknown:
            raise OutputError(f"output.variables names {', '.join(unknown)}; there are {', '.join(names)}")
        return tuple(name for name in names if name in self.variables or variable_of[name] in self.variables)

    def size(self, members: int, cases: int, variables: int, points: int) -> int:
        """Return the bytes of all fields, before compression."""
        maps = members * cases * self.members
        maps += cases * sum(len(self.quantiles) if kind == "quantiles" else 1 for kind in self.summary)
        return 4 * maps * variables * points
