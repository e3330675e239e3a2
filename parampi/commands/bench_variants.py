"""`parampi bench network --variants`: the ways to run a configured network, made ready to be measured."""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from parampi.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from parampi.bench.variants import Row, Subject, Variant
    from parampi.diffusion.denoisers import Denoiser
    from parampi.ensemble import Ensemble
    from parampi.run.planning.forecasts import Network

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "full-float32": {},
    "compile": {"compile": True},
    "bfloat16": {"autocast": "bfloat16"},
    "float16": {"autocast": "float16"},
    "channels_last": {"channels_last": True},
    "cuda_graphs": {"cuda_graphs": True},
    "compile+bfloat16": {"compile": True, "autocast": "bfloat16"},
    "compile+channels_last+bfloat16": {"compile": True, "autocast": "bfloat16", "channels_last": True},
    "cuda_graphs+bfloat16": {"cuda_graphs": True, "autocast": "bfloat16"},
    "cuda_graphs+float16": {"cuda_graphs": True, "autocast": "float16"},
    "compile+cuda_graphs+bfloat16": {"compile": True, "autocast": "bfloat16", "cuda_graphs": True},
}
"""Keys of `model` by the names of variants. "full-float32" is without TF32, which convolutions have on GPUs by default."""


def chosen(text: str) -> list[str]:
    """Return the names of variants of an option's value, plain first. Raises ConfigError for unknown ones."""
    names = list(VARIANTS) if text == "all" else [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in VARIANTS]:
        raise ConfigError(f"--variants {text}: {unknown[0]} is none of {', '.join(VARIANTS)}; or give all")
    return ["plain", *(name for name in names if name != "plain")]


def measure(network: "Network", place: int, names: Sequence[str], most: int) -> "list[Row]":
    """Return the rows of variants of an open network."""
    from parampi.bench import variants as measurement

    sizes = [4**k for k in range(10) if 4**k <= most]
    made = [one for one in (variant_of(network, place, name) for name in names) if one is not None]
    with click.progressbar(length=len(made), label="variants", file=sys.stderr) as bar:
        return measurement.measure(made, subject_of(network), sizes, lambda row: bar.update(1))


def variant_of(network: "Network", place: int, name: str) -> "Variant | None":
    """Return a variant; None for one that is of GPUs alone, elsewhere."""
    import torch

    from parampi.bench.variants import Variant
    from parampi.run.model_loading import load_denoiser

    def make() -> "Denoiser":
        config = network.inputs.config
        plain = {"compile": False, "autocast": None, "channels_last": False, "cuda_graphs": False}
        model = config.model.model_copy(update=plain | VARIANTS[name])
        return load_denoiser(replace(network.inputs, config=config.model_copy(update={"model": model})), place)

    if name != "full-float32":
        return Variant(name, make)
    if network.problem.device.type != "cuda":
        return None
    around: Callable[[], AbstractContextManager[object]] = lambda: torch.backends.cudnn.flags(enabled=True, allow_tf32=False)  # noqa: E731
    return Variant(name, make, around)


def subject_of(network: "Network") -> "Subject":
    """Return what variants of a network are measured with: its noise levels, its first member."""
    from parampi.bench.variants import Subject, spread
    from parampi.ensemble import sample
    from parampi.run.hooks import network_condition
    from parampi.run.inputs import sampling_options
    from parampi.solvers import Serial

    inputs, member = network.inputs, network.inputs.members[0]
    condition = network_condition(inputs, network.source, member)

    def draw(denoiser: "Denoiser", **others: object) -> "Ensemble":
        options: dict[str, Any] = {**sampling_options(inputs, denoiser), "prepare": None, "finish": None} | others
        conditions = None if condition is None else lambda numbers: condition
        return sample(members=[member], seed=inputs.config.sampling.seed, condition=conditions, probe=False, **options)

    def serial(denoiser: "Denoiser") -> "Tensor":
        drawn = draw(denoiser, solver=Serial(), window=None, network_batch=1).fields
        assert drawn is not None
        return drawn[0]

    levels = spread(inputs.equations.sigmas[:-1][inputs.equations.evaluated].tolist())
    rounds: Callable[[Denoiser], int] = lambda denoiser: draw(denoiser).report.rounds  # noqa: E731
    return Subject(inputs.config.model.shape, levels, network.condition(), serial, rounds)
