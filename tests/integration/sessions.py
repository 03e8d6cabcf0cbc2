"""The sessions of a server, as the server itself sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from repositories import Database


async def blocked(database: Database) -> int:
    """Return the process of a session that waits for another one, once there is one."""
    waiting = text(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND "
        "cardinality(pg_blocking_pids(pid)) > 0"
    )
    async with database.engine.connect() as connection:
        # A transaction sees the sessions that there were when it looked first.
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        while (pid := (await connection.execute(waiting)).scalar()) is None:
            await connection.execute(text("SELECT pg_sleep(0.01)"))
        return int(pid)
