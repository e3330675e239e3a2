"""A hook between the rounds of a group, as `sample(safeguard=...)` takes it."""

from collections.abc import Sequence
from typing import Protocol

from parampi.engine.base import Engine


class RoundHook(Protocol):
    """Hook that keeps a group's rounds and may stop it, as `parampi.run.checkpoint.hook` does. Both calls are collective."""

    def restore(self, engine: Engine, members: Sequence[int]) -> None:
        """Bring an engine that has not begun to where its members were left."""
        ...

    def after(self, engine: Engine) -> bool:
        """Return, after each round, whether to stop."""
        ...
