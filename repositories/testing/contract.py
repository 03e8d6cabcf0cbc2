"""The generic contract of a repository, for the library's entities and for an application's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from domain import AlreadyExists, NotFound, TenantMismatch, where

if TYPE_CHECKING:
    from domain import DatabasePort, ReadRepository
    from domain.schema.base import Entity


class EntityContract:
    """Tests of every generic operation. Derive a test class, and define `make`.

    Each test runs on the fake and on PostgreSQL, by the fixture `recollect_store`::

        class TestLabels(EntityContract):
            def make(self) -> Sequence[Entity]:
                return [ReviewLabel(label=f"label {uuid4()}")]
    """

    def make(self) -> Sequence[Entity]:
        """Return a new entity, after the entities that it refers to."""
        raise NotImplementedError

    async def _saved(self, store: DatabasePort, number: int, tenant: str = "default") -> list[Any]:
        groups = [self.make() for _ in range(number)]
        async with store.unit_of_work(tenant=tenant) as uow:
            for group in groups:
                for entity in group:
                    uow.repository(type(entity)).add(entity)
            await uow.commit()
        return [group[-1] for group in groups]

    async def test_every_read_agrees_in_a_reader_and_in_a_unit_of_work(
        self, recollect_store: DatabasePort
    ) -> None:
        """Every generic read returns the same rows in a reader and in a unit of work."""
        entities = await self._saved(recollect_store, 5)
        async with recollect_store.reader() as view:
            await assert_reads_agree(view.repository(type(entities[0])), entities)
        async with recollect_store.unit_of_work() as uow:
            await assert_reads_agree(uow.repository(type(entities[0])), entities)

    async def test_an_id_exists_once_and_is_deleted_once(
        self, recollect_store: DatabasePort
    ) -> None:
        """A second entity with the same id is refused, and a second deletion returns False."""
        [entity] = await self._saved(recollect_store, 1)
        async with recollect_store.unit_of_work() as uow:
            uow.repository(type(entity)).add(entity.model_copy())
            with pytest.raises(AlreadyExists):
                await uow.flush()
        async with recollect_store.unit_of_work() as uow:
            assert await uow.repository(type(entity)).delete(entity.id)
            assert not await uow.repository(type(entity)).delete(entity.id)

    async def test_a_tenant_does_not_see_the_rows_of_another(
        self, recollect_store: DatabasePort
    ) -> None:
        """Reads, deletions and additions stay within the tenant."""
        [theirs] = await self._saved(recollect_store, 1, tenant="theirs")
        async with recollect_store.unit_of_work() as uow:
            repository = uow.repository(type(theirs))
            assert await repository.find(theirs.id) is None
            assert (await repository.count(), await repository.list()) == (0, [])
            assert not await repository.delete(theirs.id)
            with pytest.raises(TenantMismatch):
                repository.add(type(theirs)(**{**values_of(theirs), "tenant": "theirs"}))


def values_of(entity: Entity) -> dict[str, Any]:
    """Return the values of an entity without its embedding, which most reads leave out."""
    fields = type(entity).model_fields
    return {
        name: value
        for name, value in vars(entity).items()
        if name in fields and name != "embedding"
    }


async def assert_reads_agree(repository: ReadRepository[Any], entities: Sequence[Any]) -> None:
    """Assert that every generic read returns these five entities, in the order of their ids."""
    first, missing = entities[0], uuid4()
    ids = [entity.id for entity in entities]
    assert values_of(await repository.get(first.id)) == values_of(first)
    same = await repository.find(first.id)
    assert same is not None
    assert values_of(same) == values_of(first)
    assert await repository.find(missing) is None
    with pytest.raises(NotFound) as refusal:
        await repository.get(missing)
    assert (refusal.value.entity, refusal.value.key) == (type(first).__name__, missing)
    some = await repository.get_many([ids[2], missing, ids[0], ids[2]])
    assert [(key, values_of(entity)) for key, entity in some.items()] == [
        (ids[2], values_of(entities[2])),
        (ids[0], values_of(entities[0])),
    ]
    assert await repository.get_many([]) == {}
    only_first = where("id").equals(first.id)
    assert (await repository.exists(), await repository.exists(only_first)) == (True, True)
    assert not await repository.exists(where("id").equals(missing))
    assert (await repository.count(), await repository.count(only_first)) == (len(ids), 1)
    assert [entity.id for entity in await repository.list()] == ids
    assert [
        entity.id for entity in await repository.list(~only_first, limit=2, descending=True)
    ] == ids[:0:-1][:2]
    page = await repository.page(limit=3)
    assert [entity.id for entity in page.items] == ids[:3]
    rest = await repository.page(after=page.next, limit=3)
    assert ([entity.id for entity in rest.items], rest.next) == (ids[3:], None)
    assert [values_of(entity) async for entity in repository.stream(batch_size=2)] == [
        values_of(entity) for entity in entities
    ]
