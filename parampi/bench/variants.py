"""What makes a network faster, and what it changes: calls in several variants, against the network as it is in float32."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from statistics import median

import torch
from torch import Tensor

from parampi.bench.table import markdown
from parampi.diffusion.batched import BatchConditions, BatchedDenoiser
from parampi.diffusion.call_clock import wait_for
from parampi.diffusion.denoisers import Denoiser
from parampi.errors import ConfigError

REPEATS, PATIENCE = 7, 1.0
"""Most timed calls of one size, and seconds after which no further one begins."""
LEVELS = 24
"""Noise levels at which denoised fields are compared."""


@dataclass(frozen=True)
class Variant:
    """A way to run a network. `make` returns its denoiser, or raises ConfigError; `around` holds while it is called."""

    name: str
    make: Callable[[], Denoiser]
    around: Callable[[], AbstractContextManager[object]] = nullcontext


@dataclass(frozen=True)
class Subject:
    """Subject of the measurement: shape of a field, noise levels above 0, the condition of one member, the serial sampler, and
    the number of rounds in which a run's own solver draws that member."""

    shape: Sequence[int]
    levels: Sequence[float]
    condition: BatchConditions | None
    serial: Callable[[Denoiser], Tensor]
    rounds: Callable[[Denoiser], int]

    def conditions(self, count: int) -> BatchConditions | None:
        """Return the condition for a number of fields."""
        one = self.condition
        return None if one is None else BatchConditions(one.conditions, one.columns.repeat(count))


@dataclass(frozen=True)
class Row:
    """A variant. Errors are relative L2 norms of differences from the first variant, of D(x, sigma) over the noise levels and
    of a member drawn serially.

    calls    seconds of a call by its number of fields, see `clock`
    start    seconds of the first call of each size, in which programs and graphs are made
    refused  why the variant cannot be had here, "" where it can
    """

    name: str
    calls: dict[int, float] = field(default_factory=dict)
    start: float | None = None
    middle: float | None = None
    largest: float | None = None
    at: float | None = None
    final: float | None = None
    rounds: int | None = None
    refused: str = ""


def measure(
    variants: Sequence[Variant], subject: Subject, sizes: Sequence[int], done: Callable[[Row], object] = lambda row: None
) -> list[Row]:
    """Return a row for each variant, and tell `done` of it; the first one is what the others are compared with."""
    rows, known = list[Row](), None
    for variant in variants:
        torch.compiler.reset()
        try:
            denoiser = variant.make()
            with variant.around():
                row, fields = measure_variant(variant.name, denoiser, subject, sizes, known)
            known = known or fields
        except ConfigError as error:
            row = Row(variant.name, refused=str(error))
        rows.append(row)
        done(row)
    return rows


@dataclass(frozen=True)
class Fields:
    """Fields of the first variant: noisy ones at rising noise levels, what it made of them, and a member."""

    noisy: Tensor
    denoised: Tensor
    final: Tensor


def measure_variant(
    name: str, denoiser: Denoiser, subject: Subject, sizes: Sequence[int], known: Fields | None
) -> tuple[Row, Fields]:
    """Return the row of a variant, and its own fields."""
    network = BatchedDenoiser(denoiser)
    start, calls = timed(network, subject, sizes)
    final = subject.serial(denoiser).to(network.device)
    noisy = noisy_fields(final, subject.levels) if known is None else known.noisy
    denoised = torch.cat([call(network, one[None], [level], subject) for one, level in zip(noisy, subject.levels, strict=True)])
    base = known or Fields(noisy, denoised, final)
    errors = [relative(*pair) for pair in zip(denoised, base.denoised, strict=True)]
    worst = max(range(len(errors)), key=errors.__getitem__)
    at, last, rounds = subject.levels[worst], relative(final, base.final), subject.rounds(denoiser)
    return Row(name, calls, start, median(errors), errors[worst], at, last, rounds), base


def call(network: BatchedDenoiser, x: Tensor, levels: Sequence[float], subject: Subject) -> Tensor:
    result = network(x, torch.tensor(levels, dtype=x.dtype, device=x.device), subject.conditions(len(x)))
    wait_for(network.device)
    return result


def timed(network: BatchedDenoiser, subject: Subject, sizes: Sequence[int]) -> tuple[float, dict[int, float]]:
    """Return the seconds of the first calls of all sizes, and the median of others by their number of fields, of those for
    which the memory is enough."""
    start, calls, middle = 0.0, dict[int, float](), subject.levels[len(subject.levels) // 2]
    for count in sizes:
        x, begin, spent = torch.randn(count, *subject.shape, device=network.device), time.perf_counter(), list[float]()
        try:
            call(network, x, [middle] * count, subject)
            start += time.perf_counter() - begin
            while len(spent) < REPEATS and sum(spent) < PATIENCE:
                before = clock(network.device)
                call(network, x, [middle] * count, subject)
                spent.append(clock(network.device) - before)
        except torch.OutOfMemoryError:
            break
        calls[count] = median(spent)
    return start, calls


def clock(device: torch.device) -> float:
    """Return seconds: on a CPU this process's own, shared by its threads, so that other work on the machine counts little."""
    return time.process_time() / torch.get_num_threads() if device.type == "cpu" else time.perf_counter()


def noisy_fields(clean: Tensor, levels: Sequence[float]) -> Tensor:
    """Return a field with noise of each level, (levels, *shape)."""
    noise = torch.randn(len(levels), *clean.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return clean + torch.tensor(levels).to(clean).reshape(-1, *[1] * clean.ndim) * noise.to(clean)


def relative(one: Tensor, other: Tensor) -> float:
    return float((one - other).double().norm() / other.double().norm())


def spread(levels: Sequence[float], most: int = LEVELS) -> list[float]:
    """Return at most so many of the noise levels above 0, evenly from all of them."""
    positive = [level for level in levels if level > 0]
    count = min(most, len(positive))
    return [positive[round(k * (len(positive) - 1) / max(count - 1, 1))] for k in range(count)]


def to_markdown(rows: Sequence[Row]) -> str:
    sizes = sorted({size for row in rows for size in row.calls})
    header = (
        "variant",
        *(f"ms, {size}" for size in sizes),
        "first calls, s",
        "D, median",
        "D, largest",
        "at sigma",
        "member",
        "rounds",
    )
    body = [
        [row.name, *(rounded(row.calls.get(size), 1e3) for size in sizes), rounded(row.start),
         *(rounded(value, digits=2) for value in (row.middle, row.largest)), rounded(row.at), rounded(row.final, digits=2),
         row.rounds]
        for row in rows if not row.refused
    ]  # fmt: skip
    refusals = [f"* {row.name}: {row.refused}" for row in rows if row.refused]
    return "\n".join([markdown(header, body), *(["", "Not here:", "", *refusals] if refusals else [])])


def rounded(value: float | None, factor: float = 1.0, digits: int = 3) -> float | None:
    return None if value is None else float(f"{factor * value:.{digits}g}")


def to_json(rows: Sequence[Row]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=1)
