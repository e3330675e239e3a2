"""Seconds of ranks as drawings: what each rank did when, and the run beside the serial sampler."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parampi.fields.evenly import evenly
from parampi.report import Report, Timing, count, in_seconds

SHOWN = 24
"""Most ranks that are drawn."""
WIDTH, HEIGHT, GAP, LEFT = 900.0, 18.0, 6.0, 76.0
"""Width of the drawing, height of a rank's strip, space between strips, and width of their names, in units of the drawing."""
KINDS = ("network", "communication", "output", "sweeps")
LABELS = {
    "network": "network",
    "sweeps": "sweeps and scan of this rank",
    "communication": "messages, with the wait for other ranks",
    "output": "output",
}
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Strip:
    """One rank: its name, its height in the drawing, a path for each kind of work, and its seconds in words."""

    name: str
    top: float
    paths: dict[str, str]
    words: str


@dataclass(frozen=True)
class Strips:
    """Ranks over the time of a run: strips, ticks of seconds with their places, and which of how many ranks are shown."""

    strips: list[Strip]
    ticks: list[tuple[float, str]]
    height: float
    note: str


def rank_strips(report: Report) -> Strips | None:
    """Return what each rank did when; None where nothing was timed."""
    rows = [timeline_of(report, rank) for rank in range(len(report.seconds))]
    end = max((row[-1, 0] for row in rows), default=0.0)
    if end <= 0:
        return None
    numbers, note = list(range(len(rows))), ""
    if len(rows) > SHOWN:
        numbers = evenly(len(rows), SHOWN)
        note = f"{len(numbers)} of {len(rows)} ranks, evenly chosen. report.json has all."
    strips = [strip_of(rank, line, rows[rank], report, end) for line, rank in enumerate(numbers)]
    return Strips(strips, ticks_of(end), len(strips) * (HEIGHT + GAP) + 34, note)


def timeline_of(report: Report, rank: int) -> Floats:
    """Return a rank's seconds (n, 4): since it began, in network, messages and output; two rows where only sums are known."""
    if rank < len(report.timeline) and len(report.timeline[rank]) > 1:
        return np.array(report.timeline[rank], np.float64)
    sums = report.seconds[rank]
    return np.array([[0.0] * 4, [sums["total"], sums["network"], sums["communication"], sums["output"]]])


def strip_of(rank: int, line: int, row: Floats, report: Report, end: float) -> Strip:
    """Return a rank's strip: between two entries of its timeline, shares of the time that passed."""
    top = line * (HEIGHT + GAP)
    passed = np.diff(row[:, 0])
    known = np.clip(np.diff(row[:, 1:], axis=0), 0, None)
    shares = known / np.maximum(np.maximum(known.sum(1), passed), 1e-12)[:, None]
    parts = np.column_stack([shares, np.clip(1 - shares.sum(1), 0, 1)])
    below = np.cumsum(parts, axis=1)
    across = LEFT + row[:, 0] / end * (WIDTH - LEFT - 10)
    paths = {}
    for kind, share, sums in zip(KINDS, parts.T, below.T, strict=True):
        paths[kind] = "".join(
            f"M{a:.1f} {top + HEIGHT * (1 - s):.1f}h{b - a:.1f}v{HEIGHT * part:.1f}h{a - b:.1f}z"
            for a, b, s, part in zip(across, across[1:], sums, share, strict=False)
            if part > 0.002 and b > a
        )
    return Strip(f"rank {rank}", top, paths, words_of(report.seconds[rank]))


def words_of(seconds: dict[str, float]) -> str:
    """Return a rank's seconds in words."""
    rest = max(seconds["total"] - sum(seconds[kind] for kind in KINDS[:3]), 0.0)
    parts = [*(f"{kind} {in_seconds(seconds[kind])}" for kind in KINDS[:3]), f"sweeps {in_seconds(rest)}"]
    return f"{', '.join(parts)}; {in_seconds(seconds['total'])} in all"


def ticks_of(end: float) -> list[tuple[float, str]]:
    """Return round numbers of seconds, with their places."""
    raw = end / 6
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    return [(LEFT + t / end * (WIDTH - LEFT - 10), f"{t:g}") for t in np.arange(0, end * 1.0001, step).round(9).tolist()]


def beside_serial(timing: Timing | None) -> list[dict[str, Any]]:
    """Return the run's seconds beside those of the serial sampler, as bars relative to the longest."""
    if timing is None or timing.serial is None or timing.alone is None:
        return []
    how = "measured" if timing.measured else "from timed network calls"
    bars = [(f"this run, {count(len(timing.hosts), 'rank')}", timing.seconds)]
    bars.append((f"serial sampler, one rank ({how})", timing.serial))
    if len(timing.hosts) > 1:
        bars.append((f"serial sampler, members alone on these ranks ({how})", timing.alone))
    longest = max(seconds for _, seconds in bars)
    return [{"name": name, "words": in_seconds(seconds), "share": 100 * seconds / longest} for name, seconds in bars]
