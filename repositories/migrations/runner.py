"""Migrate a database to a revision, and roll revisions back."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from domain.errors import ConfigurationError, SchemaOutdated
from domain.schema.registries import table_names
from repositories.migrations import indexes, requirements
from repositories.migrations import row_level_security as row_security
from repositories.migrations.distribution import delete_local_rows, distribute_new_tables
from repositories.migrations.environment import (
    VERSIONS,
    Environment,
    configure,
    current_revision,
    scripts,
)
from repositories.migrations.options import SchemaOptions, read_recorded
from repositories.migrations.own_tables import require_no_references
from repositories.migrations.requirements import VERSION_TABLE
from repositories.migrations.session import DEADLINE, migration_session
from repositories.postgres.errors import raise_bare, translating

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from alembic.script import ScriptDirectory
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

    from repositories.migrations.session import MigrationSession

BASE: Final = "base"


async def migrate(
    engine: AsyncEngine,
    options: SchemaOptions | None = None,
    *,
    revision: str = "head",
    deadline: timedelta = DEADLINE,
    directory: Path | None = None,
) -> str:
    """Bring the database to `revision` and return it.

    Each revision is one transaction: after a failure the earlier ones stay, and the next attempt
    continues from there. Any number of processes may call this at once; a lock lets one migrate at
    a time. Indexes that are invalid or missing after an interruption are built at the end.

    Args:
        engine: the engine.
        options: the options of a new database, by default `SchemaOptions()`.
        revision: the revision to reach.
        deadline: how long to wait for the migration lock, and for locks of tables.
        directory: a folder with revisions in addition to those of the package.

    Raises:
        MigrationFailed: the server refused a statement, or waiting for a lock took too long; the
            message names the revision and the reason.
        SchemaOutdated: the database is at a revision that this version does not know.
        EmbeddingMismatch: the options contradict those of the database.
        ConfigurationError: the language contradicts that of the database, or is unknown to the
            server, or the revision does not exist. An earlier revision changes nothing.
        DatabaseFailure: the connection failed.
    """
    _require_revision(revision)
    async with migration_session(engine, deadline) as session:
        decided = await session.run(partial(_decide, options), doing="looking at the database")
        path = await session.run(
            partial(_way_up, revision, directory), doing="looking at the revisions"
        )
        async with row_security.row_level_security_bypassed(session, needed=bool(path)):
            if path:
                await _upgrade(session, path, decided, directory)
        rebuild = partial(indexes.rebuild_interrupted, tables=table_names())
        await session.run(rebuild, doing="rebuilding an index that was interrupted")
        reached = await session.run(current_revision, doing="looking at the database") or BASE
        if reached == head(directory):
            complete = partial(indexes.build_left_out, options=decided)
            await session.run(complete, doing="building the vector index of an initial load")
            if await session.run(distribute_new_tables, doing="distributing new tables"):
                await session.run(delete_local_rows, doing="deleting the rows outside of shards")
        return reached


async def rollback(
    engine: AsyncEngine,
    revision: str = "-1",
    *,
    deadline: timedelta = DEADLINE,
    directory: Path | None = None,
) -> str | None:
    """Take back the revisions after `revision`, with their tables and rows.

    Locks and errors are those of `migrate`.

    Args:
        engine: the engine.
        revision: the revision to return to: `-1` takes back the newest one, `base` all of them.
            The extension stays.
        deadline: how long to wait for the migration lock, and for locks of tables.
        directory: a folder with revisions in addition to those of the package.

    Returns:
        The revision of the database, or None if it is empty.

    Raises:
        ConfigurationError: the revision does not exist, or is above the current one.
        MigrationFailed: the way leads to `base`, and tables of the application refer to the
            library's. Nothing is changed.
    """
    _require_revision(revision)
    async with migration_session(engine, deadline) as session:
        path = await session.run(
            partial(_way_down, revision, directory), doing="looking at the revisions"
        )
        if path and path[-1][1] == BASE:
            await session.run(require_no_references, doing="looking at the references")
        async with row_security.row_level_security_bypassed(session, needed=bool(path)):
            if path:
                await _downgrade(session, path, directory)
        return await session.run(_forget_empty, doing="looking at the database")


async def current(engine: AsyncEngine) -> str | None:
    """Return the revision that the database is at; None before the first.

    Raises:
        DatabaseFailure: the connection failed.
    """
    with translating():
        async with engine.connect() as connection:
            return await connection.run_sync(current_revision)


def head(directory: Path | None = None) -> str:
    """Return the newest revision of this version."""
    return _head(scripts(directory)) if directory is not None else package_head()


@cache
def package_head() -> str:
    """Return the newest revision of the package: its files are numbered."""
    numbers = (file.name.partition("_")[0] for file in VERSIONS.glob("[0-9]*_*.py"))
    return max(numbers, default=BASE)


def _head(revisions: ScriptDirectory) -> str:
    return revisions.get_current_head() or BASE


def require_known(connection: Connection, directory: Path | None = None) -> str:
    """Return the database's revision.

    Raises:
        SchemaOutdated: this version does not have the revision.
    """
    return _require_one_of(scripts(directory), connection)


def _require_one_of(revisions: ScriptDirectory, connection: Connection) -> str:
    revision = current_revision(connection)
    ids = {script.revision for script in revisions.walk_revisions()}
    if revision is not None and revision not in ids:
        raise SchemaOutdated(current=revision, expected=_head(revisions))
    return revision or BASE


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


def _require_revision(revision: str) -> None:
    # Alembic reads the number in `-1.5` and ignores what follows it.
    if re.fullmatch(r"\w+|\w*[+-][0-9]+", revision) is None:
        raise ConfigurationError(
            f"{revision!r} is not a revision: write 'head', 'base', the id of a revision, or -1",
            setting="revision",
        )


def _way_up(revision: str, directory: Path | None, connection: Connection) -> list[str]:
    from alembic.script.revision import RevisionError

    revisions = scripts(directory)
    start = _require_one_of(revisions, connection)
    try:
        path = list(revisions.iterate_revisions(revision, start, implicit_base=True))
    except RevisionError:
        raise_bare(
            ConfigurationError(
                f"the revision {revision!r} does not exist, or is not above {start}: `recollect db"
                " status` prints the current revision",
                setting="revision",
            )
        )
    return [script.revision for script in reversed(path)]


def _way_down(
    revision: str, directory: Path | None, connection: Connection
) -> list[tuple[str, str]]:
    from alembic.script.revision import RevisionError

    revisions = scripts(directory)
    start = _require_one_of(revisions, connection)
    if start == BASE:
        return []
    try:
        path = list(revisions.iterate_revisions(start, revision, select_for_downgrade=True))
    except RevisionError:
        raise_bare(
            ConfigurationError(
                f"the revision {revision!r} does not exist, or is not below {start}: `recollect db"
                " status` prints the current revision",
                setting="revision",
            )
        )
    return [(script.revision, str(script.down_revision or BASE)) for script in path]


async def _upgrade(
    session: MigrationSession, path: Sequence[str], options: SchemaOptions, directory: Path | None
) -> None:
    from alembic import command

    # One command for all revisions: each command executes the file of every revision.
    done: set[str | None] = set()

    def upgrade(connection: Connection) -> None:
        environment = Environment(connection=connection, options=options, done=done)
        command.upgrade(configure(environment, directory), path[-1])

    await session.run(upgrade, doing=lambda: f"revision {_failing(path, done)}")


async def _downgrade(
    session: MigrationSession, path: Sequence[tuple[str, str]], directory: Path | None
) -> None:
    from alembic import command

    done: set[str | None] = set()

    def downgrade(connection: Connection) -> None:
        options = read_recorded(connection) or SchemaOptions()
        connection.rollback()
        environment = Environment(connection=connection, options=options, done=done)
        command.downgrade(configure(environment, directory), path[-1][1])

    steps = [step for step, _ in path]
    await session.run(downgrade, doing=lambda: f"taking back revision {_failing(steps, done)}")


def _failing(path: Sequence[str], done: set[str | None]) -> str:
    """Return the first revision that is not done, or the last one, whose COMMIT failed."""
    return next((step for step in path if step not in done), path[-1])


def _forget_empty(connection: Connection) -> str | None:
    revision = current_revision(connection)
    if revision is None:
        connection.execute(text(f"DROP TABLE IF EXISTS {VERSION_TABLE}"))
    return revision
