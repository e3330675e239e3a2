"""The errors parampi raises on purpose. A user's mistake prints as one line; only a defect of ours shows a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class UserError(Exception):
    """Something the user can put right. The message names the value, what was expected and the remedy."""


class ConfigError(UserError):
    """A configuration, an argument or a combination of them that makes no sense."""


class DataError(UserError):
    """A file (weights, statistics, fields) that is missing, damaged or of another kind than expected."""


class OutputError(UserError):
    """An output that cannot be written, or that would overwrite something."""


class LaunchError(UserError):
    """Ranks that were started in a way that cannot work."""


class InterruptionError(Exception):
    """A run that was stopped in good order before its end. Members that were finished are kept in `ensemble`."""

    def __init__(self, message: str):
        self.ensemble: Any = None
        super().__init__(message)


class AfterwardsError(Exception):
    """A file beside the ensemble, its report or figure, that could not be made. The ensemble is complete and in its place."""


AT_A_START = (
    "; here it reads noise and the condition alone: look also at what condition, update and finish return, or at the forcing"
)


class NonFiniteError(Exception):
    """A NaN or Inf that the network returned. Members that were finished before are kept in `ensemble`."""

    def __init__(self, member: int, point: int, sigma: float, round: int, lead: int | None = None):
        self.member, self.point, self.sigma, self.round, self.lead = member, point, sigma, round, lead
        self.ensemble: Any = None
        place = f"point {point}" if lead is None else f"point {point} of lead time {lead + 1}"
        super().__init__(
            f"the network returned NaN or Inf for member {member} at {place} (sigma = {sigma:.6g}) in round {round}; "
            "check the weights, the normalisation of the data and whether the network was trained at this noise level"
            + (AT_A_START if lead and not point else "")
        )


@contextmanager
def blamed(name: str) -> Iterator[None]:
    """Raise ConfigError, which names what failed, for any other error: of a class or function of somebody else."""
    try:
        yield
    except (UserError, InterruptionError, AfterwardsError, NonFiniteError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{name} failed with {type(error).__name__}: {reason}") from error
