"""A hook between the rounds of a group, as `sample(safeguard=...)` takes it."""

from collections.abc import Sequence
from typing import Protocol

from parampi.engine.base import Engine


class RoundHook(Protocol):
    """Keeps the rounds of a group and stops it; see `parampi.run.checkpoint.hook`. Both calls are collective over the group."""

    def restore(self, engine: Engine, members: Sequence[int]) -> None:
        """Bring an engine that has not begun to where its members were left."""
        ...

    def after(self, engine: Engine) -> bool:
        """Return, after each round, whether to stop."""
        ...
