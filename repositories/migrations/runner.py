"""Bringing a database to a revision, and taking revisions back."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from alembic import command
from alembic.script.revision import RevisionError
from sqlalchemy import text

from domain import metadata
from domain.errors import ConfigurationError, SchemaOutdated
from repositories.migrations import indexes, requirements
from repositories.migrations import row_level_security as row_security
from repositories.migrations.environment import (
    VERSION_TABLE,
    Environment,
    configure,
    current_revision,
    scripts,
)
from repositories.migrations.options import SchemaOptions, read_recorded
from repositories.migrations.session import DEADLINE, migration_session
from repositories.postgres.errors import raise_bare, translating

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

BASE: Final = "base"


async def migrate(
    engine: AsyncEngine,
    options: SchemaOptions | None = None,
    *,
    revision: str = "head",
    deadline: timedelta = DEADLINE,
    directory: Path | None = None,
) -> str:
    """Bring the database to `revision` and return it; indexes that an interruption left invalid or
    out are built.

    Each revision is one transaction, so a failure leaves the ones before it in place, and the next
    attempt goes on from there. Any number of processes may do this at once: `deadline` is for the
    lock that lets them in one by one, and for the tables that statements wait for. `options` decide
    what a new database is created with; where they are missing, the defaults do. `directory` holds
    revisions beside those of the package.

    Raises:
        MigrationFailed: a statement was refused, or a lock was not to be had; the message names the
            revision and the reason.
        SchemaOutdated: the database is at a revision that this version does not know.
        EmbeddingMismatch, ConfigurationError: the options contradict what the database was created
        with, or cannot be. DatabaseFailure: no connection.
    """
    async with migration_session(engine, deadline) as session:
        decided = await session.run(partial(_decide, options), doing="looking at the database")
        path = await session.run(
            partial(_way_up, revision, directory), doing="looking at the revisions"
        )
        async with row_security.row_level_security_bypassed(session, needed=bool(path)):
            for step in path:
                await session.run(
                    partial(_upgrade, step, decided, directory), doing=f"revision {step}"
                )
        rebuild = partial(indexes.rebuild_interrupted, tables=list(metadata.tables))
        await session.run(rebuild, doing="rebuilding an index that was interrupted")
        reached = await session.run(current_revision, doing="looking at the database") or BASE
        if reached == head(directory):
            complete = partial(indexes.build_left_out, options=decided)
            await session.run(complete, doing="building a vector index that a first load left out")
        return reached


async def rollback(
    engine: AsyncEngine,
    revision: str = "-1",
    *,
    deadline: timedelta = DEADLINE,
    directory: Path | None = None,
) -> str | None:
    """Take back the revisions after `revision`, with their tables and rows; return what is left,
    None for an empty database.

    `-1` takes back the newest one, `base` all of them; the extension stays. Locks, and what is
    raised: as in `migrate`.
    """
    async with migration_session(engine, deadline) as session:
        path = await session.run(
            partial(_way_down, revision, directory), doing="looking at the revisions"
        )
        async with row_security.row_level_security_bypassed(session, needed=bool(path)):
            for step, before in path:
                await session.run(
                    partial(_downgrade, before, directory), doing=f"taking back revision {step}"
                )
        return await session.run(_forget_empty, doing="looking at the database")


async def current(engine: AsyncEngine) -> str | None:
    """Return the revision that the database is at; None before the first.

    Raises DatabaseFailure.
    """
    with translating():
        async with engine.connect() as connection:
            return await connection.run_sync(current_revision)


def head(directory: Path | None = None) -> str:
    """Return the newest revision of this version."""
    return scripts(directory).get_current_head() or BASE


def require_known(connection: Connection, directory: Path | None = None) -> str:
    """Return the database's revision. Raises SchemaOutdated where this version does not have it."""
    known = {script.revision for script in scripts(directory).walk_revisions()}
    found = current_revision(connection)
    if found is not None and found not in known:
        raise SchemaOutdated(current=found, expected=head(directory))
    return found or BASE


def _decide(options: SchemaOptions | None, connection: Connection) -> SchemaOptions:
    requirements.require_server(connection)
    recorded = read_recorded(connection)
    if recorded is not None:
        if options is not None:
            options.require_agreement(recorded)
        return recorded
    decided = SchemaOptions() if options is None else options
    requirements.require_language(connection, decided.language)
    return decided


def _way_up(revision: str, directory: Path | None, connection: Connection) -> list[str]:
    found = require_known(connection, directory)
    try:
        way = list(scripts(directory).iterate_revisions(revision, found, implicit_base=True))
    except RevisionError:
        raise_bare(
            ConfigurationError(
                f"there is no way up from {found} to {revision!r}", setting="revision"
            )
        )
    return [script.revision for script in reversed(way)]


def _way_down(
    revision: str, directory: Path | None, connection: Connection
) -> list[tuple[str, str]]:
    found = require_known(connection, directory)
    if found == BASE:
        return []
    try:
        way = list(scripts(directory).iterate_revisions(found, revision, select_for_downgrade=True))
    except RevisionError:
        raise_bare(
            ConfigurationError(
                f"there is no way down from {found} to {revision!r}", setting="revision"
            )
        )
    return [(script.revision, str(script.down_revision or BASE)) for script in way]


def _upgrade(
    revision: str, options: SchemaOptions, directory: Path | None, connection: Connection
) -> None:
    command.upgrade(
        configure(Environment(connection=connection, options=options), directory), revision
    )


def _downgrade(revision: str, directory: Path | None, connection: Connection) -> None:
    options = read_recorded(connection) or SchemaOptions()
    connection.rollback()
    command.downgrade(
        configure(Environment(connection=connection, options=options), directory), revision
    )


def _forget_empty(connection: Connection) -> str | None:
    found = current_revision(connection)
    if found is None:
        connection.execute(text(f"DROP TABLE IF EXISTS {VERSION_TABLE}"))
    return found
