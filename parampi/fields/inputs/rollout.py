"""Roll-outs: results that enter the next condition, and the axis of lead times."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from parampi.errors import DataError
from parampi.fields.ensemble_axes import Leads
from parampi.fields.inputs.time_axis import TimeAxis
from parampi.fields.times import SECONDS, parse_duration, unit_of

CLOSE = 1e-3
"""How far a time may be from the one that is needed, in steps."""


@dataclass(frozen=True)
class Rollout:
    """Forecasts in a row, each from the one before.

    steps how many forecasts there are
    step  time from one to the next, such as "6 hours"; None for the distance between the times of the files
    feed  variables of the condition, and the channels of the result that take their places; None for those of the same name
    forcing_at  the time of the other variables: that from which a step goes ("start"), or the valid time of its result ("end")
    """

    steps: int
    step: str | None = None
    feed: dict[str, str] | None = None
    forcing_at: Literal["start", "end"] = "start"

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

    def leads(self, times: TimeAxis) -> Leads:
        """Return the axis of lead times; without `step` it is the distance between the times of the files. Raise DataError
        where that is not the same everywhere."""
        units = times.attributes.get("units", "")
        unit = unit_of(units)
        if times.dated and not unit:
            raise DataError(
                f"the times of the files are in {units!r}, in which no step can be counted; give hours or days since a date"
            )
        if self.step is not None:
            number, step_unit = parse_duration(self.step)
            factor = SECONDS[step_unit] / SECONDS[unit] if unit else 1.0
            return Leads(tuple(number * factor * (k + 1) for k in range(self.steps)), unit or step_unit)
        spacing = np.diff(times.values)
        if not unit or len(spacing) == 0 or not np.allclose(spacing, spacing[0]) or not spacing[0] > 0:
            raise DataError(
                "the length of a step cannot be told from the times of the files (there are none, only one, or their distances "
                "differ); give it, such as condition.lead_step: 6 hours"
            )
        return Leads(tuple(float(spacing[0]) * (k + 1) for k in range(self.steps)), unit)

    def forcing_indices(self, case: int, times: TimeAxis, leads: Leads, names: Sequence[str]) -> list[int]:
        """Return which of the samples are the forcing of each lead time. Raise DataError for times that the files do not have.

        Files without times have one sample for each step.
        """
        first = 0 if self.forcing_at == "start" else 1
        if not times.dated:
            indices = [case + lead + first for lead in range(self.steps)]
            if indices[-1] >= len(times.values):
                raise DataError(
                    f"{self.steps} lead times from case {case} need {', '.join(names)} up to index {indices[-1]}, but the "
                    f"files end at {len(times.values) - 1}; take fewer lead times or earlier cases, or files that go on"
                )
            return indices
        step = leads.values[0]
        starts = times.values[case] + step * (first + np.arange(self.steps))
        nearest = [int(np.abs(times.values - start).argmin()) for start in starts]
        missing = [
            start for start, index in zip(starts, nearest, strict=True) if abs(times.values[index] - start) > 1e-3 * step
        ]
        if missing:
            raise DataError(
                f"{self.steps} lead times of {step:g} {leads.units} from case {case} need {', '.join(names)} at "
                f"{times.text(missing[0])}, which no file has (they go from {times.text(times.values[0])} to "
                f"{times.text(times.values[-1])}); take fewer lead times, another condition.lead_step, or files with all times"
            )
        return nearest
