"""Hybrid search of passages: how the scores of vectors and of words are combined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from domain import Match, Weights, where
from domain.values.fusion import normalized
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import chunk, vectors_of
from tests.contract.suites.search import names

if TYPE_CHECKING:
    from domain import KnowledgeChunk, SearchHit
    from tests.contract.suites.store import Store


class HybridSearchContract:
    """Both arms, fused by their normalised scores."""

    @pytest.mark.parametrize(
        "weights",
        [Weights(), Weights(vector=1, keyword=0), Weights(vector=0.2, keyword=3)],
        ids=str,
    )
    async def test_both_arms_are_fused_by_their_scores(
        self, store: Store, weights: Weights
    ) -> None:
        vector = await vectors_of(store)
        await _fill(store)
        async with store.reader() as view:
            by_vector = await view.knowledge.vector_search(vector(1.0), limit=40)
            by_words = await view.knowledge.keyword_search("retries deadline", limit=40)
            assert {*names(by_vector)} - {*names(by_words)}, "each arm has a row of its own"
            assert {*names(by_words)} - {*names(by_vector)}
            hits = await view.knowledge.hybrid_search(
                "retries deadline", vector(1.0), weights=weights, limit=100
            )
        near_scores = normalized({hit.item.id: -(hit.distance or 0) for hit in by_vector})
        word_scores = normalized({hit.item.id: _bm25(hit) for hit in by_words})
        assert {hit.item.id for hit in hits} == {*near_scores, *word_scores}
        # One share of the vector arm holds for every hit of the query.
        first = next(hit for hit in hits if hit.item.id not in word_scores)
        share = hits[0].score if not weights.keyword else first.score / near_scores[first.item.id]
        assert [hit.score for hit in hits] == pytest.approx(
            [
                share * near_scores.get(hit.item.id, 0.0)
                + (1 - share) * word_scores.get(hit.item.id, 0.0)
                for hit in hits
            ]
        )
        assert [hit.item.id for hit in hits] == [
            hit.item.id for hit in sorted(hits, key=lambda hit: (-hit.score, hit.item.id))
        ]
        assert all(0 <= hit.score <= 1 for hit in hits)
        near, worded = (
            {hit.item.id: hit for hit in by_vector},
            {hit.item.id: hit for hit in by_words},
        )
        for hit in hits:
            one, other = near.get(hit.item.id), worded.get(hit.item.id)
            assert (hit.vector_rank, hit.distance) == (
                (one.vector_rank, pytest.approx(one.distance)) if one else (None, None)
            )
            words = (
                (other.keyword_rank, pytest.approx(other.keyword_score)) if other else (None, None)
            )
            assert (hit.keyword_rank, hit.keyword_score) == words

    async def test_the_weights_of_a_call_replace_those_of_the_database(self, store: Store) -> None:
        vector = await vectors_of(store)
        await write(
            store,
            chunk("worded", "deadline", embedding=vector(0.0, 1.0)),
            chunk("near", "tables", embedding=vector(1.0)),
        )
        async with store.reader() as view:
            for weights, best in (
                (None, "worded"),
                (Weights(), "worded"),
                (Weights(vector=0.1, keyword=0.9), "worded"),
                (Weights(vector=0.9, keyword=0.1), "near"),
            ):
                hits = await view.knowledge.hybrid_search("deadline", vector(1.0), weights=weights)
                assert names(hits)[0] == best

    async def test_a_threshold_leaves_rows_out_and_keeps_the_scores_of_the_others(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        await _fill(store)
        async with store.reader() as view:
            every = await view.knowledge.hybrid_search("retries deadline", vector(1.0))
            near = await view.knowledge.hybrid_search(
                "retries deadline", vector(1.0), max_distance=0.5
            )
        scores = {hit.item.chunk_id: hit.score for hit in every}
        near_scores = {hit.item.chunk_id: hit.score for hit in near if hit.distance is not None}
        assert near_scores
        assert near_scores == {name: scores[name] for name in near_scores}
        assert "far" not in names(near)

    async def test_copies_of_one_row_have_equal_scores_and_are_ordered_by_id(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        copies = [chunk(f"copy {n}", "deadline", embedding=vector(n + 1.0)) for n in range(6)]
        await write(store, *copies)
        async with store.reader() as view:
            hits = await view.knowledge.hybrid_search("deadline", vector(1.0))
        assert {hit.score for hit in hits} == {1.0}
        assert [hit.item.id for hit in hits] == sorted(one.id for one in copies)

    async def test_first_in_both_arms_is_the_best_that_can_be(self, store: Store) -> None:
        vector = await vectors_of(store)
        await write(
            store,
            chunk("a", "deadline", embedding=vector(1.0)),
            chunk("b", "none", embedding=vector(0.0, 1.0)),
        )
        async with store.reader() as view:
            hits = await view.knowledge.hybrid_search("deadline", vector(1.0))
        assert [(hit.item.chunk_id, hit.vector_rank, hit.keyword_rank) for hit in hits] == [
            ("a", 1, 1),
            ("b", 2, None),
        ]
        assert hits[0].score == pytest.approx(1.0)

    async def test_the_filter_holds_for_both_arms(self, store: Store) -> None:
        vector = await vectors_of(store)
        chunks = await _fill(store)
        chosen = where("source_type").equals("code")
        async with store.reader() as view:
            hits = await view.knowledge.hybrid_search(
                "retries deadline", vector(1.0), where=chosen, limit=100
            )
        assert set(names(hits)) == {one.chunk_id for one in chunks if one.source_type == "code"}

    async def test_as_many_come_as_asked_for_from_the_top(self, store: Store) -> None:
        vector = await vectors_of(store)
        await _fill(store)
        async with store.reader() as view:
            every = names(
                await view.knowledge.hybrid_search("retries deadline", vector(1.0), limit=100)
            )
            for limit in (1, 2, 5):
                assert (
                    names(
                        await view.knowledge.hybrid_search(
                            "retries deadline", vector(1.0), limit=limit
                        )
                    )
                    == every[:limit]
                )

    async def test_without_a_word_what_is_near_is_found(self, store: Store) -> None:
        vector = await vectors_of(store)
        await _fill(store)
        async with store.reader() as view:
            near = names(await view.knowledge.vector_search(vector(1.0)))
            for query in ("", " ", "the of", "nowhere"):
                assert names(await view.knowledge.hybrid_search(query, vector(1.0))) == near

    async def test_the_words_may_be_matched_in_another_way(self, store: Store) -> None:
        vector = await vectors_of(store)
        await write(store, chunk("both", "retry before the deadline"), chunk("one", "deadline"))
        async with store.reader() as view:
            for query, match in (("retry deadline", Match.ALL), ("deadline -retry", Match.WEB)):
                hits = names(await view.knowledge.hybrid_search(query, vector(1.0), match=match))
                assert hits == (["both"] if match is Match.ALL else ["one"])

    async def test_only_the_tenants_chunks_are_found(self, store: Store) -> None:
        vector = await vectors_of(store)
        await _fill(store, tenant="other")
        async with store.reader() as view:
            assert names(await view.knowledge.hybrid_search("retries deadline", vector(1.0))) == []


def _bm25(hit: SearchHit[KnowledgeChunk]) -> float:
    score = hit.keyword_score or 0.0
    return score / (1 - score)


async def _fill(store: Store, **tenant: str) -> list[KnowledgeChunk]:
    vector = await vectors_of(store)
    chunks = [
        chunk("near", "tables", embedding=vector(1.0)),
        chunk("near and worded", "deadline", embedding=vector(1.0, 0.2), source_type="code"),
        chunk("far and best", "retries before the deadline", embedding=vector(0.0, 1.0)),
        chunk("far", "indexes", embedding=vector(-1.0, 0.5), source_type="code"),
        chunk("worded", "retries", source_type="code"),
    ]
    await write(store, *chunks, **tenant)
    return chunks
