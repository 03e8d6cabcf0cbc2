"""Vector search of passages. Scores are between 0 and 1 and depend on nothing but the hit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from domain import (
    Distance,
    InvalidEmbedding,
    InvalidFilter,
    InvalidInput,
    Vector,
    vector_score,
    where,
)
from domain.values.filters import AnyOf
from tests.contract.suites.kinds import facts, write
from tests.contract.suites.samples import chunk, vectors_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domain import KnowledgeChunk, SearchHits
    from tests.contract.suites.store import Store

POINTS = {
    "same": (1.0, 0.0),
    "longer": (3.0, 0.0),
    "near": (1.0, 1.0),
    "square": (0.0, 1.0),
    "opposite": (-2.0, 0.0),
}
"""By name, a vector's first two components; (1, 0) is asked for."""

DISTANCES: dict[Distance, dict[str, float]] = {
    Distance.COSINE: {"same": 0, "longer": 0, "near": 1 - 0.5**0.5, "square": 1, "opposite": 2},
    Distance.L2: {"same": 0, "longer": 2, "near": 1, "square": 2**0.5, "opposite": 3},
    Distance.INNER_PRODUCT: {"same": -1, "longer": -3, "near": -1, "square": 0, "opposite": 2},
}
"""pgvector's; that of the inner product is its negative."""


def names(hits: SearchHits[KnowledgeChunk]) -> Sequence[str]:
    """Return the names of the chunks that were found."""
    return [hit.item.chunk_id for hit in hits]


async def _written(store: Store) -> list[KnowledgeChunk]:
    vector = await vectors_of(store)
    chunks = [chunk(name, embedding=vector(*point)) for name, point in POINTS.items()]
    await write(store, *reversed(chunks), chunk("without"))
    return chunks


class VectorSearchContract:
    """As many of the nearest as asked for, whenever as many qualify."""

    @pytest.mark.parametrize("distance", Distance)
    async def test_chunks_come_nearest_first_with_distances_scores_and_ranks(
        self, store: Store, distance: Distance
    ) -> None:
        chunks = await _written(store)
        vector = await vectors_of(store)
        async with store.reader() as view:
            hits = await view.knowledge.vector_search(vector(1.0), distance=distance)
        expected = DISTANCES[distance]
        ids = {one.chunk_id: one.id for one in chunks}
        assert names(hits) == sorted(expected, key=lambda name: (expected[name], ids[name])), (
            "ties by id"
        )
        assert [hit.distance for hit in hits] == pytest.approx(
            [expected[name] for name in names(hits)], abs=1e-6
        )
        assert [hit.score for hit in hits] == pytest.approx(
            [vector_score(expected[name], distance) for name in names(hits)], abs=1e-6
        )
        assert all(0 <= hit.score <= 1 for hit in hits)
        assert [
            (hit.vector_rank, hit.keyword_rank, hit.keyword_score, hit.matched_terms)
            for hit in hits
        ] == [(rank, None, None, ()) for rank in range(1, len(hits) + 1)]

    async def test_a_hit_is_the_chunk_without_its_embedding_and_is_not_tracked(
        self, store: Store
    ) -> None:
        await _written(store)
        vector = await vectors_of(store)
        async with store.unit_of_work() as uow:
            [hit] = await uow.knowledge.vector_search(vector(1.0), limit=1)
            assert facts(hit.item) == facts(await uow.knowledge.get(hit.item.id))
            assert "embedding" not in vars(hit.item)
            hit.item.title = "changed"
            await uow.commit()
        async with store.reader() as view:
            assert (await view.knowledge.get(hit.item.id)).title is None

    @pytest.mark.parametrize("distance", Distance)
    async def test_a_least_score_leaves_out_exactly_what_is_below_it(
        self, store: Store, distance: Distance
    ) -> None:
        await _written(store)
        vector = await vectors_of(store)
        scores = {
            name: vector_score(value, distance) for name, value in DISTANCES[distance].items()
        }
        async with store.reader() as view:
            for least in (-1.0, 0.0, 0.01, 0.2, 0.45, 0.6, 0.8, 0.99, 1.01):
                hits = await view.knowledge.vector_search(
                    vector(1.0), min_score=least, distance=distance
                )
                assert set(names(hits)) == {
                    name for name, score in scores.items() if score >= least
                }, least
                assert (
                    list(names(hits))
                    == names(await view.knowledge.vector_search(vector(1.0), distance=distance))[
                        : len(hits)
                    ]
                )

    async def test_a_score_of_one_is_at_least_one(self, store: Store) -> None:
        await _written(store)
        vector = await vectors_of(store)
        async with store.reader() as view:
            assert set(names(await view.knowledge.vector_search(vector(1.0), min_score=1.0))) == {
                "same",
                "longer",
            }
            l2 = await view.knowledge.vector_search(
                vector(1.0), min_score=1.0, distance=Distance.L2
            )
            assert names(l2) == ["same"]

    @pytest.mark.parametrize("distance", Distance)
    async def test_the_score_of_a_hit_is_a_least_score_that_includes_it(
        self, store: Store, distance: Distance
    ) -> None:
        vector = await vectors_of(store)
        angles = (0.1 + n * 0.07 for n in range(20))
        await write(
            store,
            *(chunk(f"{a:.2f}", embedding=vector(math.cos(a) * 1.7, math.sin(a))) for a in angles),
        )
        async with store.reader() as view:
            hits = await view.knowledge.vector_search(vector(1.0), limit=20, distance=distance)
            for number, hit in enumerate(hits, start=1):
                same = await view.knowledge.vector_search(
                    vector(1.0), limit=20, distance=distance, min_score=hit.score
                )
                assert names(same) == names(hits)[:number]

    async def test_as_many_come_as_asked_for_also_of_few_that_meet_a_filter(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        total = 300
        chunks = [
            chunk(
                f"{n:03}",
                embedding=vector(math.cos(n / total), math.sin(n / total)),
                source_type="code" if n % 20 else "doc",
            )
            for n in range(total)
        ]
        await write(store, *chunks)
        few = where("source_type").equals("doc")
        async with store.unit_of_work() as uow:
            for limit in (1, 41, 150, total, 10_000):
                assert (
                    names(await uow.knowledge.vector_search(vector(1.0), limit=limit))
                    == [f"{n:03}" for n in range(total)][:limit]
                )
            for limit in (1, 10, 15):
                hits = await uow.knowledge.vector_search(vector(1.0), limit=limit, where=few)
                assert names(hits) == [f"{n:03}" for n in range(0, total, 20)][:limit]
            assert await uow.knowledge.delete_where(where("chunk_id").less_than("100")) == 100
            assert names(await uow.knowledge.vector_search(vector(1.0), limit=3)) == [
                "100",
                "101",
                "102",
            ]
            far = await uow.knowledge.vector_search(
                vector(1.0), limit=3, where=where("chunk_id").at_least("290")
            )
            assert names(far) == ["290", "291", "292"]

    async def test_a_hundred_copies_of_one_vector_are_all_found(self, store: Store) -> None:
        vector = await vectors_of(store)
        copies = [chunk(embedding=vector(1.0)) for _ in range(100)]
        await write(store, *copies, chunk("other", embedding=vector(0.0, 1.0)))
        async with store.reader() as view:
            hits = await view.knowledge.vector_search(vector(1.0), limit=101)
        assert [hit.item.id for hit in hits][:100] == [one.id for one in copies]
        assert hits[100].item.chunk_id == "other"

    async def test_only_the_tenants_chunks_and_what_meets_the_filter_are_found(
        self, store: Store
    ) -> None:
        await _written(store)
        vector = await vectors_of(store)
        await write(store, chunk("theirs", embedding=vector(1.0)), tenant="other")
        async with store.reader(tenant="other") as view:
            assert names(await view.knowledge.vector_search(vector(1.0))) == ["theirs"]
            assert names(await view.knowledge.vector_search(vector(1.0), where=AnyOf())) == []
        async with store.reader() as view:
            chosen = where("chunk_id").one_of(["near", "square", "without"])
            assert names(await view.knowledge.vector_search(vector(1.0), where=chosen)) == [
                "near",
                "square",
            ]
            with pytest.raises(InvalidFilter):
                await view.knowledge.vector_search(vector(1.0), where=where("nonsense").exists())

    async def test_what_was_just_written_is_found(self, store: Store) -> None:
        vector = await vectors_of(store)
        async with store.unit_of_work() as uow:
            uow.knowledge.add(chunk("added", embedding=vector(1.0)))
            await uow.knowledge.upsert_many([chunk("upserted", embedding=vector(0.0, 1.0))])
            assert names(await uow.knowledge.vector_search(vector(1.0))) == ["added", "upserted"]
            await uow.knowledge.upsert_many(
                [
                    chunk("upserted", embedding=vector(2.0)),
                    chunk("added", embedding=vector(0.0, 1.0)),
                ]
            )
            assert names(await uow.knowledge.vector_search(vector(1.0))) == ["upserted", "added"]

    async def test_a_vector_may_be_any_sequence_of_numbers(self, store: Store) -> None:
        await _written(store)
        query = (await vectors_of(store))(1.0)
        whole: Any = tuple(int(component) for component in query.to_list())
        async with store.reader() as view:
            results = [
                names(await view.knowledge.vector_search(form))
                for form in (query, query.to_list(), whole)
            ]
        assert results[0] == results[1] == results[2] != []

    async def test_a_vector_that_cannot_be_near_anything_is_refused_also_where_nothing_is(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        wrongs: tuple[Any, ...] = (
            vector(),
            vector(math.nan),
            vector(math.inf),
            vector(1e30),
            vector(1e-30),
            Vector([1.0]),
            [],
            [*vector(1.0).to_list(), 0.0],
            [vector(1.0).to_list()],
            "[1,0]",
            [1e39, *vector(1.0).to_list()[1:]],
            [True, *vector(1.0).to_list()[1:]],
            ["1", *vector(1.0).to_list()[1:]],
        )
        async with store.unit_of_work() as uow:
            for wrong in wrongs:
                for ask in (
                    uow.knowledge.vector_search(wrong),
                    uow.knowledge.hybrid_search("words", wrong),
                ):
                    with pytest.raises(InvalidEmbedding) as refusal:
                        await ask
                    assert refusal.value.field == "embedding"
            for limit in (0, -1, 10_001):
                for ask in (
                    uow.knowledge.vector_search(vector(1.0), limit=limit),
                    uow.knowledge.keyword_search("words", limit=limit),
                    uow.knowledge.keyword_search("", limit=limit),
                    uow.knowledge.hybrid_search("words", vector(1.0), limit=limit),
                ):
                    with pytest.raises(InvalidInput) as limited:
                        await ask
                    assert limited.value.field == "limit"
            hits = await uow.knowledge.vector_search(vector(1.0))
            assert (len(hits), names(hits), hits.exact) == (0, [], True)
