"""The contract of every repository, for each kind of entity."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import uuid_utils

from domain import AlreadyExists, InvalidInput, TenantMismatch, where
from repositories.testing.contract import assert_reads_agree
from tests.contract.suites.kinds import KINDS, Kind, facts, made, put, write
from tests.contract.suites.samples import chunk, review

if TYPE_CHECKING:
    from domain.schema.base import Entity
    from tests.contract.suites.store import Store

every_kind = pytest.mark.parametrize("kind", KINDS, ids=str)
every_writable_kind = pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.is_written_by_add], ids=str
)
every_kind_of_tenants = pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.is_of_tenant], ids=str
)


async def _saved(store: Store, kind: Kind, number: int, **values: Any) -> list[Any]:
    """Write entities of the kind and return them in the order of their ids."""
    groups = list(made(kind, number))
    await write(store, *chain.from_iterable(groups), **values)
    return [group[-1] for group in groups]


class CommonContract:
    """Each kind is read, written and kept apart by tenants in the same way."""

    @every_kind
    async def test_every_way_of_reading_agrees_in_a_reader_and_in_a_unit_of_work(
        self, store: Store, kind: Kind
    ) -> None:
        entities = await _saved(store, kind, 5)
        async with store.reader() as view:
            await assert_reads_agree(kind.read(view), entities)
        async with store.unit_of_work() as uow:
            await assert_reads_agree(kind.read(uow), entities)

    @every_kind
    async def test_nothing_is_found_where_nothing_is(self, store: Store, kind: Kind) -> None:
        async with store.reader() as view:
            repository = kind.read(view)
            assert await repository.find(uuid4()) is None
            assert await repository.get_many([uuid4()]) == {}
            assert not await repository.exists()
            assert await repository.count() == 0
            assert await repository.list() == []
            page = await repository.page()
            assert (list(page.items), page.next) == ([], None)
            assert [entity async for entity in repository.stream()] == []

    @every_writable_kind
    async def test_what_is_added_one_by_one_or_many_at_once_lasts_and_is_deleted_once(
        self, store: Store, kind: Kind
    ) -> None:
        parents, entities = _apart(list(made(kind, 4)))
        async with store.unit_of_work() as uow:
            repository = kind.writer(uow)
            await put(uow, *parents)
            assert repository.add(entities[0]) is entities[0]
            assert await repository.count() == 1, "it is written before the next statement"
            assert await repository.add_many([]) == 0
            assert await repository.add_many(entities[1:3]) == 2
            assert await repository.add_many(entity for entity in entities[3:]) == 1
            await uow.commit()
        async with store.unit_of_work() as uow:
            repository = kind.writer(uow)
            assert [entity.id for entity in await repository.list()] == [
                entity.id for entity in entities
            ]
            assert hasattr(repository, "delete") is kind.is_deletable
            if not kind.is_deletable:
                return
            assert await repository.delete(entities[1].id)
            assert not await repository.delete(entities[1].id)
            assert not await repository.delete(uuid4())
            await uow.commit()
        async with store.reader() as view:
            assert await kind.read(view).find(entities[1].id) is None
            assert await kind.read(view).count() == 3

    @every_kind
    async def test_ids_can_be_text_or_of_another_uuid_class(self, store: Store, kind: Kind) -> None:
        [entity] = await _saved(store, kind, 1)
        forms: tuple[Any, ...] = (
            entity.id,
            str(entity.id),
            str(entity.id).upper(),
            entity.id.hex,
            entity.id.urn,
            uuid_utils.UUID(str(entity.id)),
        )
        async with store.unit_of_work() as uow:
            repository = kind.read(uow)
            for form in forms:
                assert (await repository.get(form)).id == entity.id
                assert await repository.find(form) is not None
                assert await repository.count(where("id").one_of([form])) == 1
                assert await repository.count(where("id").equals(form)) == 1
            assert list(await repository.get_many(forms)) == [entity.id]
            if kind.is_deletable:
                assert await kind.writer(uow).delete(forms[1])
                assert not await kind.writer(uow).delete(forms[-1])

    @every_kind
    async def test_an_id_of_another_type_is_refused_and_the_argument_named(
        self, store: Store, kind: Kind
    ) -> None:
        wrongs: tuple[Any, ...] = ("x", "", "\0", b"0" * 16, 7, None, 1.5, ("a",))
        async with store.unit_of_work() as uow:
            repository = kind.read(uow)
            acts: list[Any] = [
                repository.get,
                repository.find,
                lambda key: repository.count(where("id").equals(key)),
            ]
            if kind.is_deletable:
                acts.append(kind.writer(uow).delete)
            for act in acts:
                for wrong in wrongs:
                    with pytest.raises(InvalidInput) as refusal:
                        await act(wrong)
                    assert refusal.value.field == "id"
            collections: tuple[Any, ...] = (*([one] for one in wrongs), "x", None, 7)
            for wrong in collections:
                with pytest.raises(InvalidInput) as refusal:
                    await repository.get_many(wrong)
                assert refusal.value.field == "ids"
            assert await repository.count() == 0, "the unit of work can still be used"

    @every_writable_kind
    async def test_an_item_that_is_not_the_entity_is_refused_and_the_entity_named(
        self, store: Store, kind: Kind
    ) -> None:
        *_, entity = kind.make()
        expected = type(entity).__name__
        other = chunk() if kind.path != "knowledge" else review()
        wrongs: tuple[Any, ...] = (facts(entity), other, None, "ab", 7)
        async with store.unit_of_work() as uow:
            repository = kind.writer(uow)
            for wrong in wrongs:
                with pytest.raises(InvalidInput, match=f"expected {expected}, not "):
                    repository.add(wrong)
                for items in ([wrong], [entity, wrong], iter([entity, wrong])):
                    with pytest.raises(InvalidInput, match=f"expected {expected}, not "):
                        await repository.add_many(items)
            advice = rf"expected {expected}, not the class {expected}: pass .*{expected}\(…\)"
            of_class: Any = type(entity)
            with pytest.raises(InvalidInput, match=advice):
                repository.add(of_class)
            with pytest.raises(InvalidInput, match=advice):
                await repository.add_many([of_class])
            no_rows: tuple[Any, ...] = (entity, None, 7)
            for wrong in no_rows:
                with pytest.raises(InvalidInput, match=f"expected an iterable of {expected}, not "):
                    await repository.add_many(wrong)
            assert await repository.count() == 0, "the unit of work can still be used"

    @every_writable_kind
    async def test_the_same_id_twice_raises_and_writes_nothing(
        self, store: Store, kind: Kind
    ) -> None:
        [existing] = await _saved(store, kind, 1)
        async with store.unit_of_work() as uow:
            kind.writer(uow).add(existing.model_copy())
            with pytest.raises(AlreadyExists) as refusal:
                await uow.flush()
        # A partition's rule has the partition's name.
        assert (refusal.value.table or "").startswith(type(existing).__tablename__)
        async with store.reader() as view:
            assert await kind.read(view).count() == 1

    @every_kind_of_tenants
    async def test_a_tenant_neither_sees_nor_deletes_what_is_another_ones(
        self, store: Store, kind: Kind
    ) -> None:
        [theirs] = await _saved(store, kind, 1, tenant="theirs")
        assert theirs.tenant == "theirs"
        async with store.unit_of_work() as uow:
            repository = kind.read(uow)
            assert await repository.find(theirs.id) is None
            assert await repository.get_many([theirs.id]) == {}
            assert (
                await repository.exists(),
                await repository.count(),
                await repository.list(),
            ) == (False, 0, [])
            assert (await repository.page()).items == []
            assert [entity async for entity in repository.stream()] == []
            if kind.is_written_by_add:
                if kind.is_deletable:
                    assert not await kind.writer(uow).delete(theirs.id)
                with pytest.raises(TenantMismatch):
                    kind.writer(uow).add(type(theirs)(**{**facts(theirs), "tenant": "theirs"}))
            await uow.commit()
        async with store.reader(tenant="theirs") as view:
            assert facts(await kind.read(view).get(theirs.id)) == facts(theirs)


def _apart(groups: list[tuple[Entity, ...]]) -> tuple[list[Entity], list[Any]]:
    return [parent for group in groups for parent in group[:-1]], [group[-1] for group in groups]
