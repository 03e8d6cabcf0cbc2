"""When embeddings are fetched, and when they are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from domain import NotLoaded
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import chunk, memory, vectors_of

if TYPE_CHECKING:
    from domain import KnowledgeChunk, LearningMemory, ReadRepository
    from tests.contract.suites.store import Store


class EmbeddingsContract:
    """An embedding is large, and comes only where it is asked for."""

    async def test_embeddings_of_chunks_come_where_they_are_asked_for(self, store: Store) -> None:
        vector = (await vectors_of(store))(0.5, -0.25)
        one = chunk(embedding=vector)
        await write(store, one)
        async with store.reader() as view:
            await _embeddings_come_where_asked_for(view.knowledge, one)
        async with store.unit_of_work() as uow:
            await _embeddings_come_where_asked_for(uow.knowledge, one)

    async def test_embeddings_of_memories_come_where_they_are_asked_for(self, store: Store) -> None:
        vector = (await vectors_of(store))(0.5, -0.25)
        one = memory(embedding=vector)
        await write(store, one)
        async with store.reader() as view:
            await _embeddings_come_where_asked_for(view.memories, one)
        async with store.unit_of_work() as uow:
            await _embeddings_come_where_asked_for(uow.memories, one)

    async def test_a_missing_embedding_differs_from_one_that_was_not_read(
        self, store: Store
    ) -> None:
        one = chunk()
        await write(store, one)
        async with store.reader() as view:
            assert (await view.knowledge.get(one.id, with_embedding=True)).embedding is None
            with pytest.raises(NotLoaded):
                _ = (await view.knowledge.get(one.id)).embedding

    async def test_an_embedding_that_was_left_out_can_be_replaced(self, store: Store) -> None:
        vector = await vectors_of(store)
        one = chunk(embedding=vector(1.0))
        await write(store, one)
        async with store.unit_of_work() as uow:
            (await uow.knowledge.get(one.id)).embedding = vector(0.0, 1.0)
            await uow.commit()
        async with store.unit_of_work() as uow:
            (await uow.knowledge.get(one.id)).title = "changed"
            await uow.commit()
        async with store.reader() as view:
            row = await view.knowledge.get(one.id, with_embedding=True)
        assert (row.title, row.embedding) == ("changed", vector(0.0, 1.0))


async def _embeddings_come_where_asked_for(
    repository: ReadRepository[Any], entity: KnowledgeChunk | LearningMemory
) -> None:
    for with_vector in (False, True):
        rows = [
            await repository.get(entity.id, with_embedding=with_vector),
            await repository.find(entity.id, with_embedding=with_vector),
            *(await repository.get_many([entity.id], with_embedding=with_vector)).values(),
            *await repository.list(with_embedding=with_vector),
            *(await repository.page(with_embedding=with_vector)).items,
            *[one async for one in repository.stream(with_embedding=with_vector)],
        ]
        assert len(rows) == 6
        for one in rows:
            if with_vector:
                assert one.embedding == entity.embedding
            else:
                with pytest.raises(NotLoaded) as refusal:
                    _ = one.embedding
                assert refusal.value.field == "embedding"
