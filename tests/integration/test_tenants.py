"""Large tenants get an HNSW index of their own, and give it back, while others read and write."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from sqlalchemy import text

from domain import InvalidInput, Isolation, KnowledgeChunk, LockTimeout, MigrationFailed, where
from repositories import Database, operations
from repositories.migrations import check, requirements, tenant_indexes
from repositories.sql import hybrid
from repositories.sql.vector_index import tenant_index_name
from tests.conftest import DIMENSIONS
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import OWNER, REPO, chunk, memory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from pydantic import SecretStr
    from sqlalchemy.ext.asyncio import AsyncConnection

    from repositories.testing.servers import TestServer

NEAR = [1.0, *[0.5] * (DIMENSIONS - 1)]
OF_ACME = tenant_index_name("knowledge", "acme")
MEMORIES_OF_ACME = tenant_index_name("learning_memories", "acme")


def chunks(count: int) -> list[KnowledgeChunk]:
    return [chunk(f"{n}", embedding=[*NEAR[:-1], n / count]) for n in range(count)]


@pytest.fixture
def own_url(server: TestServer) -> SecretStr:
    """A database of the test's own, whose indexes it may drop."""
    return server.clone()


@pytest_asyncio.fixture
async def own(own_url: SecretStr) -> AsyncIterator[Database]:
    """That database, open, with the rows of two tenants."""
    async with Database.from_url(own_url) as database:
        await write(database, *chunks(150), memory(embedding=NEAR), tenant="acme")
        await write(database, *chunks(3), tenant="other")
        yield database


async def nearest(database: Database, tenant: str, limit: int = 5) -> tuple[list[str], bool]:
    async with database.reader(tenant=tenant) as view:
        hits = await view.knowledge.vector_search(NEAR, limit=limit)
    return [hit.item.chunk_id for hit in hits], hits.exact


async def test_an_isolated_tenant_is_searched_through_its_index_until_it_is_released(
    own: Database,
) -> None:
    exact = await nearest(own, "acme")
    assert exact[1]
    assert await own.isolate_tenant("acme") == [OF_ACME, MEMORIES_OF_ACME]
    assert await own.isolate_tenant("acme") == [], "it has its indexes"
    assert await nearest(own, "acme") == (exact[0], False)
    assert (await nearest(own, "other"))[1], "a tenant without an index is searched exactly"
    assert await check(own.engine) == []
    assert (await own.health()).problems == ()
    assert await own.release_tenant("acme") == [OF_ACME, MEMORIES_OF_ACME]
    assert await own.release_tenant("acme") == []
    assert await nearest(own, "acme") == exact


async def test_memories_of_an_owner_are_found_through_the_index_with_a_share_for_each_repository(
    own: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    near = [memory(repo="acme/near", embedding=[*NEAR[:-1], n / 200]) for n in range(150)]
    far = [memory(repo="acme/far", embedding=[-1.0, *NEAR[1:-1], n / 200]) for n in range(150)]
    await write(own, *near, *far, tenant="acme")

    async def shared(**options: Any) -> tuple[list[UUID], bool]:
        async with own.reader(tenant="acme") as view:
            hits = await view.memories.nearest_for_owner(
                NEAR, owner=OWNER, exclude_repo=REPO, limit=4, **options
            )
        return [hit.item.id for hit in hits], hits.exact

    ids, exact = await shared()
    assert exact
    assert len({*ids} & {one.id for one in near}) == len({*ids} & {one.id for one in far}) == 2
    close, _ = await shared(max_distance=0.5)
    await own.isolate_tenant("acme")
    assert await shared() == (ids, False)
    assert await shared(distinct=True) == (ids[:1], True), "all texts are equal"
    # The nearest 100 rows are of one repository.
    monkeypatch.setattr("repositories.learning.OWNER_CANDIDATES", 1)
    assert await shared() == (ids, True), "without a share for the other, all rows are compared"
    assert await shared(max_distance=0.5) == (close, True)


@pytest.mark.parametrize(("copies", "is_exact"), [(0, False), (300, False), (1_100, True)])
async def test_a_search_for_distinct_texts_reads_past_copies_in_the_index(
    own: Database, copies: int, *, is_exact: bool
) -> None:
    equal = [chunk(content="Equal.", embedding=NEAR) for _ in range(copies)]
    others = [chunk(content=f"Text {n}.", embedding=[*NEAR[:-1], 1 + n / 100]) for n in range(200)]
    await write(own, *equal, *others, tenant="copies")
    await own.isolate_tenant("copies")
    async with own.reader(tenant="copies") as view:
        hits = await view.knowledge.vector_search(NEAR, limit=10, distinct=True)
    of_texts = [hit.item.content for hit in hits]
    nearest_texts = [f"Text {n}." for n in range(10)]
    assert of_texts == (["Equal.", *nearest_texts[:-1]] if copies else nearest_texts)
    assert (hits.exact, hits.bound_reached) == (is_exact, False)


async def test_a_memory_leaves_the_index_of_its_tenant_when_it_is_marked_stale(
    own: Database,
) -> None:
    memories = [memory(embedding=[*NEAR[:-1], n / 300]) for n in range(300)]
    await write(own, *memories, tenant="acme")
    await own.isolate_tenant("acme")

    async def size() -> int:
        async with own.engine.connect() as connection:
            of_index = text("SELECT pg_relation_size(CAST(:name AS regclass))")
            return int(await connection.scalar(of_index, {"name": MEMORIES_OF_ACME}) or 0)

    async def nearest_five() -> tuple[int, bool]:
        async with own.reader(tenant="acme") as view:
            hits = await view.memories.nearest(NEAR, repo=REPO, limit=5)
        return len(hits), hits.exact

    before = await size()
    # Few rows meet a filter by repository: they are compared one by one.
    assert await nearest_five() == (5, True)
    assert await own.mark_memories_stale("another", tenant="acme") == 301
    assert await size() == before, "no new version is inserted into the graph"
    assert await nearest_five() == (0, True)


async def test_the_first_hits_do_not_depend_on_the_limit(own: Database) -> None:
    await own.isolate_tenant("acme")
    most, _ = await nearest(own, "acme", limit=100)
    for limit in (1, 10, 50):
        assert (await nearest(own, "acme", limit=limit))[0] == most[:limit]


async def test_only_a_search_with_a_filter_ranks_more_rows_than_it_returns(
    own: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await own.isolate_tenant("acme")
    ranked, build = [], hybrid.vector_statement

    def note(entity: Any, scan: Any, *arguments: Any, **options: Any) -> Any:
        ranked.append(scan.limit)
        return build(entity, scan, *arguments, **options)

    monkeypatch.setattr(hybrid, "vector_statement", note)
    async with own.reader(tenant="acme") as view:
        for condition in (None, where("source_type").equals("doc")):
            assert len(await view.knowledge.vector_search(NEAR, limit=5, where=condition)) == 5
    assert ranked == [5, 100]


async def test_tenants_are_listed_by_the_cost_of_their_searches(own: Database) -> None:
    await own.isolate_tenant("acme")
    figures = await own.tenants()
    assert [(one.tenant, one.table, one.rows, one.has_own_index) for one in figures] == [
        ("acme", "knowledge", 150, True),
        ("other", "knowledge", 3, False),
        ("acme", "learning_memories", 1, True),
    ]
    assert all(one.bytes > 0 and one.search_ms > 0 for one in figures)


async def test_maintenance_and_a_load_build_the_indexes_of_large_tenants(
    own: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenant_indexes, "LARGE_COMPONENTS", 100 * DIMENSIONS)
    assert (await own.maintain()).indexed == (OF_ACME,)
    assert (await own.maintain()).indexed == ()
    assert not (await nearest(own, "acme"))[1]
    await own.release_tenant("acme")
    async with own.initial_load(KnowledgeChunk):
        assert (await nearest(own, "acme"))[1]
    assert await check(own.engine) == []
    async with own.engine.connect() as connection:
        built = await connection.run_sync(tenant_indexes.usable_indexes)
    assert built == {OF_ACME}


async def _begun(connection: AsyncConnection) -> None:
    """Wait until an index is being built, and fail after a minute."""
    # In a transaction the server would repeat its first answer.
    await connection.execution_options(isolation_level="AUTOCOMMIT")
    for _ in range(3_000):
        if await connection.scalar(text("SELECT count(*) FROM pg_stat_progress_create_index")):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("no index is being built")


async def test_an_interrupted_build_is_repeated(own: Database) -> None:
    snapshot = Isolation.REPEATABLE_READ  # CONCURRENTLY waits for it
    async with own.unit_of_work(tenant="acme", isolation=snapshot) as holder:
        await holder.knowledge.count()
        building = asyncio.create_task(own.isolate_tenant("acme"))
        async with own.engine.connect() as connection:
            await _begun(connection)
        building.cancel()
        with pytest.raises(asyncio.CancelledError):
            await building
    assert (await nearest(own, "acme"))[1]
    assert OF_ACME in await own.isolate_tenant("acme")
    assert not (await nearest(own, "acme"))[1]


async def test_wrong_use_is_refused(own: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for call in (own.isolate_tenant, own.release_tenant):
        with pytest.raises(InvalidInput, match="no table has an embedding of the tenant 'none'"):
            await call("none")
        with pytest.raises(InvalidInput, match="a tenant is 1 to 100"):
            await call("a tenant'; --")
    async with own.initial_load(KnowledgeChunk):
        for call in (own.isolate_tenant, own.release_tenant):
            with pytest.raises(LockTimeout, match="an initial load is running"):
                await call("acme")
        assert (await own.maintain()).indexed == ()
    monkeypatch.setattr(requirements, "OLDEST_PGVECTOR", (99, 0))
    with pytest.raises(MigrationFailed, match=r"pgvector 99\.0 or newer is needed"):
        await own.isolate_tenant("acme")


async def test_row_level_security_hides_no_rows_from_an_index_or_a_list(
    own: Database, own_url: SecretStr
) -> None:
    await operations.enable_row_level_security(own.engine)
    async with Database.from_url(own_url) as isolated:
        assert await isolated.isolate_tenant("acme") == [OF_ACME, MEMORIES_OF_ACME]
        assert {one.tenant for one in await isolated.tenants()} == {"acme", "other"}
        assert not (await nearest(isolated, "acme"))[1]
        assert (await nearest(isolated, "other"))[1]
