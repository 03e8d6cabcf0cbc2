"""Row-level security: enable and disable it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from repositories.migrations.own_tables import require_registered
from repositories.migrations.row_level_security import create_missing_policies
from repositories.migrations.session import DEADLINE, migration_session
from repositories.sql.row_level_security import POLICY_STATUS, drop_policy

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine


async def enable_row_level_security(
    engine: AsyncEngine, *, deadline: timedelta = DEADLINE
) -> list[str]:
    """Cover every table with tenants, and each partition, by a policy that shows a transaction its
    tenant's rows alone.

    Returns the tables that were not covered before; all or none are. Whoever has the database open
    already does not name the tenant to the server, and sees nothing from then on: open it again.

    Raises:
        MigrationFailed: a statement was refused, or a lock was not to be had.
        NotRegistered: the database has the table of an own entity that was not imported.
        DatabaseFailure: no connection.
    """
    async with migration_session(engine, deadline) as session:
        return await session.run(
            _enable_row_level_security, doing="switching row-level security on"
        )


def _enable_row_level_security(connection: Connection) -> list[str]:
    require_registered(connection)
    return create_missing_policies(connection)


async def disable_row_level_security(
    engine: AsyncEngine, *, deadline: timedelta = DEADLINE
) -> list[str]:
    """Undo `enable_row_level_security`, and return the tables that had something of it.

    Raises as `enable_row_level_security` does.
    """
    async with migration_session(engine, deadline) as session:
        return await session.run(
            _disable_row_level_security, doing="switching row-level security off"
        )


def _disable_row_level_security(connection: Connection) -> list[str]:
    begun = [
        wall["table"] for wall in connection.execute(POLICY_STATUS).mappings() if wall["begun"]
    ]
    for table in begun:
        for statement in drop_policy(table):
            connection.execute(text(statement))
    return begun
