"""Row-level security in migrations.

It is not a revision, because most databases do not use it. The policies themselves record that it
is enabled. A migration then covers new tables, and `check` reports tables without a policy.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import text

from repositories.sql.row_level_security import (
    POLICY_STATUS,
    create_policy,
    force_row_level_security,
    no_force_row_level_security,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy import Connection

    from repositories.migrations.session import MigrationSession


@asynccontextmanager
async def row_level_security_bypassed(
    session: MigrationSession, *, needed: bool
) -> AsyncIterator[None]:
    """Let the tables' owner see every tenant's rows in the block, and cover all tables afterwards.

    Otherwise a revision that fills a column would see no rows, without an error. After an
    interruption, policies do not apply to the owner of the tables; `check` reports it, and the next
    migration repairs it. Nothing happens if row-level security is not enabled.
    """
    on = await session.run(_is_on, doing="looking at row-level security")
    if on and needed:
        await session.run(_bypass, doing="letting the owner bypass row-level security")
    try:
        yield
    finally:
        if on:
            await session.run(
                create_missing_policies, doing="covering tables by row-level security"
            )


@contextmanager
def bypass_row_level_security(connection: Connection, table: str) -> Iterator[None]:
    """Let the owner of a table see every tenant's rows in the block.

    If policies apply to the owner, it would otherwise count, move and delete no rows. Other
    sessions do not see the change, because it is part of the transaction.
    """
    is_active = connection.scalar(
        text("SELECT row_security_active(CAST(:table AS text))"), {"table": table}
    )
    if is_active:
        connection.execute(text(no_force_row_level_security(table)))
    yield
    # An error in the block rolls the transaction back, and this change with it.
    if is_active:
        connection.execute(text(force_row_level_security(table)))


def create_policies_if_enabled(connection: Connection) -> list[str]:
    """Cover new tables if row-level security is enabled, and return their names."""
    return create_missing_policies(connection) if _is_on(connection) else []


def _is_on(connection: Connection) -> bool:
    return any(table["begun"] for table in connection.execute(POLICY_STATUS).mappings())


def _bypass(connection: Connection) -> None:
    for row in connection.execute(POLICY_STATUS).mappings().all():
        connection.execute(text(no_force_row_level_security(row["table"])))


def create_missing_policies(connection: Connection) -> list[str]:
    """Create the policy of every table that lacks it, and return the names of those tables."""
    uncovered = [
        row["table"] for row in connection.execute(POLICY_STATUS).mappings() if not row["covered"]
    ]
    for table in uncovered:
        for statement in create_policy(table):
            connection.execute(text(statement))
    return uncovered
