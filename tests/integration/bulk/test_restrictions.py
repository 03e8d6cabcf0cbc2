"""Bulk writes where the server forbids a way, or limits what one statement may do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from repositories import Database
from repositories.bulk import staging, writing
from repositories.postgres import hosts
from repositories.sql.bulk import raise_limits
from repositories.testing.statements import statements_of
from tests.contract.suites.samples import chunk, memory
from tests.integration.bulk.support import FEW, KEYS, full

if TYPE_CHECKING:
    from pydantic import SecretStr


@asynccontextmanager
async def altered(database: Database, there: str, back: str) -> AsyncIterator[None]:
    """Change what the database allows, for a while."""

    async def execute(statements: str) -> None:
        async with database.engine.begin() as connection:
            for statement in statements.split(";"):
                await connection.execute(text(statement))

    await execute(there)
    try:
        yield
    finally:
        await execute(back)


async def test_where_policies_forbid_copy_the_rows_go_another_way(
    database: Database, way: str
) -> None:
    there = (
        "CREATE POLICY p ON knowledge USING (true); ALTER TABLE knowledge ENABLE ROW LEVEL "
        "SECURITY, FORCE ROW LEVEL SECURITY"
    )
    back = (
        "ALTER TABLE knowledge DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY; DROP "
        "POLICY p ON knowledge"
    )
    async with altered(database, there, back), database.unit_of_work() as uow:
        assert await uow.knowledge.add_many([full(number) for number in range(4)]) == 4
        assert await uow.knowledge.upsert_many([full(number) for number in range(8)]) == 8


async def test_a_role_without_temporary_tables_writes_batch_after_batch(
    database: Database, in_batches: None
) -> None:
    name = database.engine.url.database
    rule = f'TEMPORARY ON DATABASE "{name}"'
    there = f"REVOKE {rule} FROM PUBLIC; REVOKE {rule} FROM CURRENT_USER"
    back = f"GRANT {rule} TO PUBLIC; GRANT {rule} TO CURRENT_USER"
    async with altered(database, there, back), database.unit_of_work() as uow:
        assert await uow.knowledge.upsert_many(chunk(name) for name in "abcdabcd") == 4
        assert await uow.memories.write_many(memory(finding_id=key) for key in KEYS[:8]) == 8


async def test_the_limits_of_statements_are_raised_for_the_one_that_does_the_work_of_many(
    database_url: SecretStr, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "BATCH_SIZE", FEW)
    monkeypatch.setattr(staging, "STATEMENT_ROWS", 2)
    ask = text("SELECT current_setting('statement_timeout'), current_setting('work_mem')")
    async with (
        Database.from_url(database_url, statement_timeout=timedelta(seconds=7)) as own,
        own.unit_of_work() as uow,
    ):
        before = (await uow._transaction.execute(ask)).one()
        assert before[0] == "7s"
        with statements_of(own) as statements:
            assert await uow.knowledge.add_many(chunk(f"{n}") for n in range(7)) == 7
        assert sum("set_config" in statement for statement in statements) == 2, (
            "raised, and taken back"
        )
        assert (await uow._transaction.execute(ask)).one() == before
        raised = (await uow._transaction.execute(raise_limits(4))).one()
        assert tuple(raised) == ("64MB", "28s", 28_000)


@pytest.mark.parametrize("operation", ["add_many", "upsert_many", "write_many"])
async def test_a_write_of_many_batches_takes_longer_than_one_statement_may(
    database_url: SecretStr,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
) -> None:
    monkeypatch.setattr(writing, "BATCH_SIZE", FEW)
    monkeypatch.setattr(staging, "STATEMENT_ROWS", 1)
    monkeypatch.setattr(hosts, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(staging, "GRACE_SECONDS", 0.1)
    tables = ("knowledge", "learning_memories")
    slow = "ALTER TABLE {} ADD CONSTRAINT slow CHECK (pg_sleep(0.2)::text = '') NOT VALID"
    there = ";".join(map(slow.format, tables))
    back = ";".join(map("ALTER TABLE {} DROP CONSTRAINT slow".format, tables))
    async with (
        altered(database, there, back),
        Database.from_url(database_url, statement_timeout=timedelta(seconds=0.6)) as own,
        own.unit_of_work() as uow,
    ):
        if operation == "write_many":
            keys = KEYS[:7]
            written = await uow.memories.write_many(memory(finding_id=key) for key in keys)
        else:
            write = getattr(uow.knowledge, operation)
            written = await write(chunk(f"{n}") for n in range(7))
        assert written == 7
