"""Every scan of a table with tenants has a condition on the tenant, according to the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from domain.schema.base import metadata
from repositories import Database
from tests.contract.calls import OPERATIONS, fill
from tests.contract.ports import all_operations
from tests.contract.unguarded import without_the_predicate
from tests.integration.observed import statements_of

if TYPE_CHECKING:
    pass

OF_TENANTS: Final = {table.name for table in metadata.sorted_tables if "tenant" in table.c}

STATISTICS: Final = {"CTE size", "CTE counted", "CTE average"}
"""What BM25 asks of a whole table, as the planner does: how many rows, how many with a word, and
how long they are. Nothing of a row leaves these but a number."""


_PLAN_OF: Final = text("""
CREATE FUNCTION pg_temp.plan_of(statement text) RETURNS json LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
    EXECUTE 'EXPLAIN (GENERIC_PLAN, FORMAT JSON) ' || statement INTO plan;
    RETURN plan;
END $$
""")
"""The driver would ask for the values of a statement's parameters; the plan needs none."""


async def sent_by_every_operation(database: Database) -> set[str]:
    """Run every operation of a unit of work and of a reader, and return the statements sent."""
    data, sent = await fill(database, "ours", 2), set[str]()
    for operation in all_operations():
        unit, _, name = operation.partition(".")
        open_unit: Any = database.unit_of_work if unit == "uow" else database.reader
        async with open_unit(tenant="ours") as uow:
            with statements_of(database) as statements:
                await OPERATIONS[name][1](uow, data)
        sent.update(statements)
    return {
        statement
        for statement in sent
        if statement.split()[0] in ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")
    }


async def unconditional_scans(database: Database, statements: set[str]) -> dict[str, list[str]]:
    """Return, by statement, scans of tables with tenants without a condition on the tenant."""
    scans_by_statement: dict[str, list[str]] = {}
    async with database.engine.connect() as connection:
        await connection.execute(_PLAN_OF)
        for statement in statements:
            [plan] = await connection.scalar(
                text("SELECT pg_temp.plan_of(:statement)"), {"statement": statement}
            )
            if scans := list(_unconditional(plan["Plan"])):
                scans_by_statement[statement] = scans
    return scans_by_statement


def _unconditional(node: dict[str, Any], part: str = "") -> Iterator[str]:
    part = part if part in STATISTICS else node.get("Subplan Name", part)
    # A partition by its table's name.
    table = (
        "telemetry_events"
        if (name := node.get("Relation Name", "")).startswith("telemetry_events_")
        else name
    )
    if (
        table in OF_TENANTS
        and node["Node Type"] != "ModifyTable"
        and not _names_the_tenant(node)
        and part not in STATISTICS
    ):
        yield f"{node['Node Type']} of {table} {part}"
    for child in node.get("Plans", ()):
        yield from _unconditional(child, part)


def _names_the_tenant(node: dict[str, Any]) -> bool:
    below = [child for child in node.get("Plans", ()) if "Bitmap" in child["Node Type"]]
    conditions = (node.get(name, "") for name in ("Index Cond", "Recheck Cond", "Filter"))
    return any("tenant" in condition for condition in conditions) or any(
        map(_names_the_tenant, below)
    )


async def test_every_scan_of_every_statement_has_a_condition_on_the_tenant(
    postgres: Database,
) -> None:
    sent = await sent_by_every_operation(postgres)
    assert len(sent) > 100
    assert await unconditional_scans(postgres, sent) == {}


async def test_a_statement_without_the_condition_would_be_found(postgres: Database) -> None:
    with without_the_predicate():
        scans = await unconditional_scans(postgres, await sent_by_every_operation(postgres))
    assert any(statement.startswith("DELETE FROM knowledge") for statement in scans)
    assert any("FROM reviews" in statement for statement in scans)


async def test_every_inserted_row_has_its_tenant(postgres: Database) -> None:
    inserted = [
        statement
        for statement in await sent_by_every_operation(postgres)
        if statement.startswith("INSERT INTO")
    ]
    without = [
        statement
        for statement in inserted
        if statement.split()[2] in OF_TENANTS and "(tenant, " not in statement
    ]
    assert (without, len(inserted) > 10) == ([], True)
