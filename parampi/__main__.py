"""`python -m parampi`, the same as the console script."""

import sys

from parampi.run import stop_request

GO_ON = ("run", "resume")
"""Commands that a signal stops in good order."""


def main() -> None:
    """Hear signals before anything that takes seconds to load is loaded, then do what the command line says."""
    if sys.argv[1:2] and sys.argv[1] in GO_ON:
        stop_request.early = stop_request.StopRequest()
        stop_request.early.listen()
    from parampi.commands.main import main as command_line

    command_line()


if __name__ == "__main__":
    main()
