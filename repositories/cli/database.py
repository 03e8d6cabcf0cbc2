"""`recollect db …`: the database to hand, and its schema."""

from __future__ import annotations

import asyncio
import shlex
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain import ConfigurationError
from domain.values.timestamps import days_old
from repositories import migrations, operations
from repositories.cli import compose, roles
from repositories.cli import targets as places
from repositories.cli.output import note, results
from repositories.cli.status import health_at, status_figures
from repositories.cli.tables import figures_table
from repositories.cli.targets import DATA_DIR, DataDir, Started
from repositories.embedded import EmbeddedServer
from repositories.migrations.partitions import AHEAD
from repositories.operations.partitions import MOST_PARTITIONS
from repositories.postgres.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from repositories.operations import Maintenance

app = typer.Typer(
    no_args_is_help=True,
    help="Start and stop a database to develop with; look at, migrate, dump and restore one.",
)
app.command()(roles.roles)
rls = typer.Typer(no_args_is_help=True, help="Enable or disable row-level security.")
app.add_typer(rls, name="rls")

Embedded = Annotated[
    bool, typer.Option("--embedded", help="Use the embedded server even where Docker answers.")
]
Temporary = Annotated[
    bool,
    typer.Option("--embedded", help="Migrate an empty, temporary embedded server and check that."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Message = Annotated[str, typer.Option("--message", "-m", help="What the revision changes.")]
Ahead = Annotated[
    int,
    typer.Option(
        "--ahead", help="Months to make beside the present one.", min=0, max=MOST_PARTITIONS
    ),
]
KeepDays = Annotated[
    int | None,
    typer.Option("--keep-days", help="Drop months that ended so many days ago; without it, none."),
]
KeepOperationsDays = Annotated[
    int | None,
    typer.Option(
        "--keep-operations-days",
        help="Purge the ledger of what is so many days old; without it, of nothing.",
    ),
]
UpTo = Annotated[str, typer.Argument(help="Revision to reach.")]
DownTo = Annotated[
    str,
    typer.Argument(
        help="Revision to leave in place; -1 takes back the newest one, base all of them."
    ),
]


@app.command()
def up(data_dir: DataDir = DATA_DIR, embedded: Embedded = False) -> None:
    """Start PostgreSQL, in Docker where its engine answers and embedded where not, migrate it, and print its DATABASE_URL."""
    with _starting(data_dir, embedded=embedded) as place:
        revision = asyncio.run(_migrate(place.settings, "head"))
        note(f"{place.kind} runs, at revision {revision}")
        if (name := places.named_in_environment()) is not None:
            note(f"{name} is set, and other commands go where it points")
        typer.echo(f"DATABASE_URL={shlex.quote(place.url.get_secret_value())}")


@app.command()
def down(data_dir: DataDir = DATA_DIR) -> None:
    """Stop what `db up` started; the data stays."""
    stopped = []
    file = places.compose_file()
    if file is not None and compose.runs(file):
        compose.down(file)
        stopped.append(places.IN_DOCKER)
    for folder in (data_dir / places.POSTGRES, data_dir / places.DEMO):
        if (server := EmbeddedServer.find(folder)) is not None:
            server.stop()
            stopped.append(places.embedded_in(folder))
    note(f"stopped {' and '.join(stopped)}" if stopped else "nothing runs")


@app.command()
def url(data_dir: DataDir = DATA_DIR) -> None:
    """Print the URL of the database that `db up` started, with its password, and nothing else."""
    with places.started(data_dir) as place:
        if place is None:
            raise ConfigurationError("no database runs: start one with `recollect db up`")
        typer.echo(place.url.get_secret_value())


@app.command()
def status(data_dir: DataDir = DATA_DIR) -> None:
    """Show which database commands speak to, its versions and revision, and what is wrong with it."""
    with places.reach(data_dir) as place:
        health = asyncio.run(health_at(place.settings))
    results().print(figures_table("Database", status_figures(place, health)))
    for problem in health.problems:
        typer.echo(f"problem: {problem.what}; {problem.remedy}")
    if not health.healthy:
        raise typer.Exit(1)


@app.command()
def migrate(revision: UpTo = "head", data_dir: DataDir = DATA_DIR) -> None:
    """Bring the database to a revision, by default the newest."""
    with places.reach(data_dir) as place:
        typer.echo(f"{place.kind} is at revision {asyncio.run(_migrate(place.settings, revision))}")


@app.command(context_settings={"ignore_unknown_options": True})
def rollback(revision: DownTo = "-1", data_dir: DataDir = DATA_DIR) -> None:
    """Take back revisions, with their tables and rows."""
    with places.reach(data_dir) as place:
        left = asyncio.run(_rollback(place.settings, revision))
        typer.echo(f"{place.kind} is {f'at revision {left}' if left else 'empty'}")


@app.command()
def check(data_dir: DataDir = DATA_DIR, embedded: Temporary = False) -> None:
    """Tell in which ways the schema differs from the entities."""
    if embedded:
        with places.temporary() as settings:
            differences = asyncio.run(_check(settings, migrating=True))
    else:
        with places.reach(data_dir) as place:
            differences = asyncio.run(_check(place.settings, migrating=False))
    for difference in differences:
        typer.echo(difference)
    if differences:
        raise typer.Exit(1)


@app.command()
def maintain(
    data_dir: DataDir = DATA_DIR,
    ahead: Ahead = AHEAD,
    keep_days: KeepDays = None,
    keep_operations_days: KeepOperationsDays = None,
) -> None:
    """Make the months of telemetry ahead, drop those that are too old, and purge the ledger.

    To be run every month.
    """
    keep = None if keep_days is None else days_old(keep_days, "--keep-days")
    operations = (
        None
        if keep_operations_days is None
        else days_old(keep_operations_days, "--keep-operations-days")
    )
    with places.reach(data_dir) as place:
        typer.echo(
            f"{place.kind}: {_told(asyncio.run(_maintain(place.settings, ahead, keep, operations)))}"
        )


@rls.command()
def enable(data_dir: DataDir = DATA_DIR) -> None:
    """Enable row-level security on every table that has a tenant, and on its partitions."""
    with places.reach(data_dir) as place:
        tables = asyncio.run(_enable_row_level_security(place.settings))
        typer.echo(f"{place.kind}: row-level security is on, {len(tables)} tables changed")


@rls.command()
def disable(data_dir: DataDir = DATA_DIR) -> None:
    """Disable row-level security on every table."""
    with places.reach(data_dir) as place:
        tables = asyncio.run(_disable_row_level_security(place.settings))
        typer.echo(f"{place.kind}: row-level security is off, {len(tables)} tables changed")


@app.command()
def reset(data_dir: DataDir = DATA_DIR, yes: Yes = False) -> None:
    """Delete everything that is kept in the database, and migrate it anew."""
    with places.reach(data_dir) as place:
        what = f"everything in {place.kind} ({place.settings.url})"
        if not yes and not sys.stdin.isatty():
            raise ConfigurationError(f"this deletes {what}: say --yes")
        if not yes:
            typer.confirm(f"Delete {what}?", abort=True, err=True)
        asyncio.run(_rollback(place.settings, "base"))
        typer.echo(
            f"{place.kind} is empty, at revision {asyncio.run(_migrate(place.settings, 'head'))}"
        )


@app.command()
def revision(message: Message) -> None:
    """Write the revision that brings the schema to what the entities ask for, and print its path."""
    with places.temporary() as settings:
        typer.echo(str(asyncio.run(_revise(settings, message))))


@contextmanager
def _starting(data_dir: Path, *, embedded: bool) -> Iterator[Started]:
    file = None if embedded else places.compose_file()
    if file is not None and compose.docker_answers():
        note("Docker answers: starting PostgreSQL in it")
        compose.up(file)
        yield Started.at(compose.url(), places.IN_DOCKER)
        return
    folder = data_dir / places.POSTGRES
    note(f"{'' if embedded else 'Docker does not answer: '}starting {places.embedded_in(folder)}")
    with EmbeddedServer.start(folder, keep=True) as server:
        yield Started.at(server.url, places.embedded_in(folder))


async def _migrate(settings: Settings, revision: str) -> str:
    async with places.connected(settings.for_migrations()) as engine:
        return await migrations.migrate(
            engine, migrations.SchemaOptions.from_settings(settings), revision=revision
        )


async def _rollback(settings: Settings, revision: str) -> str | None:
    async with places.connected(settings.for_migrations()) as engine:
        return await migrations.rollback(engine, revision)


async def _maintain(
    settings: Settings, ahead: int, keep: timedelta | None, keep_operations: timedelta | None
) -> Maintenance:
    async with places.connected(settings.for_migrations()) as engine:
        return await operations.maintain(
            engine, ahead=ahead, keep=keep, keep_operations=keep_operations
        )


def _told(done: Maintenance) -> str:
    facts = {
        f"made {len(done.made)} months of telemetry ({', '.join(done.made)})": done.made,
        f"moved {done.moved:,} events into them": done.moved,
        f"dropped {len(done.dropped)} ({', '.join(done.dropped)}) with about {done.dropped_rows:,} events": done.dropped,
        f"deleted {done.deleted:,} old events from the default partition": done.deleted,
        f"left {done.left} months in the default partition, because there are so many": done.left,
        f"purged the ledger of {done.operations:,} operations": done.operations,
    }
    return ", ".join(fact for fact, happened in facts.items() if happened) or "nothing to do"


async def _enable_row_level_security(settings: Settings) -> list[str]:
    async with places.connected(settings.for_migrations()) as engine:
        return await operations.enable_row_level_security(engine)


async def _disable_row_level_security(settings: Settings) -> list[str]:
    async with places.connected(settings.for_migrations()) as engine:
        return await operations.disable_row_level_security(engine)


async def _check(settings: Settings, *, migrating: bool) -> list[str]:
    async with places.connected(settings.for_migrations()) as engine:
        if migrating:
            await migrations.migrate(engine, migrations.SchemaOptions.from_settings(settings))
        return await migrations.check(engine)


async def _revise(settings: Settings, message: str) -> Path:
    async with places.connected(settings.for_migrations()) as engine:
        await migrations.migrate(engine, migrations.SchemaOptions.from_settings(settings))
        return await migrations.revise(engine, message)
