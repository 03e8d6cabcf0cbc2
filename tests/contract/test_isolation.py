"""No operation returns or changes the rows of another tenant.

No operation tells one of another's rows, or touches them, though both have the same ids and keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from domain import Cursor, TenantMismatch
from repositories import Database, FakeDatabase
from repositories.fakes.tenant_rows import TenantRows
from repositories.testing.tables import empty
from tests.conftest import DIMENSIONS
from tests.contract.calls import TenantData
from tests.contract.foreign import (
    OURS,
    THEIRS,
    a_database,
    a_fake,
    differing,
    outcomes_of_every_operation,
)
from tests.contract.suites import samples
from tests.contract.suites.kinds import KINDS, write
from tests.contract.unguarded import without_the_predicate

if TYPE_CHECKING:
    from tests.contract.suites import Store

both_situations = pytest.mark.parametrize(
    "we_have_the_same", [False, True], ids=["all-is-theirs", "we-have-the-same"]
)


@pytest.fixture
def data() -> Iterator[TenantData]:
    """Return the data of the other tenant; entities accept embeddings while a database is open."""
    database = FakeDatabase(dimensions=DIMENSIONS)
    yield TenantData(2)
    del database


async def on_a_fake(data: TenantData, ours: TenantData | None = None) -> list[str]:
    alone = await outcomes_of_every_operation(await a_fake(ours, None), data)
    return differing(alone, await outcomes_of_every_operation(await a_fake(ours, data), data))


async def on_postgresql(
    database: Database, data: TenantData, ours: TenantData | None = None, *, only: str = ""
) -> list[str]:
    alone = await outcomes_of_every_operation(
        await a_database(database, ours, None), data, only=only
    )
    await empty(database)
    return differing(
        alone,
        await outcomes_of_every_operation(await a_database(database, ours, data), data, only=only),
    )


@both_situations
async def test_no_operation_of_the_fake_meets_another_tenants_rows(
    data: TenantData, we_have_the_same: bool
) -> None:
    assert await on_a_fake(data, data if we_have_the_same else None) == []


@both_situations
async def test_no_operation_on_postgresql_meets_another_tenants_rows(
    postgres: Database, data: TenantData, we_have_the_same: bool
) -> None:
    assert await on_postgresql(postgres, data, data if we_have_the_same else None) == []


async def test_without_the_predicate_the_operations_that_leak_are_found(
    postgres: Database, data: TenantData
) -> None:
    with without_the_predicate():
        operations = await on_postgresql(postgres, data, only=".memories.")
    assert {
        "uow.memories.get",
        "view.memories.count",
        "uow.memories.stream",
        "uow.memories.delete_stale",
    } <= set(operations)


async def test_a_fake_without_the_predicate_is_found_as_well(
    data: TenantData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TenantRows, "_owns", lambda *_: True)
    assert {"uow.reviews.list", "view.findings.count", "uow.memories.delete_stale"} <= set(
        await on_a_fake(data)
    )


async def test_a_cursor_of_another_tenants_listing_shows_nothing_of_it(store: Store) -> None:
    theirs, ours = [samples.review() for _ in range(3)], [samples.review() for _ in range(2)]
    await write(store, *theirs, tenant=THEIRS)
    await write(store, *ours, tenant=OURS)
    async with store.reader(tenant=THEIRS) as view:
        cursor = (await view.reviews.page(limit=1)).next
    assert cursor is not None
    async with store.reader(tenant=OURS) as view:
        page = await view.reviews.page(after=Cursor.parse(str(cursor)), limit=10)
    assert [review.id for review in page.items] == [review.id for review in ours]


async def test_an_entity_that_was_read_or_written_stays_its_tenants(store: Store) -> None:
    written, of_many, of_two = (samples.review() for _ in range(3))
    async with store.unit_of_work(tenant=THEIRS) as uow:
        uow.reviews.add(written)
        await uow.commit()
    async with store.unit_of_work(tenant=THEIRS) as uow:
        await uow.reviews.add_many([of_many])
        uow.reviews.add(of_two)
        await uow.commit()
    async with store.unit_of_work(tenant=THEIRS) as uow:
        tracked = await uow.reviews.get(written.id)
    async with store.reader(tenant=THEIRS) as view:
        read = await view.reviews.get(written.id)
    for theirs in (written, of_many, of_two, tracked, read):
        async with store.unit_of_work(tenant=OURS) as uow:
            with pytest.raises(TenantMismatch):
                uow.reviews.add(theirs)
            with pytest.raises(TenantMismatch):
                await uow.reviews.add_many([theirs])
            assert theirs.tenant == THEIRS


async def test_an_entity_that_was_discarded_may_be_written_for_another_tenant(store: Store) -> None:
    review = samples.review()
    async with store.unit_of_work(tenant=THEIRS) as uow:
        uow.reviews.add(review)
        await uow.flush()
    async with store.unit_of_work(tenant=OURS) as uow:
        uow.reviews.add(review)
        await uow.commit()
    async with store.reader(tenant=OURS) as view:
        assert (await view.reviews.get(review.id)).tenant == OURS


def test_every_kind_of_tenants_is_looked_at(data: TenantData) -> None:
    assert {kind.path for kind in KINDS if kind.is_of_tenant} == data.entities.keys()
