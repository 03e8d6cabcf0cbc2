"""The command line: `recollect --help`, or `python -m repositories.cli --help`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line on the program's arguments, and end with its exit code."""
    try:
        # Here, because it takes a second in which somebody may change their mind.
        from repositories.cli.app import app
    except KeyboardInterrupt:
        sys.exit(130)
    app()
