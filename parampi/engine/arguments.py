"""The arguments of `parampi.sample` and `parampi.rollout`, checked."""

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from parampi.diffusion.channel_scales import SigmaData, as_scale
from parampi.engine.delivery import MemberSink
from parampi.engine.signatures import check_signatures
from parampi.errors import ConfigError
from parampi.parallel import MODES
from parampi.solvers import Solver, check_solver_type

MAX_MEMBERS = 2**32
PLACES = ("root", "groups")
"""Where members are kept: `keep_on`."""
DTYPES = (torch.float64, torch.float32)


def check_sink(keep: MemberSink | None, keep_on: str) -> None:
    """Raise ConfigError where it is said where to keep members, but not how, or where it is no place."""
    if keep_on not in PLACES:
        raise ConfigError(f"keep_on = {keep_on!r} is not one of {', '.join(map(repr, PLACES))}")
    if keep_on == "groups" and keep is None:
        raise ConfigError("keep_on = 'groups' says where members are kept, but there is no keep; give one")


def member_numbers(members: int | Iterable[int]) -> list[int]:
    """Return the numbers of so many members, or these numbers. Raises ConfigError unless they can be drawn."""
    if isinstance(members, int | np.integer) and not isinstance(members, bool):
        members = int(members)
        if not 1 <= members <= MAX_MEMBERS:
            raise ConfigError(
                f"members = {members}; between 1 and {MAX_MEMBERS} members can be drawn (they are numbered by 32 bits)"
            )
        return list(range(members))
    try:
        numbers = [whole(member) for member in list(members)]  # type: ignore[arg-type]
    except TypeError:
        raise ConfigError(f"members = {members!r}; give how many, or a list of member numbers, as whole numbers") from None
    if not numbers or len(set(numbers)) < len(numbers) or min(numbers) < 0 or max(numbers) >= MAX_MEMBERS:
        raise ConfigError(f"members = {numbers}; give different numbers from 0 to {MAX_MEMBERS - 1}, at least one")
    return numbers


def whole(value: Any) -> int:
    """Return a whole number, of Python, NumPy or torch. Raises TypeError for anything else, True and 2.0 included."""
    if isinstance(value, bool | np.bool_) or (isinstance(value, Tensor) and value.dtype == torch.bool):
        raise TypeError(f"{value} is no whole number")
    return operator.index(value)


def real(value: Any) -> float:
    """Return a real number, of Python, NumPy or torch. Raises TypeError for anything else, texts included."""
    if isinstance(value, bool | np.bool_ | str | bytes):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def check_counts(**counts: int | None) -> None:
    """Raise ConfigError for a count that is no whole number; None leaves it open."""
    for name, count in counts.items():
        try:
            whole(0 if count is None else count)
        except TypeError:
            raise ConfigError(f"{name} = {count!r} is no whole number; give one, or leave it out") from None


def check_overlap(overlap: Any, rolled_out: Solver | None = None) -> None:
    """Raise ConfigError unless it is said whether rounds overlap, and they can; `rolled_out`: the solver of a roll-out."""
    if not isinstance(overlap, bool):
        raise ConfigError(f"overlap = {overlap!r}; give True or False")
    if overlap and getattr(rolled_out, "wavefront", False):
        raise ConfigError(
            f"overlap = True, and {type(rolled_out).__name__} takes all members of a roll-out to the next lead time at once; "
            "leave overlap out, or take a solver that sweeps lead times together, such as parampi.solvers.Picard()"
        )


def check_kinds(denoiser: Any, solver: Any, keep_on: str, **functions: Any) -> None:
    """Raise ConfigError for a denoiser, a solver or a function of another kind, or that takes other arguments; None leaves
    solver and functions out."""
    check_sink(functions["keep"], keep_on)
    if isinstance(denoiser, type) or not callable(denoiser):
        shown = f"{denoiser.__name__} is a class" if isinstance(denoiser, type) else f"{denoiser!r} cannot be called"
        raise ConfigError(f"denoiser = {shown}; give a function D(x, sigma), such as a wrapper of parampi.denoisers")
    check_right_hand_side(denoiser)
    if solver is not None:
        check_solver_type(solver)
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise ConfigError(f"{name} = {function!r} cannot be called; give a function, or leave it out")
    check_signatures(denoiser, functions)


def check_right_hand_side(denoiser: Any) -> None:
    """Raise ConfigError for what physicsnemo calls a denoiser, by its origin."""
    module, name = (str(getattr(denoiser, key, "")) for key in ("__module__", "__qualname__"))
    if module.partition(".")[0] == "physicsnemo" and ".get_denoiser." in name:
        raise ConfigError(
            f"denoiser = {name} of {module} is the right-hand side of an equation, which physicsnemo calls a denoiser; give "
            "the predictor that get_denoiser was given: parampi.denoisers.PreconditionedDenoiser(model) for one of x0, "
            "ScoreDenoiser(model, ...) for a score"
        )


def check(
    tol: float,
    mode: str,
    seed: int,
    shape: Sequence[int],
    *,
    batch: int | None,
    sigma_data: SigmaData | None,
    dtype: torch.dtype,
) -> None:
    """Raise ConfigError for an argument of `sample` that makes no sense."""
    check_counts(batch=batch)
    if not is_positive(tol):
        raise ConfigError(
            f"tol = {tol!r}; the relative error must be positive and finite, 1e-3 is usual (Serial gives the exact result)"
        )
    if mode not in MODES:
        raise ConfigError(f"mode = {mode!r} is not one of {', '.join(map(repr, MODES))}")
    if not is_whole(seed) or not 0 <= seed < 2**64:
        raise ConfigError(f"seed = {seed} is not between 0 and 2^64 - 1; give a whole number")
    if not isinstance(shape, Sequence) or not shape or not all(is_whole(n) and n >= 1 for n in shape):
        raise ConfigError(f"shape = {shape!r}; give the shape of one member's field, such as (channels, y, x)")
    if batch is not None and batch < 1:
        raise ConfigError(f"batch = {batch}; sweep at least one member at a time, or leave it out")
    if sigma_data is not None:
        as_scale(sigma_data)
    if dtype not in DTYPES:
        raise ConfigError(f"dtype = {dtype!r} is not one of {', '.join(map(str, DTYPES))}; the network keeps its own")


def is_whole(value: Any) -> bool:
    try:
        whole(value)
    except TypeError:
        return False
    return True


def is_positive(value: Any) -> bool:
    """Return whether a value is a number above 0, and finite."""
    try:
        return 0 < real(value) < float("inf")
    except (TypeError, ValueError, RuntimeError):
        return False
