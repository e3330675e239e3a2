"""The times of a run beside those of the serial sampler: when it began, where, and what one network call takes."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from parampi.diffusion.batched import BatchConditions, BatchedDenoiser
from parampi.diffusion.call_clock import wait_for
from parampi.diffusion.denoisers import Denoiser, scale_of
from parampi.ensemble import sample
from parampi.errors import ConfigError
from parampi.parallel.hosts import host_names, undisturbed
from parampi.report import Report, Timing
from parampi.run.advice import SERIAL
from parampi.run.condition_source import ConditionSource
from parampi.run.hooks import network_condition
from parampi.run.inputs import Inputs, sampling_options
from parampi.solvers import Serial

if TYPE_CHECKING:
    from parampi.parallel.group import Comm

CALLS, PATIENCE = 5, 0.5
"""Most network calls that are timed at once, and seconds after which no further one begins."""


@dataclass
class Stopwatch:
    """The times of one run, on every rank; calls of the network are timed on rank 0, while the others sleep.

    ranks_here     ranks that share a node
    begin_calls    called before calls, which a watchdog may limit
    hosts          of each rank
    calls          seconds of network calls for one field
    serial_member  seconds that the serial sampler took for one member and lead time, None where it was not run
    condition      what the network reads of the first member, kept so that it is prepared once
    """

    comm: "Comm | None"
    ranks_here: int
    begin_calls: Callable[[], None]
    hosts: list[str]
    began: str
    calls: list[float] = field(default_factory=list)
    serial_member: float | None = None
    condition: Tensor | None = None

    @classmethod
    def start(cls, comm: "Comm | None", ranks_here: int, begin_calls: Callable[[], None]) -> "Stopwatch":
        return cls(comm, ranks_here, begin_calls, host_names(comm), now())

    def time_calls(self, inputs: Inputs, denoiser: Denoiser, source: ConditionSource | None) -> None:
        """Time some calls of the network. Where one fails, none is timed: the run itself will say why."""
        self.begin_calls()
        self.calls += undisturbed(self.comm, lambda: timed_calls(inputs, denoiser, lambda: self.read_by(inputs, source))) or []

    def read_by(self, inputs: Inputs, source: ConditionSource | None) -> Tensor | None:
        """Return what the network reads of the first member beside its state."""
        if self.condition is None:
            self.condition = network_condition(inputs, source, inputs.members[0])
        return self.condition

    def end(
        self, report: Report, inputs: Inputs, denoiser: Denoiser, source: ConditionSource | None, *, whole: bool, serial: bool
    ) -> None:
        """Enter the times of a run that has drawn all into its report; `serial`: after drawing the first member with the serial
        sampler, on rank 0."""
        self.time_calls(inputs, denoiser, source)
        self.begin_calls()
        if serial:
            self.serial_member = undisturbed(self.comm, lambda: serial_seconds(inputs, denoiser, self.read_by(inputs, source)))
        report.timing = self.read(report, inputs, whole)

    def read(self, report: Report, inputs: Inputs, whole: bool) -> Timing:
        """Return the times of a run that ends now; `whole`: whether it drew all members itself."""
        members, member = len(inputs.members), self.serial_member
        if member is None and self.calls and inputs.equations.causal:
            member = median(self.calls) * inputs.equations.evaluations
        one = member * inputs.leads if member is not None and whole else None
        return Timing(
            began=self.began,
            ended=now(),
            hosts=self.hosts,
            seconds=max((rank["total"] for rank in report.seconds), default=0.0),
            call=median(self.calls) if self.calls else None,
            serial=None if one is None else one * members,
            alone=None if one is None else one * -(-members // min(members, self.workers)),
            measured=self.serial_member is not None,
            sweeps=not isinstance(inputs.solver, Serial),
            remedy=f"{SERIAL} parallel.time_ranks=1",
        )

    @property
    def workers(self) -> int:
        """Ranks that compute at the same time: no more than there are cores, where ranks share them."""
        cores = os.cpu_count() or 1
        return max(1, len(self.hosts) * min(cores, self.ranks_here) // self.ranks_here)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def timed_calls(inputs: Inputs, denoiser: Denoiser, condition: Callable[[], Tensor | None]) -> list[float]:
    """Return the seconds of some calls for one field, at levels of the run; none where a call fails."""
    options, spent = sampling_options(inputs, denoiser), list[float]()
    network, scale = BatchedDenoiser(denoiser), float(scale_of(denoiser, options["sigma_data"]))
    levels = inputs.equations.sigmas[:-1][inputs.equations.evaluated]
    x = torch.randn((1, *options["shape"]), generator=torch.Generator().manual_seed(0)).to(network.device, options["dtype"])
    try:
        conditions = conditions_of(condition(), network)
        for call in range(CALLS):
            level = levels[(len(levels) - 1) * call // (CALLS - 1)].to(x)
            begin = time.perf_counter()
            network(x * (level**2 + scale**2).sqrt(), level[None], conditions)
            wait_for(network.device)
            spent.append(time.perf_counter() - begin)
            if sum(spent) > PATIENCE:
                break
    except Exception:
        return []
    return spent


def conditions_of(condition: Tensor | None, network: BatchedDenoiser) -> BatchConditions | None:
    """Return the condition (1, ...) of one field."""
    if condition is None:
        return None
    return BatchConditions(condition.to(network.device), torch.zeros(1, dtype=torch.int64, device=network.device))


def serial_seconds(inputs: Inputs, denoiser: Denoiser, condition: Tensor | None) -> float:
    """Return what the serial sampler takes for the first member at its first lead time."""
    member, seed = inputs.members[0], inputs.config.sampling.seed
    options: dict[str, Any] = {**sampling_options(inputs, denoiser), "prepare": None, "finish": None}
    options |= {"solver": Serial(), "window": None, "network_batch": 1}
    report = sample(
        members=[member], seed=seed, condition=None if condition is None else lambda numbers: condition, probe=False, **options
    ).report
    return report.seconds[0]["total"]


def require_serial(inputs: Inputs, measured: bool) -> None:
    """Raise ConfigError where the serial sampler is to be measured, and there is none."""
    if measured and not inputs.equations.causal:
        raise ConfigError(
            f"--measure-serial: the steps of {inputs.sampler} read points on both sides, which no serial sampler can draw; "
            "leave the option out"
        )
