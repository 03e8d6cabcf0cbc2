"""A tenant's reset leaves the record of the embeddings, which all tenants share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

import pytest
from sqlalchemy import text

from domain import CommitOutcomeUnknown, RecollectError
from repositories import Database
from tests.contract.suites import samples
from tests.faults.conftest import Promises, on_the_newest
from tests.faults.proxy import Proxy, Verdict, at_commit, let_pass

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr

pytestmark = on_the_newest

MALLORY, VICTIM = "mallory", "victim"
Reset: TypeAlias = "Callable[[Database, SecretStr], Awaitable[None]]"


async def committed(database: Database, _: SecretStr) -> None:
    async with database.unit_of_work(tenant=MALLORY) as uow:
        await uow.knowledge.reset()
        await uow.commit()


async def in_batches(database: Database, _: SecretStr) -> None:
    await database.delete_chunks(tenant=MALLORY)


async def cut_off(_: Database, url: SecretStr) -> None:
    proxy = Proxy(url)
    async with proxy.database() as behind:
        with pytest.raises(CommitOutcomeUnknown):
            async with behind.unit_of_work(tenant=MALLORY) as uow:
                await uow.knowledge.reset()
                proxy.judge = at_commit(Verdict.PASS, reply=Verdict.CUT_BEFORE)
                await uow.commit()
        proxy.judge = let_pass


async def cancelled(database: Database, _: SecretStr) -> None:
    reached = asyncio.Event()

    async def reset() -> None:
        async with database.unit_of_work(tenant=MALLORY) as uow:
            await uow.knowledge.reset()
            reached.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(reset())
    await reached.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("reset", [committed, in_batches, cut_off, cancelled])
async def test_a_reset_of_one_tenant_leaves_the_record_and_the_others(
    database: Database,
    database_url: SecretStr,
    reset: Reset,
    tmp_path: Path,
    promises: Promises,
) -> None:
    for tenant in (MALLORY, VICTIM):
        async with database.unit_of_work(tenant=tenant) as uow:
            await uow.knowledge.upsert_many([samples.chunk("chunk", "Retries are bounded.")])
            await uow.commit()
    async with database.reader(tenant=VICTIM) as view:
        recorded = await view.embedding_metadata.get()
    await reset(database, database_url)
    async with database.reader(tenant=VICTIM) as view:
        assert await view.embedding_metadata.get() == recorded
        assert await view.knowledge.count() == 1
    async with database.reader(tenant=MALLORY) as view:
        assert await view.knowledge.count() == (reset is cancelled)
    assert await works(database, database_url, tmp_path / "backup") == []
    failed = await without_the_record(database, database_url, tmp_path / "other")
    promises(
        "No tenant sees another's rows",
        "after a tenant's reset the other tenants' rows and the shared record are unchanged, and"
        f" the database opens and is dumped ({reset.__name__.replace('_', ' ')})",
        control=f"without the record {' and '.join(failed)} fail",
    )


async def works(database: Database, url: SecretStr, path: Path) -> list[str]:
    """Return which of opening and dumping fail."""

    async def open_again() -> None:
        async with Database.from_url(url, migrate=True):
            pass

    failed = []
    for name, call in (("opening", open_again), ("dumping", lambda: database.dump(path))):
        try:
            await call()
        except RecollectError:
            failed.append(name)
    return failed


async def without_the_record(database: Database, url: SecretStr, path: Path) -> list[str]:
    """Return what fails after the record was deleted, and write it again."""
    async with database.engine.connect() as connection:
        await connection.execute(text("CREATE TEMP TABLE kept AS TABLE embedding_metadata"))
        await connection.execute(text("DELETE FROM embedding_metadata"))
        await connection.commit()
        failed = await works(database, url, path)
        await connection.execute(text("INSERT INTO embedding_metadata TABLE kept"))
        await connection.execute(text("DROP TABLE kept"))
        await connection.commit()
    assert failed
    return failed
