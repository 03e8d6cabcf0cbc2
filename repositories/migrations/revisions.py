"""Compare the entities with a database, and write the revision that removes the differences."""

from __future__ import annotations

import importlib.util
import sys
from asyncio.subprocess import DEVNULL, create_subprocess_exec
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from domain import metadata
from domain.errors import ConfigurationError, SchemaOutdated
from repositories.migrations.distribution import undistributed_tables
from repositories.migrations.drift import find_drift
from repositories.migrations.environment import VERSIONS, Environment, configure, scripts
from repositories.migrations.options import SchemaOptions, read_recorded
from repositories.migrations.own_tables import unregistered_tables
from repositories.migrations.runner import BASE, head, package_head, require_known
from repositories.migrations.session import DEADLINE, alembic_for_us
from repositories.migrations.target import target_metadata
from repositories.postgres.errors import translating
from repositories.postgres.row_level_security import RowLevelSecurityStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, MetaData, Table
    from sqlalchemy.ext.asyncio import AsyncEngine

    from domain.schema.base import Entity


async def check(
    engine: AsyncEngine,
    *,
    entities: MetaData = metadata,
    application: Sequence[type[Entity]] = (),
    directory: Path | None = None,
) -> list[str]:
    """Return the differences between the database and the entities, one sentence for each.

    It compares columns with type, default, expression and comment, constraints, indexes with their
    parameters, and triggers, as PostgreSQL describes them. It ignores the order of columns and the
    tables without an entity. If row-level security is enabled, tables that it does not cover are
    reported too, and so are tables of own entities that are not registered. On Citus, tables that
    are not distributed, or not by tenant, are reported. The role needs the privilege to create
    temporary tables.

    Args:
        engine: the engine.
        entities: the tables of the library.
        application: an application's own entities, whose tables are compared as well.
        directory: a folder with revisions in addition to those of the package.

    Raises:
        SchemaOutdated: the database is not at the newest revision.
        DatabaseFailure: the connection failed, or a privilege is missing.
    """
    own = [entity.__table__ for entity in application]
    with translating():
        async with engine.connect() as connection:
            return await connection.run_sync(partial(_check, entities, own, directory))


async def revise(
    engine: AsyncEngine,
    message: str,
    directory: Path | None = None,
    *,
    autogenerate: bool = True,
    entities: MetaData = metadata,
) -> Path:
    """Write the next revision into `directory`, by default the package's own, and return its path.

    With `autogenerate` the revision contains the operations that turn this database into the schema
    of the entities, and back; without, it is empty. The database must be at the newest revision. A
    table whose entity was removed is not dropped: write that by hand. If ruff is installed, it
    formats the file.

    Raises:
        SchemaOutdated: the database is not at the newest revision.
        ConfigurationError: the message has no letters for the name of the file.
        MigrationFailed: another migration in this process took longer than a minute.
        DatabaseFailure: the connection failed, or a privilege is missing.
    """
    if not any(character.isalnum() for character in message):
        raise ConfigurationError(
            "a revision needs a message that says what it changes", setting="message"
        )
    words = " ".join(message.replace('"', "'").replace("\\", "/").split())
    with translating():
        async with alembic_for_us(DEADLINE), engine.connect() as connection:
            path = await connection.run_sync(
                partial(_revise, words, directory, entities, autogenerate=autogenerate)
            )
    await _format(path)
    return path


def _at_head(connection: Connection, directory: Path | None) -> SchemaOptions:
    revision, expected = require_known(connection, directory), head(directory)
    if revision != expected:
        raise SchemaOutdated(current=None if revision == BASE else revision, expected=expected)
    return read_recorded(connection) or SchemaOptions()


def _check(
    entities: MetaData, own: Sequence[Table], directory: Path | None, connection: Connection
) -> list[str]:
    target = target_metadata(_at_head(connection, directory), entities, own)
    unregistered = [
        f"table {name} belongs to an entity that is not registered: name its module in"
        " RECOLLECT_ENTITIES"
        for name in unregistered_tables(connection)
    ]
    gaps = list(RowLevelSecurityStatus.read(connection).gaps())
    differences = [difference.sentence for difference in find_drift(connection, target)]
    return [*differences, *unregistered, *gaps, *undistributed_tables(connection)]


def _revise(
    message: str,
    directory: Path | None,
    entities: MetaData,
    connection: Connection,
    *,
    autogenerate: bool,
) -> Path:
    from alembic import command
    from alembic.script import Script

    from repositories.migrations.autogenerate import Autogenerate

    options = _at_head(connection, directory)
    target = target_metadata(options, entities)
    generator = Autogenerate(target, tuple(find_drift(connection, target)), options)
    config = configure(
        Environment(connection=connection, options=options, extra=generator.configuration()),
        directory,
    )
    number = sum(1 for _ in scripts(directory).walk_revisions()) + 1
    written = command.revision(
        config,
        message,
        autogenerate=autogenerate,
        rev_id=f"{number:04d}",
        version_path=directory or VERSIONS,
    )
    package_head.cache_clear()
    if not isinstance(written, Script):
        raise TypeError("Alembic wrote several revisions for one message")
    return Path(written.path)


async def _format(path: Path) -> None:
    if importlib.util.find_spec("ruff") is None:
        return
    process = await create_subprocess_exec(
        sys.executable, "-m", "ruff", "format", path, stdout=DEVNULL, stderr=DEVNULL
    )
    await process.wait()
