"""The program `recollect`: its commands, and their common options.

The modules of the commands import what a command needs when it runs, so that `--help` and shell
completion answer at once.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from domain.errors import RecollectError
from repositories.cli import (
    backup,
    bulk_changes,
    distribution,
    doctor,
    embeddings,
    maintenance,
    roles,
    schema,
    server,
    tenants,
)
from repositories.cli.demo import command as demo
from repositories.cli.evaluation import command as evaluation
from repositories.cli.exit_codes import Commands

app = Commands(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"max_content_width": 100},
    help="The memory of a code-review agent, on PostgreSQL and pgvector.",
)
database = Commands(
    no_args_is_help=True, help="Start, stop, examine, migrate, back up and restore a database."
)
row_level_security = Commands(no_args_is_help=True, help="Enable or disable row-level security.")
for _command in (
    *(server.up, server.down, server.url, schema.status, schema.migrate, schema.rollback),
    *(schema.check, schema.reset, schema.revision, maintenance.maintain, roles.roles),
    distribution.distribute,
    *(backup.dump, backup.restore, embeddings.embeddings),
    *(bulk_changes.mark_stale, bulk_changes.purge, bulk_changes.delete_review),
):
    # With `-1` as an argument, `rollback` goes back by one revision.
    _settings = {"ignore_unknown_options": True} if _command is schema.rollback else None
    database.command(context_settings=_settings)(_command)
row_level_security.command()(maintenance.enable)
row_level_security.command()(maintenance.disable)
database.add_typer(row_level_security, name="rls")
database_tenants = Commands(help="List the tenants, and give a large one an index of its own.")
database_tenants.callback(invoke_without_command=True)(tenants.tenants)
database_tenants.command()(tenants.isolate)
database_tenants.command()(tenants.release)
database.add_typer(database_tenants, name="tenants")
app.add_typer(database, name="db")
app.command()(doctor.doctor)
app.command()(demo.demo)
app.command()(demo.search)
measured = Commands(
    cls=evaluation.DefaultCommand,
    no_args_is_help=True,
    help="Measure the quality and latency of search: `recollect eval DIR`.",
)
measured.command(evaluation.DEFAULT)(evaluation.evaluate)
measured.command("from-history")(evaluation.from_history)
app.add_typer(measured, name="eval")


def own_version() -> str:
    """Return the version of this distribution, or `unknown` if it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("recollect")
    except PackageNotFoundError:
        return "unknown"


def _show_version(show: bool) -> None:
    if show:
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
    entities: Annotated[
        str,
        typer.Option(
            "--entities",
            envvar="RECOLLECT_ENTITIES",
            help="Modules that define entities of your own, separated by commas.",
        ),
    ] = "",
) -> None:
    """Configure logging for all commands, and import the entities of the application."""
    del version  # _show_version has ended the program
    if debug:
        logging.basicConfig(level=logging.INFO)
    else:
        # Without a handler, Python would print warnings beside a command's own sentence.
        logging.getLogger("recollect").addHandler(logging.NullHandler())
    _import_entities([name.strip() for name in entities.split(",") if name.strip()])


def _import_entities(modules: Sequence[str]) -> None:
    if modules:
        # As with `python -m`, the modules of the current folder can be imported.
        sys.path.insert(0, str(Path.cwd()))
    for module in modules:
        try:
            import_module(module)
        except ImportError as error:
            raise _not_imported(f"the module {module} cannot be imported: {error}") from None
        except RecollectError:
            raise
        except Exception as error:  # noqa: BLE001 -- the module can raise anything
            # Its text can contain a secret of the application.
            raise _not_imported(
                f"the module {module} raises {type(error).__name__} when it is imported:"
                f" `python -c 'import {module}'` shows where"
            ) from None


def _not_imported(problem: str) -> typer.BadParameter:
    return typer.BadParameter(problem, param_hint="--entities or RECOLLECT_ENTITIES")
