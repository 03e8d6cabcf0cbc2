"""Hybrid searches whose hits are weighed by age, or chosen to differ."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from domain import Diversity, InvalidInput, Recency, where
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import REPO, chunk, memory, vectors_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from domain import SearchHits
    from tests.contract.suites.store import Store

DAY = timedelta(days=1)


def _ago(days: float) -> datetime:
    return datetime.now(UTC) - days * DAY


def _names(hits: SearchHits[Any]) -> list[str]:
    return [hit.item.chunk_id for hit in hits]


class RecencyContract:
    """A hit counts by its age: half as much after each half-life."""

    async def test_a_score_is_halved_with_every_half_life(self, store: Store) -> None:
        vector = await vectors_of(store)
        ages = {"new": 0, "week": 7, "fortnight": 14}
        await write(
            store,
            *(
                chunk(
                    name,
                    "deadline",
                    embedding=vector(1.0),
                    created_at=_ago(90),
                    updated_at=_ago(age),
                )
                for name, age in ages.items()
            ),
        )
        async with store.reader() as view:
            plain = {
                hit.item.chunk_id: hit
                for hit in await view.knowledge.hybrid_search("deadline", vector(1.0))
            }
            hits = await view.knowledge.hybrid_search(
                "deadline", vector(1.0), recency=Recency(half_life_days=7)
            )
        assert _names(hits) == ["new", "week", "fortnight"]
        for hit, share in zip(hits, (1, 1 / 2, 1 / 4), strict=True):
            before = plain[hit.item.chunk_id]
            assert hit.score == pytest.approx(before.score * share, rel=1e-3)
            assert (hit.distance, hit.vector_rank, hit.keyword_rank) == (
                before.distance,
                before.vector_rank,
                before.keyword_rank,
            )

    async def test_a_new_passage_overtakes_a_better_one_before_the_limit(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        old = chunk("old", "deadline", embedding=vector(1.0), updated_at=_ago(1_000))
        await write(
            store, old, chunk("new", "elsewhere", embedding=vector(1.0, 1.0), updated_at=_ago(0))
        )
        async with store.reader() as view:
            assert _names(await view.knowledge.hybrid_search("deadline", vector(1.0), limit=1)) == [
                "old"
            ]
            [hit] = await view.knowledge.hybrid_search(
                "deadline", vector(1.0), limit=1, recency=Recency()
            )
        assert hit.item.chunk_id == "new"

    async def test_what_is_from_the_future_is_new_and_what_is_ancient_still_found(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        future = chunk("future", "deadline", embedding=vector(1.0), updated_at=_ago(-10))
        ancient = chunk(
            "ancient",
            "deadline",
            embedding=vector(1.0),
            updated_at=datetime(1970, 1, 1, tzinfo=UTC),
        )
        await write(store, future, ancient)
        async with store.reader() as view:
            plain = await view.knowledge.hybrid_search(
                "deadline", vector(1.0), where=where("chunk_id").equals("future")
            )
            hits = await view.knowledge.hybrid_search(
                "deadline", vector(1.0), recency=Recency(half_life_days=0.001)
            )
        assert _names(hits) == ["future", "ancient"]
        assert hits[0].score == pytest.approx(plain[0].score)
        assert 0 <= hits[1].score < 1e-9

    async def test_a_memorys_age_is_that_of_its_creation(self, store: Store) -> None:
        vector = await vectors_of(store)
        await write(
            store,
            *(
                memory(f"deadline {days}", embedding=vector(1.0), created_at=_ago(days))
                for days in (60, 0, 30)
            ),
        )
        async with store.reader() as view:
            hits = await view.memories.hybrid_search(
                "deadline", vector(1.0), repo=REPO, recency=Recency()
            )
        assert [hit.item.finding_text for hit in hits] == [
            "deadline 0",
            "deadline 30",
            "deadline 60",
        ]

    @pytest.mark.parametrize("half_life_days", [0, -1, float("nan"), float("inf"), 1e-9])
    async def test_a_half_life_is_a_length_of_time(
        self, store: Store, half_life_days: float
    ) -> None:
        with pytest.raises(InvalidInput):
            Recency(half_life_days=half_life_days)


class DiversityContract:
    """Hits do not repeat each other, by maximal marginal relevance."""

    async def test_of_likenesses_one_is_chosen_before_what_differs_and_the_others_after(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        await _alike_and_unlike(store, vector)
        async with store.reader() as view:
            plain = await view.knowledge.hybrid_search("deadline", vector(1.0))
            assert _names(plain) == ["best", "twin", "other"]
            two = await view.knowledge.hybrid_search(
                "deadline", vector(1.0), limit=2, diversity=Diversity(lambda_=0.4)
            )
            assert _names(two) == ["best", "other"]
            hits = await view.knowledge.hybrid_search(
                "deadline", vector(1.0), limit=3, diversity=Diversity(lambda_=0.4)
            )
            assert _names(hits) == ["best", "other", "twin"]
            assert {hit.item.chunk_id: hit.score for hit in hits} == {
                hit.item.chunk_id: hit.score for hit in plain
            }

    async def test_with_relevance_alone_nothing_changes(self, store: Store) -> None:
        vector = await vectors_of(store)
        await _alike_and_unlike(store, vector)
        async with store.reader() as view:
            plain = await view.knowledge.hybrid_search("deadline", vector(1.0))
            assert (
                await view.knowledge.hybrid_search(
                    "deadline", vector(1.0), diversity=Diversity(lambda_=1)
                )
                == plain
            )
            both = await view.knowledge.hybrid_search(
                "deadline",
                vector(1.0),
                diversity=Diversity(lambda_=1),
                recency=Recency(half_life_days=1e6),
            )
            assert _names(both) == _names(plain)

    async def test_without_an_embedding_a_passage_is_like_no_other(self, store: Store) -> None:
        vector = await vectors_of(store)
        await _alike_and_unlike(store, vector)
        await write(store, chunk("words alone", "deadline and more words than the others have"))
        async with store.reader() as view:
            hits = await view.knowledge.hybrid_search(
                "deadline", vector(1.0), diversity=Diversity(lambda_=0.1)
            )
        assert _names(hits)[0] == "best"
        assert _names(hits)[-1] == "twin"

    async def test_memories_differ_too_and_nothing_is_found_where_nothing_is(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        async with store.reader() as view:
            assert (
                list(
                    await view.memories.hybrid_search(
                        "deadline", vector(1.0), repo=REPO, diversity=Diversity()
                    )
                )
                == []
            )
        texts = {
            "deadline one": vector(1.0),
            "deadline two": vector(1.0, 0.01),
            "deadline three": vector(0.6, 0.8),
        }
        await write(
            store, *(memory(text, embedding=embedding) for text, embedding in texts.items())
        )
        async with store.reader() as view:
            hits = await view.memories.hybrid_search(
                "deadline", vector(1.0), repo=REPO, limit=2, diversity=Diversity(lambda_=0.4)
            )
        assert [hit.item.finding_text for hit in hits] == ["deadline one", "deadline three"]

    @pytest.mark.parametrize("lambda_", [-0.1, 1.1, float("nan")])
    async def test_lambda_is_a_share(self, store: Store, lambda_: float) -> None:
        with pytest.raises(InvalidInput):
            Diversity(lambda_=lambda_)


async def _alike_and_unlike(store: Store, vector: Callable[..., Any]) -> None:
    vectors = {"best": vector(1.0), "twin": vector(1.0, 0.01), "other": vector(0.6, 0.8)}
    await write(
        store,
        *(chunk(name, "deadline", embedding=embedding) for name, embedding in vectors.items()),
    )
