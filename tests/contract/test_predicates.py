"""Every scan of a table with tenants has a condition on the tenant, according to the server."""

from __future__ import annotations

from typing import Any, Final

from domain.schema.registries import metadata
from repositories import Database
from repositories.testing.statements import statements_of, unconditional_scans
from tests.contract.calls import OPERATIONS, fill
from tests.contract.ports import all_operations
from tests.contract.unguarded import without_the_predicate

OF_TENANTS: Final = {table.name for table in metadata.sorted_tables if "tenant" in table.c}


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
    return sent


async def test_every_scan_of_every_statement_has_a_condition_on_the_tenant(
    postgres: Database,
) -> None:
    sent = await sent_by_every_operation(postgres)
    assert len(sent) > 100
    assert await unconditional_scans(postgres, sent) == {}, (
        "add `tenant_equals(Entity, self._transaction.tenant)` to these statements"
    )


async def test_a_statement_without_the_condition_would_be_found(postgres: Database) -> None:
    with without_the_predicate():
        sent = await sent_by_every_operation(postgres)
        scans = await unconditional_scans(postgres, sent)
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
