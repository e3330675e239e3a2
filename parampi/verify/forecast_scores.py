"""Scores of forecasts against the truth: reading field by field, shared by processes, and what comes out."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from parampi.errors import ConfigError, DataError
from parampi.fields import Channel, Forecasts, Geometry, Truth, open_ensemble, read_forecasts
from parampi.fields.ensembles.score_files import ChannelScores as ChannelScores
from parampi.fields.moments import SingleProcess, Team
from parampi.verify.field_parts import field_parts, library, shapes_of_parts
from parampi.verify.references import Reference, reference_of, reference_parts
from parampi.verify.resampling import draws, estimate, interval, over_starts, replicate

Floats = NDArray[np.floating[Any]]
Parts = dict[str, Floats]
SPECTRA = ("spectrum_members", "spectrum_truth", "spectrum_error")
COLUMNS = {
    "crps": "fair CRPS",
    "rmse": "error of mean",
    "spread_skill": "spread/error",
    "bias": "bias",
    "energy": "energy score",
    "skill": "CRPS skill",
}
"""Columns of the table."""
MOST = 1 << 27
"""Numbers that the parts of all fields may be."""


@dataclass(frozen=True)
class ScoreRequest:
    """Request for scores: channels by name (all by default), thresholds by channel, the reference, the uncertainty.

    reference   "", "climatology", "persistence", or the path of an ensemble file
    confidence  share of drawn scores within an interval; `replicates` of them are drawn, from `seed`
    plane       whether points count alike, wherever they are
    """

    names: tuple[str, ...] = ()
    thresholds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    reference: str = ""
    confidence: float = 0.9
    replicates: int = 1000
    seed: int = 0
    plane: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise ConfigError(f"confidence = {self.confidence}; give a share between 0 and 1, such as 0.9")
        if not 2 <= self.replicates <= 100_000:
            raise ConfigError(f"replicates = {self.replicates}; give 2 to 100000, such as 1000")


@dataclass(frozen=True, eq=False)
class ForecastScores:
    """Scores of an ensemble's channels; `notes` say what was done on the way."""

    forecasts: Forecasts
    geometry: Geometry
    request: ScoreRequest
    truth: str
    channels: tuple[ChannelScores, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Scoring:
    """Files that fit one another, opened for scoring. It is a context, at the end of which they are closed."""

    request: ScoreRequest
    forecasts: Forecasts
    geometry: Geometry
    thresholds: tuple[tuple[float, ...], ...]
    truth: Truth
    reference: Reference | None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.truth.close()

    def scores(self, team: Team) -> ForecastScores:
        """Return the scores. `team`: processes that share the fields; each gets all scores. Only one field of all members is in
        memory. Raises DataError for fields without values."""
        parts = all_parts(self, team)
        notes = notes_of(self.forecasts, self.truth, self.geometry, parts)
        scored = [
            scores_of_channel(*one, self.request, self.reference)
            for one in zip(self.truth.channels, self.thresholds, parts, strict=True)
        ]
        return ForecastScores(self.forecasts, self.geometry, self.request, self.truth.name, tuple(scored), notes)


def prepare(ensemble: str | Path, truth: Sequence[str | Path], request: ScoreRequest) -> Scoring:
    """Open an ensemble file and the truth in other files, matched by grid and times. Raises DataError where they do not match,
    and ConfigError where a library is missing."""
    library()
    forecasts = read_forecasts(ensemble)
    channels = forecasts.choose(request.names)
    geometry = Geometry(forecasts.grid.shape) if request.plane else forecasts.geometry
    levels = thresholds_of(channels, request.thresholds)
    fields = Truth(truth, forecasts, channels)
    try:
        return Scoring(
            request, forecasts, geometry, tuple(levels), fields, reference_of(request.reference, forecasts, channels, fields)
        )
    except BaseException:
        fields.close()
        raise


def score(ensemble: str | Path, truth: Sequence[str | Path], request: ScoreRequest | None = None) -> ForecastScores:
    """Return the scores of an ensemble file against the truth in other files, as `parampi score` does."""
    with prepare(ensemble, truth, request or ScoreRequest()) as scoring:
        return scoring.scores(SingleProcess())


def thresholds_of(channels: Sequence[Channel], thresholds: Mapping[str, tuple[float, ...]]) -> list[tuple[float, ...]]:
    """Return the thresholds of each channel; those of a variable are for all its levels, those of "" for the only channel.
    Raise DataError for others."""
    known = {name for channel in channels for name in (channel.name, channel.variable)} | (
        {""} if len(channels) == 1 else set()
    )
    for name in thresholds:
        if name not in known:
            present = ", ".join(channel.name for channel in channels)
            what = f"of {name}" if name else "without a name"
            raise DataError(f"a threshold {what} is for none of the channels {present}; give such as {channels[0].name}=0.5")
    return [
        tuple(sorted({level for name in ("", one.variable, one.name) for level in thresholds.get(name, ())}))
        for one in channels
    ]


def notes_of(forecasts: Forecasts, truth: Truth, geometry: Geometry, parts: Sequence[Parts]) -> tuple[str, ...]:
    """Return lines about what was done on the way."""
    notes = list(truth.samples.notes)
    words = geometry.words()
    notes += [f"the grid is {words}"] if words else []
    if forecasts.left_out:
        left_out = "1 member is" if forecasts.left_out == 1 else f"{forecasts.left_out} members are"
        notes.append(f"{left_out} left out, as not finished at all starts and lead times")
    if forecasts.first_lead:
        notes.append("lead time 0, which all members start from, is not scored")
    covered = min(float(part["covered"].min()) for part in parts)
    if covered < 1:
        notes.append(f"points without values are left out (up to {1 - covered:.1%} of the area), and there are no spectra then")
    return tuple(notes)


def all_parts(scoring: Scoring, team: Team) -> list[Parts]:
    """Return the parts (S, L, ...) of each channel, by name; each process reads every so-many-th field."""
    forecasts, geometry, thresholds = scoring.forecasts, scoring.geometry, scoring.thresholds
    starts, leads = forecasts.valid.shape
    shapes = [layout(len(forecasts.members), len(some), len(geometry.shells)) for some in thresholds]
    sizes = [sum(prod(shape) for shape in one.values()) for one in shapes]
    if starts * leads * sum(sizes) > MOST:
        raise DataError(
            f"{forecasts.path} has {starts} starts, {leads} lead times, {len(sizes)} channels and {len(forecasts.members)} "
            f"members, too many to score at once; score some of the channels (--variable)"
        )

    def own() -> Floats:
        rows = np.zeros((starts * leads, sum(sizes)))
        with open_ensemble(forecasts.path) as file:
            for task in range(team.rank, starts * leads, team.size):
                parts = task_parts(scoring, file, *divmod(task, leads))
                ordered = [one[name].ravel() for one, shape in zip(parts, shapes, strict=True) for name in shape]
                rows[task] = np.concatenate(ordered)
        return rows

    pieces = np.split(team.add(own), np.cumsum(sizes)[:-1], axis=1)
    return [unpacked(piece, one, (starts, leads)) for piece, one in zip(pieces, shapes, strict=True)]


def task_parts(scoring: Scoring, file: Any, start: int, lead: int) -> list[Parts]:
    """Return the parts of each channel for a start and a lead time."""
    forecasts, truth, geometry = scoring.forecasts, scoring.truth, scoring.geometry
    fields, answers = truth.read(start, lead), []
    others = scoring.reference.read(start, lead) if scoring.reference else [None] * len(fields)
    for number, channel in enumerate(truth.channels):
        members, lot = forecasts.read(file, channel, start, lead), np.random.default_rng([number, start, lead])
        with named(forecasts, channel, start, lead):
            parts = field_parts(members, fields[number], geometry, scoring.thresholds[number], lot)
            answers.append(parts | reference_parts(others[number], fields[number], members, geometry))
    return answers


@contextmanager
def named(forecasts: Forecasts, channel: Channel, start: int, lead: int) -> Iterator[None]:
    """Say of which field a DataError is."""
    try:
        yield
    except DataError as error:
        when = forecasts.when(start, lead)
        raise DataError(f"{forecasts.path}: {channel.name} for {when}: {error}; leave that channel or time out") from error


def layout(members: int, thresholds: int, shells: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all parts of a field, those of a reference among them."""
    return shapes_of_parts(members, thresholds, shells) | {"reference_crps": (), "reference_square": ()}


def unpacked(rows: Floats, shapes: Mapping[str, tuple[int, ...]], lengths: tuple[int, int]) -> Parts:
    """Return parts (S, L, ...) by name from rows (S L, all numbers)."""
    ends = np.cumsum([prod(shape) for shape in shapes.values()])[:-1]
    parts = np.split(rows, ends, axis=1)
    return {name: part.reshape(*lengths, *shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def scores_of_channel(
    channel: Channel, thresholds: tuple[float, ...], parts: Parts, request: ScoreRequest, reference: Reference | None
) -> ChannelScores:
    """Return the scores of a channel from its parts (S, L, ...)."""
    starts, leads, members = parts["error"].shape
    drawn = draws(starts, members, request.replicates, request.seed)
    values: dict[str, list[Any]] = {}
    intervals: dict[str, list[Any]] = {}
    for lead in range(leads):
        ones, many = estimate(parts, lead), replicate(parts, lead, drawn)
        if reference:
            other = parts["reference_crps"][:, lead]
            values.setdefault("reference_crps", []).append(other.mean())
            values.setdefault("reference_rmse", []).append(np.sqrt(parts["reference_square"][:, lead].mean()))
            ones["skill"] = 1 - ones["crps"] / other.mean() if other.mean() > 0 else np.nan
            with np.errstate(divide="ignore", invalid="ignore"):
                many["skill"] = 1 - many["crps"] / over_starts(other, drawn[0])
        for name, value in ones.items():
            values.setdefault(name, []).append(value)
            intervals.setdefault(name, []).append(interval(value, many[name], request.confidence))
        for name, rows in of_starts(parts, lead, bool(thresholds)).items():
            values.setdefault(name, []).append(rows.mean(0))
            intervals.setdefault(name, []).append(interval(rows.mean(0), over_starts(rows, drawn[0]), request.confidence))
    return ChannelScores(
        channel,
        thresholds,
        {name: np.array(value) for name, value in values.items()},
        {name: np.stack(value, axis=1) for name, value in intervals.items()},
    )


def of_starts(parts: Parts, lead: int, with_thresholds: bool) -> Parts:
    """Return scores that are means over starts (S, ...)."""
    names = ("brier", "forecast", "observed") if with_thresholds else ()
    spectra = {name: parts["spectra"][:, lead, row] for row, name in enumerate(SPECTRA)}
    return {"ranks": parts["ranks"][:, lead], **spectra, **{name: parts[name][:, lead] for name in names}}


def counted_words(forecasts: Forecasts) -> str:
    """Return how many members and starts there are, in words."""
    sizes = {"member": len(forecasts.members), "start": len(forecasts.starts)}
    return ", ".join(f"{size} {noun}{'s' * (size != 1)}" for noun, size in sizes.items())


def table(scores: ForecastScores) -> str:
    """Return the scores that are one number, a line for each lead time."""
    forecasts, share = scores.forecasts, f"{scores.request.confidence:.0%}"
    counted = f"{counted_words(forecasts)}, against {scores.truth}"
    lines = [f"{counted}; +- is half of the {share} interval of starts and members drawn anew"]
    lines += [f"note: {line}" for line in scores.notes]
    for one in scores.channels:
        lines += ["", *channel_table(one, forecasts)]
    return "\n".join(lines)


def channel_table(scores: ChannelScores, forecasts: Forecasts) -> list[str]:
    """Return the lines of one channel."""
    names = [name for name in COLUMNS if name in scores.values] + [f"brier>{level:g}" for level in scores.thresholds]
    unit = f"lead time ({forecasts.lead_units})" if forecasts.leads is not None else "time"
    width = max(len(unit), 8) + 2
    lines = [f"{scores.channel.name} ({scores.channel.units})"]
    lines.append(f"{unit:<{width}}" + "".join(f"{COLUMNS.get(name, name):<22}" for name in names).rstrip())
    for lead in range(forecasts.valid.shape[1]):
        start = f"{forecasts.leads[lead]:g}" if forecasts.leads is not None else "all"
        lines.append(f"{start:<{width}}" + "".join(f"{number(scores, name, lead):<22}" for name in names).rstrip())
    return lines


def number(scores: ChannelScores, name: str, lead: int) -> str:
    """Return a score with half its interval."""
    base, _, level = name.partition(">")
    value, ends = scores.values[base][lead], scores.intervals[base][:, lead]
    if level:
        row = [f"{one:g}" for one in scores.thresholds].index(level)
        value, ends = value[row], ends[:, row]
    if not np.isfinite(value):
        return "-"
    return f"{value:.4g}" + (f" +- {(ends[1] - ends[0]) / 2:.2g}" if np.isfinite(ends).all() else "")
