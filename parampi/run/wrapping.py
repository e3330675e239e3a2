"""Denoisers of a configuration that wrap the network's: patches, and fields that are cut off."""

from parampi.diffusion.clipping import Clipped, Thresholded
from parampi.diffusion.denoisers import Denoiser
from parampi.diffusion.patches import Patched
from parampi.errors import ConfigError
from parampi.run.config.sections import Model


def wrapped(denoiser: Denoiser, model: Model) -> Denoiser:
    """Return the denoiser of whole fields as `model.patches`, `model.clip` and `model.threshold` have it. Raises ConfigError
    for patches that do not fit the fields."""
    if (patches := model.patches) is not None:
        try:
            made = Patched(denoiser, **dict(patches))
            made.require(model.shape)
        except ConfigError as error:
            raise ConfigError(f"model.patches: {error}") from None
        denoiser = made
    if model.clip is not None:
        denoiser = Clipped(denoiser, model.clip)
    if (threshold := model.threshold) is not None:
        denoiser = Thresholded(denoiser, threshold.quantile, threshold.largest)
    return denoiser
