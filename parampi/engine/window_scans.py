"""Scans over all points of the windows of a group, in one sweep."""

from collections.abc import Callable, Sequence

from torch import Tensor

from parampi.parallel import Group, Mode, RankScan, Window, operator_scan, rank_scan, room_for, scan_in_place


class WindowScans:
    """The scans that a sweep asks for, `Sweep.scan`, `Sweep.scan_in_place` and `Sweep.operators`; collective. Nothing comes in
    before the windows, as they are scans of changes. A scan with the slopes of the one before sends none."""

    def __init__(self, group: Group, window: Window, mode: Mode):
        self.group, self.taps, self.active_ranks, self.mode = group, window.taps, window.slices.active_ranks, mode
        self.latest: RankScan | None = None
        self.shape: Sequence[int] = ()

    def affine(self, slopes: Tensor, values: Tensor) -> Tensor:
        y = room_for(values, zeros_before(values, len(slopes)))
        self.in_place(slopes, y)
        return y

    def in_place(self, slopes: Tensor, y: Tensor) -> None:
        y[: len(slopes)] = 0
        if not self.group.rank < self.active_ranks:
            return
        if self.mode == "bitwise" or self.active_ranks == 1:
            scan_in_place(self.group, slopes, y, self.active_ranks, self.mode)
            return
        # other ranks have them again when this one has
        if self.latest is None or self.latest.slopes is not slopes or self.shape != y.shape[1:]:
            self.shape = y.shape[1:]
            self.latest = rank_scan(self.group, slopes, self.shape, range(self.active_ranks))
        self.latest(y)

    def operators(self, apply: Callable[[int, Tensor], Tensor], values: Tensor) -> Tensor:
        return operator_scan(self.group, apply, values, zeros_before(values, self.taps), self.active_ranks)


def zeros_before(values: Tensor, taps: int) -> Tensor:
    """Return what comes in to a scan of changes: none, (taps, *field)."""
    return values.new_zeros((taps, *values.shape[1:]))
