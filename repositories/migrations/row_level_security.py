"""Switching row-level security on and off: not a revision, because most databases do without, and
later ones have to keep it.

That it is on is recorded by the policies themselves. Migrating covers what is new wherever it is
on, and `check` tells what is not.
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
    """Where row-level security is on, let the owner see every tenant's rows inside, and cover all
    tables afterwards.

    A revision that fills a column would find no row otherwise, and say nothing. What is interrupted
    inside leaves tables that bind everyone but their owner; `check` tells, and the next migration
    covers them.
    """
    on = await session.run(_is_on, doing="looking at row-level security")
    if on and needed:
        await session.run(_bypass, doing="letting the owner pass row-level security")
    try:
        yield
    finally:
        if on:
            await session.run(
                create_missing_policies, doing="covering tables by row-level security"
            )


@contextmanager
def bypass_row_level_security(connection: Connection, table: str) -> Iterator[None]:
    """Let the owner of a table see every tenant's rows of it inside; until the transaction ends
    nobody else notices.

    Where row-level security binds its owner, it would count no row, and move and delete none.
    """
    bound = connection.scalar(
        text("SELECT row_security_active(CAST(:table AS text))"), {"table": table}
    )
    if bound:
        connection.execute(text(no_force_row_level_security(table)))
    yield
    # What fails inside takes the transaction along, and this with it.
    if bound:
        connection.execute(text(force_row_level_security(table)))


def create_policies_if_enabled(connection: Connection) -> None:
    """Cover what is new, where row-level security is on."""
    if _is_on(connection):
        create_missing_policies(connection)


def _is_on(connection: Connection) -> bool:
    return any(wall["begun"] for wall in connection.execute(POLICY_STATUS).mappings())


def _bypass(connection: Connection) -> None:
    for wall in connection.execute(POLICY_STATUS).mappings().all():
        connection.execute(text(no_force_row_level_security(wall["table"])))


def create_missing_policies(connection: Connection) -> list[str]:
    uncovered = [
        wall["table"]
        for wall in connection.execute(POLICY_STATUS).mappings()
        if not wall["covered"]
    ]
    for table in uncovered:
        for statement in create_policy(table):
            connection.execute(text(statement))
    return uncovered
