"""Row-level security: enable and disable it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from domain.errors import SchemaOutdated
from repositories.migrations.environment import current_revision
from repositories.migrations.own_tables import require_registered
from repositories.migrations.row_level_security import create_missing_policies
from repositories.migrations.runner import head
from repositories.migrations.session import DEADLINE, migration_session
from repositories.sql.row_level_security import POLICY_STATUS, drop_policy

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine


async def enable_row_level_security(
    engine: AsyncEngine, *, deadline: timedelta = DEADLINE
) -> list[str]:
    """Create a policy on every table with tenants, so that a transaction sees one tenant's rows.

    Partitions get one too. All policies are created, or none. A database that is open in a process
    does not send the tenant to the server, and sees no rows afterwards: open it again.

    Returns:
        The tables that were not covered before.

    Raises:
        MigrationFailed: the server refused a statement, or waiting for a lock took too long.
        SchemaOutdated: the database has no tables yet.
        NotRegistered: the database has the table of an own entity that is not registered.
        DatabaseFailure: the connection failed.
    """
    async with migration_session(engine, deadline) as session:
        return await session.run(
            _enable_row_level_security, doing="switching row-level security on"
        )


def _enable_row_level_security(connection: Connection) -> list[str]:
    if current_revision(connection) is None:
        raise SchemaOutdated(current=None, expected=head())
    require_registered(connection)
    return create_missing_policies(connection)


async def disable_row_level_security(
    engine: AsyncEngine, *, deadline: timedelta = DEADLINE
) -> list[str]:
    """Drop the policies, and return the tables that had one.

    Raises:
        MigrationFailed: the server refused a statement, or waiting for a lock took too long.
        DatabaseFailure: the connection failed.
    """
    async with migration_session(engine, deadline) as session:
        return await session.run(
            _disable_row_level_security, doing="switching row-level security off"
        )


def _disable_row_level_security(connection: Connection) -> list[str]:
    begun = [row["table"] for row in connection.execute(POLICY_STATUS).mappings() if row["begun"]]
    for table in begun:
        for statement in drop_policy(table):
            connection.execute(text(statement))
    return begun
