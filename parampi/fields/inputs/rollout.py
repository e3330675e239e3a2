"""Roll-outs: results that enter the next condition, and the axis of lead times."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parampi.errors import DataError
from parampi.fields.ensemble_axes import Cases, Leads
from parampi.fields.times import SECONDS, parse_duration, unit_of

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Rollout:
    """Forecasts in a row, each from the one before.

    steps how many forecasts there are
    step  time from one to the next, such as "6 hours"; None for the distance between the times of the files
    feed  variables of the condition, and the channels of the result that take their places; None for those of the same name
    """

    steps: int
    step: str | None = None
    feed: dict[str, str] | None = None

    def connect(self, names: Sequence[str], channels: Sequence[str]) -> dict[int, int]:
        """Return the channel of the result for each row of the condition that it replaces. Raise DataError for other names."""
        feed = {name: name for name in names if name in channels} if self.feed is None else self.feed
        for name, channel in feed.items():
            if name not in names or channel not in channels:
                raise DataError(
                    f"condition.feed = {{{name}: {channel}}}: the condition has {', '.join(names)} and the network draws "
                    f"{', '.join(channels)}; name one of each"
                )
        if not feed:
            raise DataError(
                f"no channel of the network ({', '.join(channels)}) is a variable of the condition ({', '.join(names)}), so "
                f"that nothing of a forecast would enter the next one; say what takes whose place (condition.feed)"
            )
        return {list(names).index(name): list(channels).index(channel) for name, channel in feed.items()}

    def leads(self, cases: Cases, spacing: Floats) -> Leads:
        """Return the axis of lead times; `spacing` are the distances between all times of the files."""
        unit = unit_of(cases.attributes.get("units", ""))
        if self.step is not None:
            number, step_unit = parse_duration(self.step)
            factor = SECONDS[step_unit] / SECONDS[unit] if unit else 1.0
            return Leads(tuple(number * factor * (k + 1) for k in range(self.steps)), unit or step_unit)
        if not unit or len(spacing) == 0 or not np.allclose(spacing, spacing[0]) or not spacing[0] > 0:
            raise DataError(
                "the length of a step cannot be told from the times of the files (there are none, only one, or their distances "
                "differ); give it, such as condition.lead_step: 6 hours"
            )
        return Leads(tuple(float(spacing[0]) * (k + 1) for k in range(self.steps)), unit)
