"""The configuration of a run: one strict YAML file and `key=value` overrides, checked as a whole before any work."""

from parampi.run.config.choices import build, registered
from parampi.run.config.reading import agreed, apply, load, resolved
from parampi.run.config.sections import RunConfig

__all__ = ["RunConfig", "agreed", "apply", "build", "load", "registered", "resolved"]
