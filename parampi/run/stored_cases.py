"""Cases of an ensemble file: which there are, by its configuration and its axes."""

from pathlib import Path
from typing import Any

from parampi.errors import DataError
from parampi.fields.stores.reader import first_drawn
from parampi.run.stored_records import StoredCondition

CONFIG = "parampi_config"
"""Attribute of the ensemble file: the configuration, as JSON."""


def cases_of(condition: StoredCondition, shape: tuple[int, ...]) -> list[int]:
    return condition.select or list(range(shape[0]))


def require_case(cases: list[int], case: int | None, path: Path) -> int:
    """Return a case of those that there are. Raises DataError for another."""
    if case not in cases:
        said = "say which of them (--case)" if case is None else f"say which of them (--case), not {case}"
        raise DataError(f"{path} has the cases {', '.join(map(str, cases))}; {said}")
    return case


def case_shape(file: Any, path: Path, condition: StoredCondition | None) -> tuple[int, ...]:
    """Return how many cases and lead times a file has. Raise DataError where that is not what its configuration says."""
    complete, shape = file["complete"], file["complete"].shape[1:]
    axes: dict[str, int | None] = {}
    if condition is not None:
        axes["cases"] = len(condition.select) if condition.select else None
    if condition is not None and condition.lead_times:
        axes["lead times"] = condition.lead_times + first_drawn(file)
    if len(shape) != len(axes) or any(length not in (None, size) for length, size in zip(axes.values(), shape, strict=True)):
        said = ", ".join(f"{length} {name}" if length else name for name, length in {"members": None, **axes}.items())
        raise DataError(
            f"{path}: complete has the axes {', '.join(complete.dimensions)} of lengths {complete.shape}, and {CONFIG} is of "
            f"{said}; bring the file back as it was written"
        )
    return tuple(map(int, shape))
