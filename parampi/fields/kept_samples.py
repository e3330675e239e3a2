"""Some samples of a set of fields, kept while all are read."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parampi.fields.moments import Samples, StoredSamples, Team, evenly_spread, share

Floats = NDArray[np.floating[Any]]


class KeptSamples:
    """Fields (N, C, H, W) of which up to `most` samples, evenly spread, are kept in float32 as they pass, so that no large
    chunk is unpacked a second time for one of them.

    numbers  of the samples that are kept
    """

    def __init__(self, fields: Samples, most: int):
        self.fields = fields
        self.shape = fields.shape
        self.numbers = np.flatnonzero(evenly_spread(self.shape[0], most)).tolist() if most else []
        self.kept: dict[int, NDArray[np.float32]] = {}

    def __getitem__(self, samples: slice, /) -> Any:
        """Read samples, and keep those that are to be kept."""
        block = self.fields[samples]
        present = range(*samples.indices(self.shape[0]))
        for number in self.numbers:
            if number in present and number not in self.kept:
                one = np.ma.filled(np.ma.asarray(block[number - present.start]), np.nan)
                self.kept[number] = np.array(one, np.float32)
        return block

    def filled(self, mean: Floats, team: Team) -> NDArray[np.float32]:
        """Return what all processes kept (S, C, H, W), on each of them, with the mean (C,) in the place of missing values."""
        first, stop = share(self.shape[0], team)

        def own() -> Any:
            """As integers, since 0.0 added to -0.0 is another number."""
            fields = np.zeros((len(self.numbers), *self.shape[1:]), np.float32)
            for row, number in zip(fields, self.numbers, strict=True):
                if first <= number < stop:
                    row[:] = self.kept.pop(number)
            return fields.view(np.int32)

        reference = np.asarray(team.add(own)).view(np.float32)
        for field, value in ((field, value) for sample in reference for field, value in zip(sample, mean, strict=True)):
            field[~np.isfinite(field)] = value
        return reference


class KeptStoredSamples(KeptSamples):
    """Samples of files, some of them kept."""

    if TYPE_CHECKING:
        fields: StoredSamples

    def at_once(self, sample: int) -> int:
        """Return how many samples from this one on come of what is read at once."""
        return self.fields.at_once(sample)
