"""The registry of schedules: functions that return noise levels, by the names that configurations use."""

from torch import Tensor

from parampi.diffusion import sigmas
from parampi.diffusion.training_tables import vp_table
from parampi.registry import Registry


def explicit(values: list[float]) -> Tensor:
    """Return the noise levels that a configuration lists; see `parampi.sigmas.explicit`."""
    return sigmas.explicit(values)


SCHEDULES = Registry(
    "schedule",
    karras=sigmas.karras,
    log_uniform=sigmas.log_uniform,
    vp_linear=sigmas.vp_linear,
    vp_scaled_linear=sigmas.vp_scaled_linear,
    vp_cosine=sigmas.vp_cosine,
    vp_table=vp_table,
    flow=sigmas.flow,
    piadm=sigmas.piadm,
    explicit=explicit,
)
register = SCHEDULES.register
lookup = SCHEDULES.lookup
