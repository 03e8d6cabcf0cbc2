"""Searches and recall of learning memories.

Nearest, shared by an owner, by words, and all of it together.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from domain import InvalidEmbedding, InvalidInput, Match, Vector, Weights
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import OWNER, REPO, UNICODE, memory, vectors_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from domain import LearningMemory, SearchHits
    from tests.contract.suites.store import Store


def _texts(hits: SearchHits[LearningMemory]) -> list[str]:
    return [hit.item.finding_text for hit in hits]


def _at(vector: Callable[..., Vector], degrees: float) -> Vector:
    """Return a vector that is so far from the first axis."""
    return vector(math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))


class NearestContract:
    """Live memories of one repository, by cosine."""

    async def test_live_memories_of_the_repository_come_nearest_first_then_by_id(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        near = [
            memory(f"{degrees}", embedding=_at(vector, degrees)) for degrees in (90, 0, 45, 180, 45)
        ]
        others = [
            memory("stale", embedding=vector(1.0), stale=True),
            memory("without"),
            memory("elsewhere", embedding=vector(1.0), repo="acme/web"),
        ]
        await write(store, *near, *others)
        await write(store, memory("theirs", embedding=vector(1.0)), tenant="other")
        async with store.reader() as view:
            hits = await view.memories.nearest(vector(3.0), repo=REPO)
            assert [hit.item.id for hit in hits] == [near[n].id for n in (1, 2, 4, 0, 3)]
            assert [hit.distance for hit in hits] == pytest.approx(
                [0, 1 - 0.5**0.5, 1 - 0.5**0.5, 1, 2], abs=1e-6
            )
            assert [hit.score for hit in hits] == pytest.approx(
                [1, 0.5**0.5, 0.5**0.5, 0, 0], abs=1e-6
            )
            assert [hit.vector_rank for hit in hits] == [1, 2, 3, 4, 5]
            assert [
                hit.item.id for hit in await view.memories.nearest(vector(1.0), repo=REPO, limit=3)
            ] == [hit.item.id for hit in hits[:3]]
            assert _texts(await view.memories.nearest(vector(1.0), repo="acme/none")) == []

    async def test_nothing_farther_than_asked_for_is_found(self, store: Store) -> None:
        vector = await vectors_of(store)
        await write(
            store,
            *(memory(f"{degrees}", embedding=_at(vector, degrees)) for degrees in (0, 45, 90, 135)),
        )
        async with store.reader() as view:
            for farthest, hits in (
                (-1, 0),
                (0, 1),
                (0.2, 1),
                (0.3, 2),
                (1.5, 3),
                (2, 4),
                (math.inf, 4),
                (None, 4),
            ):
                assert (
                    len(await view.memories.nearest(vector(1.0), repo=REPO, max_distance=farthest))
                    == hits
                )

    async def test_a_vector_that_cannot_be_near_anything_and_a_limit_that_is_none_are_refused(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        async with store.unit_of_work() as uow:
            memories = uow.memories
            for wrong in (
                vector(),
                vector(math.nan),
                vector(math.inf),
                [1.0],
                [*vector(1.0).to_list(), 0.0],
            ):
                for ask in (
                    memories.nearest(wrong, repo=REPO),
                    memories.nearest_for_owner(wrong, owner=OWNER, exclude_repo=REPO),
                    memories.hybrid_search("words", wrong, repo=REPO),
                    memories.hybrid_search("", wrong, repo=REPO),
                    memories.recall(wrong, "words", repo=REPO, owner=OWNER),
                    memories.recall(wrong, "", repo=REPO, owner=OWNER),
                ):
                    with pytest.raises(InvalidEmbedding) as refusal:
                        await ask
                    assert refusal.value.field == "embedding"
            for limit in (0, 10_001):
                for ask in (
                    memories.nearest(vector(1.0), repo=REPO, limit=limit),
                    memories.nearest_for_owner(
                        vector(1.0), owner=OWNER, exclude_repo=REPO, limit=limit
                    ),
                    memories.keyword_search("words", repo=REPO, limit=limit),
                    memories.hybrid_search("words", vector(1.0), repo=REPO, limit=limit),
                    memories.recall(vector(1.0), "words", repo=REPO, owner=OWNER, limit=limit),
                ):
                    with pytest.raises(InvalidInput) as limited:
                        await ask
                    assert limited.value.field == "limit"
            assert await uow.memories.count() == 0, "the unit of work can still be used"


class SharedMemoriesContract:
    """Memories that the other repositories of an owner share."""

    async def test_five_repositories_with_most_live_memories_share_them_ties_by_name(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        sizes = {
            "acme/f": 1,
            "acme/b": 1,
            "acme/Z": 1,
            "acme/é": 1,
            "acme/a": 2,
            "acme/c": 3,
            REPO: 9,
        }
        rows = [
            memory(repo, repo=repo, embedding=vector(1.0))
            for repo, size in sizes.items()
            for _ in range(size)
        ]
        stale = [memory(repo="acme/f", embedding=vector(1.0), stale=True) for _ in range(5)]
        without = [memory(repo="acme/é") for _ in range(5)]
        await write(
            store,
            *rows,
            *stale,
            *without,
            memory("whose", repo="whose/x", owner="whose", embedding=vector(1.0)),
        )
        await write(
            store, memory("theirs", repo="acme/theirs", embedding=vector(1.0)), tenant="other"
        )
        async with store.reader() as view:
            hits = await view.memories.nearest_for_owner(
                vector(1.0), owner=OWNER, exclude_repo=REPO, limit=100
            )
            assert sorted(_texts(hits)) == sorted(
                ["acme/c"] * 3 + ["acme/a"] * 2 + ["acme/Z", "acme/b", "acme/f"]
            )
            assert [hit.item.id for hit in hits] == sorted(hit.item.id for hit in hits), (
                "ties by id"
            )
            assert [hit.vector_rank for hit in hits] == list(range(1, 9))
            others = await view.memories.nearest_for_owner(
                vector(1.0), owner="whose", exclude_repo=REPO
            )
            assert _texts(others) == ["whose"]
            assert (
                _texts(
                    await view.memories.nearest_for_owner(
                        vector(1.0), owner="nobody", exclude_repo=""
                    )
                )
                == []
            )

    async def test_each_gives_its_share_and_they_are_merged_by_distance(self, store: Store) -> None:
        vector = await vectors_of(store)
        degrees = {"acme/a": (0, 1, 2, 3), "acme/b": (10, 20), "acme/c": (5,)}
        rows = [
            memory(f"{at}", repo=repo, embedding=_at(vector, at))
            for repo, all_at in degrees.items()
            for at in all_at
        ]
        await write(store, *rows)
        async with store.reader() as view:
            hits = {
                limit: _texts(
                    await view.memories.nearest_for_owner(
                        vector(1.0), owner=OWNER, exclude_repo=REPO, limit=limit
                    )
                )
                for limit in (1, 2, 3, 4, 6, 10)
            }
        assert hits == {
            1: ["0"],
            2: ["0", "5"],
            3: ["0", "5", "10"],
            4: ["0", "1", "5", "10"],
            6: ["0", "1", "5", "10", "20"],
            10: ["0", "1", "2", "3", "5", "10", "20"],
        }


class MemorySearchContract:
    """Live memories of one repository, by words and by both."""

    async def test_live_memories_are_found_by_words(self, store: Store) -> None:
        both, one = (
            memory("Retries never end and leak connections"),
            memory("A connection is opened twice"),
        )
        others = [
            memory("Retries leak", stale=True),
            memory("Retries leak", repo="acme/web"),
            memory(UNICODE),
        ]
        await write(store, both, one, *others)
        await write(store, memory("Retries leak"), tenant="other")
        async with store.reader() as view:
            search = view.memories.keyword_search
            assert _texts(await search("do retries leak connections?", repo=REPO)) == [
                both.finding_text,
                one.finding_text,
            ]
            assert len(await search("connections", repo=REPO, limit=1)) == 1
            assert _texts(await search("retries leak", repo=REPO, match=Match.ALL)) == [
                both.finding_text
            ]
            assert _texts(await search("connection -twice", repo=REPO, match=Match.WEB)) == [
                both.finding_text
            ]
            [hit] = await search("leaks", repo=REPO, explain=True)
            assert hit.matched_terms == ("leak",)
            assert [hit.matched_terms for hit in await search("leaks", repo=REPO)] == [()]
            for blank in ("", " \n", "the and of"):
                assert _texts(await search(blank, repo=REPO)) == []

    async def test_both_ways_are_fused_and_a_blank_query_finds_nothing(self, store: Store) -> None:
        vector = await vectors_of(store)
        near = memory("nothing of the kind", embedding=vector(1.0))
        both = memory("retries leak", embedding=_at(vector, 30))
        words = memory("retries")
        others = [
            memory("retries", stale=True, embedding=vector(1.0)),
            memory("retries", repo="acme/web", embedding=vector(1.0)),
        ]
        await write(store, near, both, words, *others)
        async with store.reader() as view:
            search = view.memories.hybrid_search
            hits = await search("leaking retries", vector(1.0), repo=REPO)
            assert hits[0].item.id == both.id
            assert {hit.item.id for hit in hits} == {near.id, both.id, words.id}
            ranks = {hit.item.id: (hit.vector_rank, hit.keyword_rank) for hit in hits}
            assert ranks == {both.id: (2, 1), near.id: (1, None), words.id: (None, 2)}
            assert len(await search("retries", vector(1.0), repo=REPO, limit=2)) == 2
            heavy = await search(
                "leaking retries", vector(1.0), repo=REPO, weights=Weights(vector=1, keyword=0)
            )
            assert [hit.item.id for hit in heavy][:2] == [near.id, both.id]
            all_words = await search("leaking retries", vector(1.0), repo=REPO, match=Match.ALL)
            assert {hit.item.id for hit in all_words} == {near.id, both.id}
            for blank in ("", " \t\n"):
                assert _texts(await search(blank, vector(1.0), repo=REPO)) == []


class RecallContract:
    """The call that a reviewer makes."""

    async def test_own_memories_come_first_then_shared_ones_and_each_text_once(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        own = [memory("Own far", embedding=_at(vector, 80)), memory("words only retries")]
        shared = [
            memory("own  FAR", repo="acme/web", embedding=vector(1.0)),
            memory("Shared", repo="acme/web", embedding=vector(1.0)),
            memory("Shared too", repo="acme/app", embedding=_at(vector, 10)),
        ]
        await write(store, *own, *shared, memory("stale", stale=True, embedding=vector(1.0)))
        async with store.reader() as view:
            recall = await view.memories.recall(vector(1.0), "retries", repo=REPO, owner=OWNER)
        texts = [(one.hit.item.finding_text, one.shared) for one in recall.memories]
        assert sorted(texts[:2]) == [("Own far", False), ("words only retries", False)]
        assert texts[2:] == [("Shared", True), ("Shared too", True)]
        assert recall.repos == (REPO, "acme/web", "acme/app")
        assert (recall.repo, recall.owner, recall.limit, recall.candidates) == (REPO, OWNER, 10, 4)
        assert recall.shared_pool_used

    async def test_own_memories_alone_fill_the_limit_where_they_can(self, store: Store) -> None:
        vector = await vectors_of(store)
        await write(store, *(memory(f"own {n}", embedding=vector(1.0)) for n in range(3)))
        await write(store, memory("shared", repo="acme/web", embedding=vector(1.0)))
        async with store.reader() as view:
            recall = await view.memories.recall(vector(1.0), "own", repo=REPO, owner=OWNER, limit=2)
        assert [one.shared for one in recall.memories] == [False, False]
        assert (recall.repos, recall.shared_pool_used, recall.candidates) == ((REPO,), False, 3)

    async def test_without_a_text_own_memories_are_found_by_vector(self, store: Store) -> None:
        vector = await vectors_of(store)
        await write(
            store,
            memory("far", embedding=_at(vector, 60)),
            memory("near", embedding=vector(1.0)),
            memory("without"),
        )
        async with store.reader() as view:
            for blank in ("", " \n"):
                recall = await view.memories.recall(vector(1.0), blank, repo=REPO, owner=OWNER)
                assert [one.hit.item.finding_text for one in recall.memories] == ["near", "far"]

    async def test_nothing_is_recalled_where_nothing_was_learned(self, store: Store) -> None:
        vector = await vectors_of(store)
        async with store.reader() as view:
            recall: Any = await view.memories.recall(vector(1.0), "retries", repo=REPO, owner=OWNER)
        assert (recall.memories, recall.repos, recall.shared_pool_used, recall.candidates) == (
            (),
            (),
            False,
            0,
        )
