"""The command line: `recollect --help`, or `python -m repositories.cli --help`."""

from __future__ import annotations


def main() -> None:
    """Run the command line on the program's arguments, and end with its exit code."""
    from repositories.cli.app import app

    app()
