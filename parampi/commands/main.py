"""The verbs of the command line, and its exit codes. A verb's file is loaded when the verb is called for."""

import sys
import time
from importlib import import_module

import click

from parampi import __version__
from parampi.errors import AfterwardsError, InterruptionError, LaunchError, NonFiniteError, UserError
from parampi.run.launched_rank import launched_rank

USER_ERROR, NETWORK_ERROR, AFTERWARDS, INTERRUPTED = 2, 3, 4, 75
"""Exit codes; 75 is EX_TEMPFAIL of sysexits.h: come again."""
CODES = {
    UserError: USER_ERROR,
    NonFiniteError: NETWORK_ERROR,
    AfterwardsError: AFTERWARDS,
    InterruptionError: INTERRUPTED,
}
EXPECTED = (UserError, NonFiniteError, AfterwardsError, InterruptionError, click.ClickException, click.Abort)
"""Errors that end a command with one line."""
CANCELLED = 130
LAST_WORD = 1.0
"""Seconds that other ranks leave rank 0 to say what is wrong: launchers kill all ranks when the first one ends."""
VERBS = (
    "bench",
    "card",
    "check",
    "info",
    "init",
    "merge",
    "plan",
    "rerun",
    "resume",
    "run",
    "schema",
    "score",
    "stats",
    "verify",
)


class Verbs(click.Group):
    """A group whose verbs are functions of the same name, each in a file of its own."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command: click.Command = getattr(import_module(f"parampi.commands.{name}"), name)
        return command


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="parampi")
def commands() -> None:
    """Ensembles from diffusion models of physics fields, parallel in time."""


def exit_code(error: Exception) -> int:
    """Say in one line, on rank 0, what ended a command, and return its exit code."""
    rank = launched_rank()
    if isinstance(error, click.Abort):
        return CANCELLED
    if isinstance(error, click.ClickException):
        if rank == 0:
            error.show()
        return error.exit_code
    if rank == 0:
        print(f"parampi: {error}", file=sys.stderr, flush=True)
    else:
        # ranks that do not see one another start seconds apart
        time.sleep(10 * LAST_WORD if isinstance(error, LaunchError) else LAST_WORD)
    return next(code for kind, code in CODES.items() if isinstance(error, kind))
