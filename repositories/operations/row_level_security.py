"""Row-level security: enable and disable it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from repositories.migrations.row_level_security import create_missing_policies
from repositories.migrations.session import DEADLINE, migration_session
from repositories.sql.row_level_security import WALLS, take_wall_down

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine


async def isolate(engine: AsyncEngine, *, deadline: timedelta = DEADLINE) -> list[str]:
    """Cover every table with tenants, and each partition, by a policy that shows a transaction its
    tenant's rows alone.

    Returns the tables that were not covered before; all or none are. Whoever has the database open
    already does not name the tenant to the server, and sees nothing from then on: open it again.

    Raises:
        MigrationFailed: a statement was refused, or a lock was not to be had.
        DatabaseFailure: no connection.
    """
    async with migration_session(engine, deadline) as session:
        return await session.run(create_missing_policies, doing="switching row-level security on")


async def expose(engine: AsyncEngine, *, deadline: timedelta = DEADLINE) -> list[str]:
    """Undo `isolate`, and return the tables that had something of it. Raises as `isolate` does."""
    async with migration_session(engine, deadline) as session:
        return await session.run(_expose, doing="switching row-level security off")


def _expose(connection: Connection) -> list[str]:
    begun = [wall["table"] for wall in connection.execute(WALLS).mappings() if wall["begun"]]
    for table in begun:
        for statement in take_wall_down(table):
            connection.execute(text(statement))
    return begun
