"""No operation sends more statements for many rows than for one.

The number of every operation's, on PostgreSQL.
"""

from __future__ import annotations

from repositories import Database
from repositories.testing.statements import statements_of
from tests.contract.calls import OPERATIONS, fill
from tests.contract.ports import all_operations
from tests.contract.suites import samples
from tests.contract.suites.kinds import write


def test_the_table_has_every_method_of_every_port() -> None:
    operations = {operation.partition(".")[2] for operation in all_operations()}
    assert operations - OPERATIONS.keys() == set(), "add calls of these to tests/contract/calls.py"
    assert OPERATIONS.keys() - operations == set(), "no port has these"


async def test_every_operation_sends_as_many_statements_for_fifty_rows_as_for_one(
    database: Database,
) -> None:
    tenants = {"one": await fill(database, "one", 1), "fifty": await fill(database, "fifty", 50)}
    sent: dict[str, list[int]] = {}
    for operation, (_, call) in OPERATIONS.items():
        for tenant, data in tenants.items():
            async with database.unit_of_work(tenant=tenant) as uow:
                with statements_of(database) as statements:
                    await call(uow, data)
                sent.setdefault(operation, []).append(len(statements))
    wrong = {
        operation: f"{statements} declared, {sent[operation]} sent for one row and for fifty"
        for operation, (statements, _) in OPERATIONS.items()
        if sent[operation] != [statements] * len(tenants)
    }
    assert wrong == {}, "correct the numbers in tests/contract/calls.py, or the operations"


async def test_changes_of_fifty_rows_are_written_in_as_many_statements_as_of_two(
    database: Database,
) -> None:
    rows = [samples.review() for _ in range(50)]
    await write(database, *rows)
    for many in (2, 50):
        async with database.unit_of_work() as uow:
            for one in await uow.reviews.list(limit=many):
                one.conclusion = "changed"
            with statements_of(database) as statements:
                await uow.flush()
        assert len(statements) == 2, "and one that counts what is there: the driver does not tell"


async def test_what_is_asked_of_no_rows_sends_nothing(database: Database) -> None:
    async with database.unit_of_work() as uow:
        with statements_of(database) as statements:
            assert await uow.reviews.get_many([]) == {}
            assert await uow.reviews.add_many([]) == 0
            assert await uow.knowledge.upsert_many([]) == 0
            assert await uow.knowledge.delete_chunks([]) == 0
            assert await uow.memories.write_many([]) == 0
            assert await uow.reactions.add_many([]) == 0
            assert await uow.telemetry.record_many([]) == 0
            await uow.flush()
            await uow.commit()
    assert statements == []
