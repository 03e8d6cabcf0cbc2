"""Results go to standard output, everything else to standard error."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import typer

from domain.errors import ConfigurationError
from repositories.cli.sanitizing import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.table import Table

WIDTH_WITHOUT_TERMINAL: Final = 10_000
"""Wider than any row, so that no row wraps in a file or a pipe."""


def results() -> Console:
    """Return the console for results; it writes plain text unless it is a terminal."""
    from rich.console import Console

    console = Console(file=sys.stdout)
    if console.is_terminal:
        return console
    return Console(file=sys.stdout, width=WIDTH_WITHOUT_TERMINAL)


def show(table: Table, console: Console | None = None) -> None:
    """Print a table; outside of a terminal it is as wide as its rows and does not wrap."""
    console = console or results()
    title, caption = table.title, table.caption
    if not console.is_terminal:
        table.expand, table.title, table.caption = False, None, None
        console.print(title, soft_wrap=True)
    console.print(table)
    if caption and not console.is_terminal:
        console.print(caption, markup=False, highlight=False, soft_wrap=True)


def result(sentence: str, figures: dict[str, Any], *, as_json: bool) -> None:
    """Print a result: as a sentence, or as one JSON object."""
    typer.echo(json.dumps(figures, indent=2, default=str) if as_json else printable(sentence))


def note(sentence: str) -> None:
    """Print a message that is not a result."""
    typer.echo(printable(sentence), err=True)


@contextmanager
def log_messages(logger: str) -> Iterator[None]:
    """Print the messages of a logger as notes, from the level INFO on."""
    source = logging.getLogger(logger)
    handler = _Notes(logging.INFO)
    level = source.level
    source.addHandler(handler)
    source.setLevel(logging.INFO)
    try:
        yield
    finally:
        source.removeHandler(handler)
        source.setLevel(level)


class _Notes(logging.Handler):
    """Prints messages to standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message of the record."""
        note(record.getMessage())


def confirm_deletion(what: str, *, yes: bool) -> None:
    """Ask for confirmation before `what` is deleted, unless the user passed `--yes`.

    Raises:
        ConfigurationError: The command has no terminal for the question.
        typer.Abort: The user declined.
    """
    if not yes:
        _require_answer(f"this deletes {what}", f"Delete {what}?")


def confirm(consequence: str, *, yes: bool) -> None:
    """Ask for confirmation before something happens, unless the user passed `--yes`.

    Raises:
        ConfigurationError: The command has no terminal for the question.
        typer.Abort: The user declined.
    """
    if not yes:
        _require_answer(consequence, f"{consequence[0].upper()}{consequence[1:]}. Continue?")


def _require_answer(consequence: str, question: str) -> None:
    # None if standard input is closed, as in some services.
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigurationError(f"{consequence}; pass --yes to confirm")
    typer.confirm(question, abort=True, err=True)
