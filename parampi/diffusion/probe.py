"""A probe of a denoiser: what it returns for a few fields shows, before it is called for many, whether it is one.

Certain faults are refused by what they are: another shape or type, NaN, writing into the arguments, a field that depends on
the others of its batch. Whether it denoises is judged at the ends of the noise levels, with wide margins: D(x, smallest) is
near x, and D(x, largest) does not follow x. A field of the data shows between them whether it takes noise away or adds some.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from parampi.diffusion.asking import SWITCH, Asking
from parampi.diffusion.batched import BatchedDenoiser
from parampi.diffusion.channel_scales import SigmaData, along
from parampi.diffusion.denoisers import ConditionalDenoiser, Denoiser, scale_of
from parampi.errors import ConfigError, UserError

ROUNDING = {torch.float64: 1e-6, torch.float32: 3e-2, torch.float16: 0.1, torch.bfloat16: 0.1}
"""Relative difference of a field computed alone and in a batch that kernels of a network in this type may make."""
REPEATED = {torch.float64: 1e-8, torch.float32: 1e-3, torch.float16: 3e-2, torch.bfloat16: 3e-2}
"""The same of a field computed twice in batches of one size: the same kernels, which may add in another order."""
FOLLOWS, KNOWN_FOLLOWS = 0.9, 0.1
"""Largest share of a change of x that D keeps at the largest noise level, 0.5 for data as large as that noise; and where the
size of the data is given."""
LARGE = 10.0
"""Times the standard deviation of the data from which a noise level counts as large."""
NOISES, APART, KNOWN_APART = 4.0, 0.7, 0.4
"""How far D(x, smallest) may be from x: in units of the noise; in units of x, and of x that is data and noise."""
NEARBY, LEAST_NOISE = 0.3, 0.15
"""Noise level, in units of a field of the data, at which D of this field and noise is compared with the field; and the least,
as good networks too may be as far away as little noise."""
WORSE, CHANCE = 1.25, 4.0
"""Times the noise that D of a field and noise may be away from the field; and standard deviations of so many points' noise."""
COLLAPSED = 0.3
"""Part of x below which D has left next to nothing of it."""


def check_denoiser(
    denoiser: Denoiser | ConditionalDenoiser,
    shape: Sequence[int],
    sigmas: Tensor | Sequence[float],
    *,
    sigma_data: SigmaData | None = None,
    dtype: torch.dtype = torch.float64,
    network_batch: int | None = None,
    mode: Literal["fast", "bitwise"] = "fast",
    condition: Tensor | None = None,
    example: Tensor | None = None,
) -> int:
    """Return how many evaluations it took, at most twelve, to find nothing wrong with a denoiser. The arguments are those of
    `sample`, but for `condition`, that of one member, and `example`, a field of the data, with which other clocks show.

    It is called for a field at the largest noise level, one in the middle and one at the smallest, alone and together, and with
    NaN in one of three. Raises ConfigError, with what it was called with and what came back, where
    * it fails, returns another shape, no real numbers, or NaN for finite fields,
    * it writes into its arguments,
    * a field is another one in a batch than alone, or the second time, or NaN comes from one field into another,
    * D(x, smallest) is far from x, as noise, a score or a velocity are,
    * D(x, largest) follows x, as a network does that reads another clock,
    * D of `example` with noise is farther from it than the noise is, as with a wrong sign, axis, channel or clock. A posterior
      knows better than an example: give none for it.
    """
    levels = torch.as_tensor(sigmas, dtype=torch.float64).cpu()
    network = BatchedDenoiser(denoiser, network_batch, padded=mode == "bitwise")
    conditions = None if condition is None else condition[None].to(network.device)
    try:
        return probe(
            network,
            levels,
            shape=shape,
            sigma_data=scale_of(denoiser, sigma_data),
            dtype=dtype,
            condition=conditions,
            example=None if example is None else example[None].to(network.device, dtype),
            known=sigma_data is not None,
        )
    except UserError:
        raise
    except Exception as error:
        raise failure(error) from error


def probe(
    network: BatchedDenoiser,
    levels: Tensor,
    *,
    shape: Sequence[int],
    sigma_data: float,
    dtype: torch.dtype,
    condition: Tensor | None = None,
    example: Tensor | None = None,
    known: bool = False,
) -> int:
    """Return how many evaluations a probe took of a network as the engine calls it, at noise levels of which those above 0
    count; `condition` (1, ...) is that of one member, `example` (1, *shape) a field of the data, and `known` says that the
    standard deviation of the data is no guess. Raises ConfigError as `check_denoiser` does."""
    levels = levels[levels > 0]
    if len(levels) == 0:
        return 0
    size = sigma_data if example is None else NEARBY * rms(example)
    middle = levels[(levels.log() - math.log(size)).abs().argmin()]
    sigmas = [float(levels.max()), float(middle), float(levels.min())]
    asking = Asking(network, condition)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(3, *shape, generator=generator, dtype=torch.float64).to(network.device, dtype)
    starts = noise[:2] * (sigmas[0] ** 2 + along(sigma_data, noise) ** 2) ** 0.5
    states, denoised = descend(asking, starts[:1], sigmas, noise, example)
    if example is None and sigmas[0] > sigma_data:
        check_walk(asking, states[2], denoised[2], sigmas, noise)
    if example is not None:
        check_known(asking, states[1:], denoised[1:], sigmas[1:])
        check_better(asking, example, states[1], denoised[1], sigmas[1])
    order = (0, 2, 1)  # the middle is last: there it shows most whether the denoiser does the same again
    rows, levels_of_rows = torch.cat([states[k] for k in order]), [sigmas[k] for k in order]
    batch = check_rows(asking, rows, torch.cat([denoised[k] for k in order]), levels_of_rows)
    spread = torch.cat([starts[1:], torch.full_like(starts[1:], torch.nan), rows[2:]])
    beside = check_spread(asking, spread, levels_of_rows, batch[2])
    if beside is not None and sigmas[0] > LARGE * sigma_data:
        most = KNOWN_FOLLOWS if known else FOLLOWS
        check_large(asking, starts[:1] - starts[1:], denoised[0] - beside, sigmas[0], sigma_data=sigma_data, most=most)
    return asking.evaluations


def descend(
    asking: Asking, start: Tensor, sigmas: Sequence[float], noise: Tensor, example: Tensor | None
) -> tuple[list[Tensor], list[Tensor]]:
    """Return states (1, *shape) at falling noise levels, and D of each: the start, then the example and noise.

    Without an example they are a walk by the ODE, in steps that are far too long: states such as the denoiser itself makes, of
    its data's size."""
    states, denoised = [start], [asking(start, sigmas[:1])]
    for k in (1, 2):
        if example is None:
            states.append(denoised[-1] + sigmas[k] / sigmas[k - 1] * (states[-1] - denoised[-1]))
        else:
            states.append(example + sigmas[k] * noise[k : k + 1])
        denoised.append(asking(states[-1], sigmas[k : k + 1]))
    return states, denoised


def check_known(asking: Asking, states: Sequence[Tensor], denoised: Sequence[Tensor], sigmas: Sequence[float]) -> None:
    """Raise ConfigError where D(x, sigma) is far from data with little noise."""
    for x, clean, sigma in zip(states, denoised, sigmas, strict=True):
        if rms(clean - x) > max(NOISES * sigma, KNOWN_APART * rms(x)):
            raise refusal(asking, x, clean, sigma)


def check_better(asking: Asking, example: Tensor, x: Tensor, denoised: Tensor, sigma: float) -> None:
    """Raise ConfigError where D of a field of the data and noise is farther from the field than the noise is."""
    most = WORSE * (1 + CHANCE / math.sqrt(2 * x.numel())) * max(sigma, rms(x - example))
    if sigma >= LEAST_NOISE * rms(example) and (error := rms(denoised - example)) > most:
        raise ConfigError(
            f"the denoiser is none: it adds noise. D(x, {sigma:.3g}) of a field of the data and noise of size {sigma:.3g} "
            f"(root mean square) is {error:.3g} away from the field. Are sign, clock, channels, axes and normalisation those "
            f"of the training? {asking.called}; {SWITCH}"
        )


def check_walk(asking: Asking, x: Tensor, denoised: Tensor, sigmas: Sequence[float], noise: Tensor) -> None:
    """Raise ConfigError where D(x, sigma) is far from x at the smallest noise level, for a state of a walk.

    Data that lie apart, such as 0 and 1, may be far from a state between them. Then D of what it returned is near. Where next
    to nothing came back, D of fields of all sizes is next to nothing too, unless there are data as large."""
    sigma = sigmas[-1]
    if near(x, denoised, sigma):
        return
    error = refusal(asking, x, denoised, sigma)
    if rms(denoised) > COLLAPSED * rms(x):
        again = denoised + sigma * noise[2:]
        lasting = near(again, asking(again, [sigma]), sigma)
    else:
        sizes = torch.logspace(0, math.log10(max(sigmas[0], 10.0)), 3).to(noise)
        again = torch.cat([size * one for size, one in zip(sizes, noise[:, None], strict=True)])
        pairs = zip(asking(again, [sigma] * 3), again, strict=True)
        lasting = any(rms(clean) > COLLAPSED * rms(field) for clean, field in pairs)
    if not lasting:
        raise error


def near(x: Tensor, denoised: Tensor, sigma: float) -> bool:
    return rms(denoised - x) <= max(NOISES * sigma, APART * rms(x))


def refusal(asking: Asking, x: Tensor, denoised: Tensor, sigma: float) -> ConfigError:
    return ConfigError(
        f"the denoiser is none: D(x, {sigma:.3g}) must be near x, and for x of size {rms(x):.3g} (root mean square) it "
        f"returned a field of size {rms(denoised):.3g}, {rms(denoised - x):.3g} away. Noise, scores and velocities need a "
        f"wrapper of parampi.denoisers, and a network the clock it was trained with; {asking.called}; {SWITCH}"
    )


def check_large(asking: Asking, change: Tensor, response: Tensor, sigma: float, *, sigma_data: float, most: float) -> None:
    """Raise ConfigError where D follows x at the largest noise level; both are differences of two states."""
    share = float((change * response).sum() / (change * change).sum())
    if share > most:
        raise ConfigError(
            f"the denoiser is none: D(x, {sigma:.4g}) must be near the mean of the data, whatever the noise, and it keeps "
            f"{share:.0%} of a change of x; data of standard deviation {sigma_data:.3g} (sigma_data) would keep "
            f"{sigma_data**2 / (sigma_data**2 + sigma**2):.1%}. Does the network read another clock, or is it untrained? "
            f"{asking.called}; {SWITCH}"
        )


def check_rows(asking: Asking, x: Tensor, alone: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Raise ConfigError where fields are other ones in a batch than each alone, by more than rounding; return the batch's."""
    try:
        batch = asking(x, sigmas)
    except UserError:
        raise
    except Exception as error:
        where = f" in a batch of {len(x)}, and not for one field; give it one field at a time (network_batch=1)"
        raise failure(error, where) from error
    for row in range(len(x)):
        difference = relative(x[row], batch[row], alone[row])
        if difference > ROUNDING.get(asking.dtype, ROUNDING[torch.float32]):
            raise ConfigError(
                f"the denoiser returns another field in a batch of {len(x)} than alone, by {difference:.1e} of its size at "
                f"sigma {sigmas[row]:.3g}; each field must depend on itself alone, so use no batch normalisation or dropout in "
                f"training mode (.eval()), or give it one field at a time (network_batch=1); {asking.called}; {SWITCH}"
            )
    return batch


def check_spread(asking: Asking, x: Tensor, sigmas: Sequence[float], before: Tensor) -> Tensor | None:
    """Raise ConfigError where NaN in the second of three fields comes into the others, or D of the third is not as `before`;
    return D of the first, or None where the denoiser does not take NaN."""
    try:
        denoised = asking(x, sigmas)
    except Exception:  # there are networks that refuse NaN
        return None
    if not bool(denoised[::2].isfinite().all()):
        raise ConfigError(
            f"NaN in one of three fields comes into another one: the denoiser mixes the fields of a batch, and each must "
            f"depend on itself alone; give it one field at a time (network_batch=1), or mend it; {asking.called}; {SWITCH}"
        )
    difference = relative(x[2], denoised[2], before)
    if difference > REPEATED.get(asking.dtype, REPEATED[torch.float32]):
        raise ConfigError(
            f"the denoiser returns another field when it is called again, by {difference:.1e} of its size at sigma "
            f"{sigmas[2]:.3g}; it must keep nothing from call to call and draw no numbers, so use no dropout (.eval(), and "
            f"training=self.training for torch.nn.functional.dropout); {asking.called}; {SWITCH}"
        )
    return denoised[:1]


def failure(error: Exception, where: str = "") -> ConfigError:
    """Return the refusal of a denoiser that ended with an exception."""
    reason, called = " ".join(str(error).split()), "; ".join(getattr(error, "__notes__", []))
    return ConfigError(f"the denoiser fails with {type(error).__name__}: {reason}{where}; {called}")


def relative(x: Tensor, one: Tensor, other: Tensor) -> float:
    """Return the difference of two fields D, in units of them or of x."""
    return rms(one - other) / max(rms(x), rms(other), 1e-300)


def rms(x: Tensor) -> float:
    """Return the root mean square."""
    return float(x.double().square().mean().sqrt())
