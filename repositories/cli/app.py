"""The program `recollect`: its commands, and what they have in common."""

from __future__ import annotations

import logging
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from repositories.cli import backup, database, doctor
from repositories.cli.demo import command as demo
from repositories.cli.evaluation import command as evaluate
from repositories.cli.exit_codes import Commands

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The memory of a code-review agent, on PostgreSQL and pgvector.",
)
database.app.command()(backup.dump)
database.app.command()(backup.restore)
app.add_typer(database.app, name="db")
app.command()(doctor.doctor)
app.command()(demo.demo)
app.command()(demo.search)
app.command("eval")(evaluate.evaluate)


def own_version() -> str:
    """Return the version of this distribution; `unknown` where it runs without being installed."""
    try:
        return version("recollect")
    except PackageNotFoundError:
        return "unknown"


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"recollect {own_version()}")
        raise typer.Exit


@app.callback()
def recollect(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and log messages.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Set up what all commands share."""
    del version  # has been shown
    if debug:
        logging.basicConfig(level=logging.INFO)
    else:
        # A failure ends in a sentence of its own; without a handler Python would print warnings
        # beside it.
        logging.getLogger("recollect").addHandler(logging.NullHandler())
