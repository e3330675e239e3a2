"""Engines: how the points of a group's members are advanced, round by round, until they agree."""

from parampi.engine.base import Engine
from parampi.engine.choice import engine_for
from parampi.engine.history import History, Round, Watch
from parampi.engine.hook import RoundHook
from parampi.engine.options import EngineOptions
from parampi.engine.problem import SamplingProblem

__all__ = [
    "Engine",
    "EngineOptions",
    "History",
    "Round",
    "RoundHook",
    "SamplingProblem",
    "Watch",
    "engine_for",
]  # fmt: skip
