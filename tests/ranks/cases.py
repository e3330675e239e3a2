"""Ensembles that must come out the same on any number of ranks, and the way they are compared.

One process draws them once (`save`); every launch reads that file and compares.
"""

import functools
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from parampi import Ensemble, sample, sigmas
from parampi.diffusion.exact import FieldMixture, GaussianMixture
from parampi.errors import ConfigError
from parampi.samplers import DDIM, SAMPLERS, Collocation, Sampler
from parampi.solvers import SOLVERS, Picard, Serial, Spectral
from tests.engines import CAUSAL

PARADIGMS = Picard("window", "identity", "constant")


class Convolutions(nn.Module):
    """A small network in single precision, whose kernels choose their order of summation by shape and alignment."""

    shape = (2, 6, 6)

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(2, 16, 3, padding=1), nn.SiLU(), nn.Conv2d(16, 2, 3, padding=1))
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1

    def forward(self, x, sigma):
        level = sigma[:, None, None, None]
        return x / (1 + level**2) + self.layers(x / (1 + level))


PROBLEMS = {"mixture": GaussianMixture(), "fields": FieldMixture(n=8, components=3), "network": Convolutions()}


@dataclass(frozen=True)
class Case:
    """`time_ranks`: a number, "all" for one group, or None for members first. Options go to `sample` as they are.
    `rounding`: to what a relative difference of fast runs may grow."""

    members: int | list[int]
    problem: str = "mixture"
    steps: int = 12
    sampler: Sampler = DDIM(1.0)  # noqa: RUF009 (frozen)
    time_ranks: int | str | None = None
    fast: bool = True
    rounding: float = 1e-12
    options: dict = field(default_factory=dict)

    def draw(self, mode, comm=None, **more) -> Ensemble:
        denoiser, ranks = PROBLEMS[self.problem], 1 if comm is None else comm.Get_size()
        time_ranks = None if comm is None else ranks if self.time_ranks == "all" else self.time_ranks
        options = {**self.options, "mode": mode, "comm": comm, "time_ranks": time_ranks, "seed": 5, **more}
        return sample(denoiser, denoiser.shape, self.members, sigmas.vp_linear(self.steps), self.sampler, **options)

    def modes(self):
        return ("bitwise", "fast") if self.fast else ("bitwise",)


CASES = {
    "one window of all points": Case(3, time_ranks="all"),
    "no noise": Case(2, sampler=DDIM(), time_ranks="all"),
    "a window that slides": Case(3, time_ranks="all", options={"window": 7}),
    "blocks": Case(3, time_ranks="all", options={"window": 5, "solver": Picard("block")}),
    "fewer points than ranks": Case(2, time_ranks="all", options={"window": 3, "solver": PARADIGMS, "tol": 1e-2}),
    "one point": Case(2, time_ranks="all", options={"window": 1}),
    "the serial solver": Case(1, sampler=DDIM(), time_ranks="all", options={"solver": Serial()}),
    "fewer steps than ranks": Case(2, steps=3, time_ranks="all"),
    "members first": Case([9, 2, 5], problem="fields", options={"window": 6}),
    "every rank for itself, shares uneven": Case(11, steps=6, time_ranks=1),
    "batches": Case(7, steps=8, options={"window": 5, "batch": 2, "solver": Picard("block")}),
    "a network": Case(3, problem="network", fast=False, options={"window": 5, "tol": 1e-2, "network_batch": 2}),
    "single precision": Case(2, fast=False, options={"dtype": torch.float32, "window": 6}),
}
# Every way a window can move, on a problem small enough for all of them; one check does the lot.
WINDOWS = {
    f"window {window} by {advance} with eta {eta:g}": Case(
        2, "fields", steps=10, sampler=DDIM(eta), time_ranks="all", options={"window": window, "solver": Picard(advance)}
    )
    for window in (None, 4)
    for advance in ("window", "block")
    for eta in (0.0, 1.0)
}


def fitting(solver) -> Sampler:
    """The first sampler that a solver takes."""
    for sampler in (DDIM(1.0), DDIM(0.0), *(kind() for kind in CAUSAL.values())):
        try:
            solver.check(sampler.steps(sigmas.vp_linear(10)), PROBLEMS["fields"].shape)
        except ConfigError:
            continue
        return sampler
    raise AssertionError(f"{solver} takes no sampler")


def window_for(solver, wanted) -> int | None:
    """None for solvers that take no window: one point is all, or blocks are solved step by step."""
    return None if isinstance(solver, Serial) or solver.wavefront else wanted


def solvers_for(comm) -> list[str]:
    """All, but Newton's method on three ranks at most: before a process differentiates for the first time, torch loads for a
    second."""
    return [name for name in SOLVERS if name != "newton" or comm.Get_size() <= 3]


PLAIN = ("serial", "picard", "parasolver", "piadm")
"""Solvers that differ by their numbers alone, and so need fewer checks over ranks."""
# Every solver there is. Mixtures of iterates make more of rounding than plain sweeps do.
SOLVED = {
    name: Case(
        2, "fields", steps=10, sampler=fitting(kind()), time_ranks="all", fast=name not in PLAIN, rounding=1e-6,
        options={"window": window_for(kind(), 6), "solver": kind(), "tol": 1e-4},
    )
    for name, kind in SOLVERS.items()
}  # fmt: skip
# Samplers whose steps read several points, by name.
SEVERAL = ("heun", "dpmpp_3m", "unipc", "edm", "piadm_ode")
SAMPLED = {
    name: Case(2, "fields", steps=6, sampler=SAMPLERS[name](), time_ranks="all", fast=False, options={"window": 5})
    for name in SEVERAL
    if name in SAMPLERS
}
# Steps that read points on both sides: on ranks of several points, and of fewer than a step reads.
TWO_SIDED = {
    f"order {order}": Case(
        2, "fields", steps=steps, sampler=Collocation(order), time_ranks="all", rounding=1e-9,
        options={"solver": Spectral(), "tol": 1e-6},
    )
    for order, steps in ((2, 10), (4, 7), (6, 12))
}  # fmt: skip
ALL = (
    CASES
    | WINDOWS
    | {f"solver {name}": case for name, case in SOLVED.items()}
    | {f"sampler {name}": case for name, case in SAMPLED.items()}
    | {f"collocation of {name}": case for name, case in TWO_SIDED.items()}
)


def facts(drawn: Ensemble) -> dict:
    """What must be the same, as tensors."""
    table = [[m.member, m.rounds, m.evaluations, m.residual, m.error] for m in drawn.report.members]
    history = [torch.tensor(r.changes, dtype=torch.float64) for r in drawn.report.residuals[drawn.members[0]]]
    return {"fields": drawn.fields, "members": torch.tensor(table, dtype=torch.float64), "history": torch.cat(history)}


EXPECTED = "PARAMPI_TEST_EXPECTED"
"""Names the file of what one process draws."""


def save(path: Path, others: dict[str, dict]) -> None:
    """Draw everything in this one process; `others` are drawn already."""
    drawn = {f"{name}, {mode}": facts(case.draw(mode)) for name, case in ALL.items() for mode in case.modes()}
    torch.save(drawn | others, path)


@functools.cache
def saved() -> dict[str, dict]:
    return torch.load(os.environ[EXPECTED], weights_only=True)


def assert_same(found: dict, expected: dict, mode: str, rounding: float = 1e-12) -> None:
    """Equal bits in bitwise mode; in fast mode equal decisions and numbers that agree to rounding."""
    for name, value in expected.items():
        assert found[name].shape == value.shape and found[name].dtype == value.dtype, name
        if mode == "bitwise":
            assert found[name].equal(value), name
    scale = expected["fields"].abs().max()
    assert ((found["fields"] - expected["fields"]).abs() <= rounding * scale).all()
    assert found["members"][:, :3].equal(expected["members"][:, :3])
