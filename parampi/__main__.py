"""The command line: `parampi`, or `python -m parampi`. Every verb works alone and under mpiexec or srun."""

import sys
from collections.abc import Sequence

from parampi.run.patient_stream import PatientStream
from parampi.run.stop_request import StopRequest

STOPPABLE = ("run", "resume")
"""Verbs that a signal stops in good order."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says, or the `arguments` in its place, and return the exit code.

    A command line hears signals before anything that takes seconds to load is loaded, until its process ends.
    """
    stop: StopRequest | None = None
    if arguments is None:
        arguments = sys.argv[1:]
        sys.stdout, sys.stderr = PatientStream(sys.stdout), PatientStream(sys.stderr)
        if arguments and arguments[0] in STOPPABLE:
            stop = StopRequest()
            stop.listen()
    from parampi.commands.main import EXPECTED, commands, exit_code

    try:
        return commands.main(list(arguments), standalone_mode=False, obj=stop) or 0
    except EXPECTED as error:
        return exit_code(error)
    finally:
        if stop:
            stop.deafen()


if __name__ == "__main__":
    sys.exit(main())
