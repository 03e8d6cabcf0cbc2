"""The command line: `recollect --help`, or `python -m repositories.cli --help`."""

from __future__ import annotations

import sys
from typing import Final

_TOOLKIT: Final = ("rich", "typer")


def main() -> None:
    """Run the command line on the program's arguments, and end with its exit code.

    Without the extra `cli`, it prints which extra to install and ends with 1.
    """
    try:
        # Here, because it takes a second in which somebody may change their mind.
        from repositories.cli.app import app
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        if error.name not in _TOOLKIT:
            raise
        sys.exit("the command line needs its extra: pip install 'recollect[cli]'")
    app()
