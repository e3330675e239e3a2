"""The registry of schedules: functions that return noise levels, by the names that configurations use."""

from parampi.diffusion import sigmas
from parampi.registry import Registry

SCHEDULES = Registry(
    "schedule",
    karras=sigmas.karras,
    log_uniform=sigmas.log_uniform,
    vp_linear=sigmas.vp_linear,
    vp_cosine=sigmas.vp_cosine,
    piadm=sigmas.piadm,
    explicit=sigmas.explicit,
)
register = SCHEDULES.register
lookup = SCHEDULES.lookup
