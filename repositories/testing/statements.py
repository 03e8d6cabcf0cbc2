"""Record the statements that a database receives, and check their conditions on the tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
from sqlalchemy import event, text

from domain.schema.registries import tenant_table_names
from repositories.postgres.connection import Connection

if TYPE_CHECKING:
    from repositories import Database

_PLANNED: Final = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")

_PLAN_OF: Final = text("""
CREATE FUNCTION pg_temp.plan_of(statement text) RETURNS json LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
    EXECUTE 'EXPLAIN (GENERIC_PLAN, FORMAT JSON) ' || statement INTO plan;
    RETURN plan;
END $$
""")
"""The driver would ask for the values of a statement's parameters; the plan needs none."""


@contextmanager
def statements_of(database: Database) -> Iterator[list[str]]:
    """Record the statements that are sent inside the block, in order.

    Repositories send some by SQLAlchemy's cursors, and others on the driver's own connection.
    """
    statements: list[str] = []
    fetch = Connection.fetch

    def record(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    async def recorded(connection: Connection, query: str, *arguments: Any, **options: Any) -> Any:
        statements.append(query)
        return await fetch(connection, query, *arguments, **options)

    engines = (database.engine.sync_engine, database.read_engine.sync_engine)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", record)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Connection, "fetch", recorded)
            yield statements
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", record)


@asynccontextmanager
async def require_tenant_conditions(database: Database) -> AsyncIterator[None]:
    """Check that each statement inside the block is restricted to a tenant.

    The server's plan of each statement shows the scans of tables with tenants and their conditions.
    Use it for own statements, because without row-level security the server does not check them::

        async with require_tenant_conditions(recollect_database):
            await rename_person(recollect_database, "ada", "ada.l")

    Raises:
        AssertionError: a scan has no condition on the tenant; the message has the statement.
    """
    with statements_of(database) as statements:
        yield
    scans = await unconditional_scans(database, statements)
    problems = [f"{', '.join(of_one)} in: {statement}" for statement, of_one in scans.items()]
    assert not problems, "without a condition on the tenant: " + "; ".join(problems)


async def unconditional_scans(
    database: Database, statements: Iterable[str]
) -> dict[str, list[str]]:
    """Return, by statement, scans of tables with tenants without a condition on the tenant.

    Args:
        database: the database whose plans are read.
        statements: statements that were sent; those that have no plan are left out.
    """
    tables = frozenset(tenant_table_names())
    scans_by_statement: dict[str, list[str]] = {}
    async with database.engine.connect() as connection:
        await connection.execute(_PLAN_OF)
        for statement in {each for each in statements if each.split()[0].upper() in _PLANNED}:
            [plan] = await connection.scalar(
                text("SELECT pg_temp.plan_of(:statement)"), {"statement": statement}
            )
            if scans := list(_unconditional(plan["Plan"], tables)):
                scans_by_statement[statement] = scans
    return scans_by_statement


def _unconditional(node: dict[str, Any], tables: Collection[str], part: str = "") -> Iterator[str]:
    part = node.get("Subplan Name", part)
    name = node.get("Relation Name", "")
    # A partition counts as its table.
    table = "telemetry_events" if name.startswith("telemetry_events_") else name
    if table in tables and node["Node Type"] != "ModifyTable" and not _names_the_tenant(node):
        yield f"{node['Node Type']} of {table} {part}".rstrip()
    for child in node.get("Plans", ()):
        yield from _unconditional(child, tables, part)


def _names_the_tenant(node: dict[str, Any]) -> bool:
    below = [child for child in node.get("Plans", ()) if "Bitmap" in child["Node Type"]]
    conditions = (node.get(name, "") for name in ("Index Cond", "Recheck Cond", "Filter"))
    return any("tenant" in condition for condition in conditions) or any(
        map(_names_the_tenant, below)
    )
