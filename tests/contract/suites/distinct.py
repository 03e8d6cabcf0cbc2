"""Distinct results, thresholds, and results that do not depend on the limit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from domain import (
    Corpus,
    Distance,
    Diversity,
    InvalidFilter,
    InvalidInput,
    Match,
    Recency,
    Vector,
    where,
)
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import OWNER, REPO, chunk, finding, memory, review, vectors_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from domain import SearchHits
    from domain.ports import ReadUnitOfWork
    from tests.contract.suites.store import Store

TEXTS = ("content", "finding_text", "title")


def _at(vector: Callable[..., Vector], angle: float) -> Vector:
    return vector(math.cos(angle), math.sin(angle))


def _text(item: Any) -> str:
    return next(str(vars(item)[name]) for name in TEXTS if vars(item).get(name) is not None)


def _texts(hits: SearchHits[Any]) -> list[str]:
    return [_text(hit.item) for hit in hits]


def _ids(hits: SearchHits[Any]) -> list[Any]:
    return [hit.item.id for hit in hits]


def _one(name: str, value: Any) -> dict[str, Any]:
    return {name: value}


class DistinctContract:
    """Copies of one text do not displace other texts."""

    async def test_copies_leave_room_for_other_memories_in_a_recall(self, store: Store) -> None:
        vector = await vectors_of(store)
        copies = [memory("Line too long", embedding=vector(1.0)) for _ in range(100)]
        others = [
            memory(f"Line too long in file {n}", embedding=_at(vector, 0.05 * (n + 1)))
            for n in range(20)
        ]
        await write(store, *copies, *others)
        async with store.reader() as view:
            for text in ("line too long", ""):
                recall = await view.memories.recall(vector(1.0), text, repo=REPO, owner=OWNER)
                texts = [one.hit.item.finding_text for one in recall.memories]
                assert len(texts) == len(set(texts)) == 10
                assert texts[0] == "Line too long"
                assert recall.memories[0].hit.item.id == copies[0].id, "ties by id"
                assert not recall.bound_reached
            every = await view.memories.recall(
                vector(1.0), "", repo=REPO, owner=OWNER, distinct=False
            )
            assert {one.hit.item.finding_text for one in every.memories} == {"Line too long"}

    async def test_copies_of_own_memories_leave_room_for_shared_ones(self, store: Store) -> None:
        vector = await vectors_of(store)
        await write(
            store,
            memory("Line too long", embedding=vector(1.0)),
            *(memory("line  TOO long", repo="acme/web", embedding=vector(1.0)) for _ in range(30)),
            *(
                memory(f"Other {n}", repo="acme/web", embedding=_at(vector, 0.1 * (n + 1)))
                for n in range(12)
            ),
        )
        async with store.reader() as view:
            recall = await view.memories.recall(vector(1.0), "line", repo=REPO, owner=OWNER)
        texts = [one.hit.item.finding_text for one in recall.memories]
        assert texts == ["Line too long", *(f"Other {n}" for n in range(9))]

    async def test_copies_leave_room_for_other_texts_in_a_search_of_every_corpus(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        of = review()
        await write(
            store,
            of,
            *(chunk(content="Apache License", embedding=vector(1.0)) for _ in range(110)),
            *(
                chunk(content=f"how to license part {n}", embedding=_at(vector, 0.3 * (n + 1)))
                for n in range(10)
            ),
            *(finding(of, title="License missing") for _ in range(110)),
            finding(of, title="License of the icons"),
        )
        async with store.reader() as view:
            hits = await view.corpora.search("license", vector(1.0), limit=50)
            assert len(hits) == len(set(_texts(hits))) == 13
            every = await view.corpora.search("license", vector(1.0), limit=50, distinct=False)
            assert len(every) == 50
            assert len(set(_texts(every))) < 50

    async def test_other_searches_are_distinct_on_request(self, store: Store) -> None:
        vector = await vectors_of(store)
        of = review()
        await write(
            store,
            of,
            *(chunk(content="A deadline", embedding=vector(1.0)) for _ in range(3)),
            chunk(content="another deadline", embedding=vector(0.0, 1.0)),
            *(memory("A deadline", embedding=vector(1.0)) for _ in range(3)),
            memory("a  DEADLINE", repo="acme/web", embedding=vector(1.0)),
            memory("A deadline", repo="acme/app", embedding=vector(1.0)),
            *(finding(of, title="A deadline") for _ in range(3)),
        )
        async with store.reader() as view:
            searches: list[tuple[Callable[..., Awaitable[SearchHits[Any]]], int, int]] = [
                (lambda **o: view.knowledge.vector_search(vector(1.0), **o), 4, 2),
                (lambda **o: view.knowledge.keyword_search("deadline", **o), 4, 2),
                (lambda **o: view.knowledge.keyword_search("a deadline or", **o), 4, 2),
                (
                    lambda **o: view.knowledge.keyword_search("deadline", match=Match.ALL, **o),
                    4,
                    2,
                ),
                (
                    lambda **o: view.knowledge.vector_search(
                        vector(1.0), distance=Distance.L2, **o
                    ),
                    4,
                    2,
                ),
                (lambda **o: view.knowledge.hybrid_search("deadline", vector(1.0), **o), 4, 2),
                (lambda **o: view.memories.nearest(vector(1.0), repo=REPO, **o), 3, 1),
                (
                    lambda **o: view.memories.nearest_for_owner(
                        vector(1.0), owner=OWNER, exclude_repo=REPO, **o
                    ),
                    2,
                    1,
                ),
                (lambda **o: view.memories.keyword_search("deadline", repo=REPO, **o), 3, 1),
                (
                    lambda **o: view.memories.hybrid_search(
                        "deadline", vector(1.0), repo=REPO, **o
                    ),
                    3,
                    1,
                ),
                (lambda **o: view.findings.keyword_search("deadline", **o), 3, 1),
            ]
            for search, rows, texts in searches:
                every, distinct = await search(), await search(distinct=True)
                assert (len(every), len(distinct)) == (rows, texts)
                assert distinct[0].item.id == min(_ids(every)[: rows - texts + 1]), (
                    "the copy with the lowest id stands for all"
                )
                assert not distinct.bound_reached

    async def test_a_text_is_the_same_whatever_its_case_and_spacing_and_no_other_one(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        same = ["Retry \\1 'x'\n", "retry\t\\1'X'", "RETRY \\1 'x'"]
        others = ["retry \\2 'x'", "réetry \\1 'x'", "RÉETRY \\1 'x'", "retry \\\\1 'x'"]
        await write(
            store, *(chunk(content=text, embedding=vector(1.0)) for text in [*same, *others])
        )
        async with store.reader() as view:
            hits = await view.knowledge.vector_search(vector(1.0), distinct=True)
        assert _texts(hits) == [same[0], *others]

    async def test_both_arms_count_for_one_text_though_they_find_other_copies(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        near = chunk(content="deadline", embedding=vector(1.0))
        titled = chunk(content="Deadline", title="deadline", embedding=vector(0.0, 1.0))
        other = chunk(content="other deadline", embedding=vector(1.0, 0.5))
        await write(store, near, titled, other)
        async with store.reader() as view:
            hits = await view.knowledge.hybrid_search("deadline", vector(1.0), distinct=True)
        assert _ids(hits) == [near.id, other.id]
        assert (hits[0].vector_rank, hits[0].keyword_rank) == (1, 1)
        assert hits[0].score == pytest.approx(1)


class ThresholdsContract:
    """A threshold applies to the arms of a search, inside the query."""

    async def test_a_hybrid_search_leaves_out_what_is_far_and_matches_badly(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        near = chunk("near", "elsewhere", embedding=vector(1.0))
        far = chunk("far", "elsewhere", embedding=vector(0.0, 1.0))
        words = chunk("words", "deadline", embedding=vector(-1.0))
        await write(store, near, far, words)
        async with store.reader() as view:
            search = view.knowledge.hybrid_search
            assert len(await search("deadline", vector(1.0))) == 3
            hits = await search("deadline", vector(1.0), max_distance=0.5)
            assert {hit.item.chunk_id: hit.distance for hit in hits} == {
                "near": pytest.approx(0, abs=1e-6),
                "words": None,
            }
            [word] = [hit for hit in hits if hit.item.chunk_id == "words"]
            assert word.keyword_score is not None
            high = await search("deadline", vector(1.0), min_score=word.keyword_score + 0.01)
            assert [hit.item.chunk_id for hit in high] == ["near"]
            same = await search("deadline", vector(1.0), min_score=word.keyword_score)
            assert {hit.item.chunk_id for hit in same} == {"near", "words"}
            nothing = await search("nowhere", vector(0.0, -1.0), min_score=0.5)
            assert list(nothing) == []

    async def test_every_search_has_thresholds(self, store: Store) -> None:
        vector = await vectors_of(store)
        of = review()
        await write(
            store,
            of,
            *(chunk(content=f"deadline {n}", embedding=_at(vector, n)) for n in range(3)),
            *(memory(f"deadline {n}", embedding=_at(vector, n)) for n in range(3)),
            *(memory(f"deadline {n}", repo="acme/web", embedding=_at(vector, n)) for n in range(3)),
            finding(of, title="deadline"),
        )
        async with store.reader() as view:
            near: dict[str, Any] = {"max_distance": 0.1}
            both: dict[str, Any] = {"max_distance": 0.1, "min_score": 1.5}
            memories, query = view.memories, vector(1.0)
            assert len(await view.knowledge.vector_search(query, max_distance=0.1)) == 1
            assert len(await memories.nearest(query, repo=REPO, **near)) == 1
            shared = await memories.nearest_for_owner(query, owner=OWNER, exclude_repo=REPO, **near)
            assert len(shared) == 1
            blank = await memories.recall(query, "", repo=REPO, owner="", **near)
            assert len(blank.memories) == 1
            for hits in (
                await view.knowledge.vector_search(query, **both),
                await view.knowledge.keyword_search("deadline", min_score=1.5),
                await view.knowledge.keyword_search("deadline one", min_score=1.5),
                await view.knowledge.hybrid_search("deadline", query, **both),
                await memories.nearest(query, repo=REPO, **both),
                await memories.nearest_for_owner(query, owner=OWNER, exclude_repo="", **both),
                await memories.keyword_search("deadline", repo=REPO, min_score=1.5),
                await memories.hybrid_search("deadline", query, repo=REPO, **both),
                await view.findings.keyword_search("deadline", min_score=1.5),
                await view.corpora.search("deadline", query, **both),
                (await memories.recall(query, "deadline", repo=REPO, owner=OWNER, **both)).memories,
            ):
                assert list(hits) == []

    async def test_own_memories_that_are_far_leave_room_for_shared_ones(self, store: Store) -> None:
        vector = await vectors_of(store)
        await write(
            store,
            *(memory(f"Spelling {n}", embedding=vector(0.0, 1.0, 0.01 * n)) for n in range(10)),
            memory("SQL injection", repo="acme/web", embedding=vector(1.0)),
        )
        async with store.reader() as view:
            recall = view.memories.recall
            own = await recall(vector(1.0), "SQL injection", repo=REPO, owner=OWNER)
            assert not own.shared_pool_used
            near = await recall(
                vector(1.0), "SQL injection", repo=REPO, owner=OWNER, max_distance=0.5
            )
            assert [one.hit.item.finding_text for one in near.memories] == ["SQL injection"]
            alone = await recall(
                vector(1.0), "SQL", repo=REPO, owner=OWNER, max_distance=0.5, shared=False
            )
            assert alone.memories == ()
            ranked = await recall(
                vector(1.0), "SQL injection", repo=REPO, owner=OWNER, one_ranking=True
            )
            assert ranked.memories[0].shared
            assert ranked.repos == ("acme/web", REPO)
            assert [one.shared for one in ranked.memories[1:]] == [False] * 9

    @pytest.mark.parametrize("threshold", [math.nan, "0.5", True])
    async def test_a_threshold_that_is_no_number_is_refused(
        self, store: Store, threshold: Any
    ) -> None:
        vector = await vectors_of(store)
        async with store.reader() as view:
            for name in ("min_score", "max_distance"):
                for search in (
                    view.knowledge.hybrid_search("deadline", vector(1.0), **_one(name, threshold)),
                    view.knowledge.vector_search(vector(1.0), **_one(name, threshold)),
                    view.corpora.search("deadline", vector(1.0), **_one(name, threshold)),
                    view.memories.recall(
                        vector(1.0), "", repo=REPO, owner=OWNER, **_one(name, threshold)
                    ),
                ):
                    with pytest.raises(InvalidInput) as refusal:
                        await search
                    assert refusal.value.field == name

    async def test_every_search_takes_a_filter(self, store: Store) -> None:
        vector = await vectors_of(store)
        of = review()
        names = ("api.py", "web.py")
        await write(
            store,
            of,
            *(memory(f"deadline {name}", file_path=name, embedding=vector(1.0)) for name in names),
            *(
                memory(f"deadline {name}", repo="acme/web", file_path=name, embedding=vector(1.0))
                for name in names
            ),
            *(finding(of, title=f"deadline {name}", file_path=name) for name in names),
        )
        chosen, nonsense = where("file_path").equals("web.py"), where("nonsense").exists()
        async with store.reader() as view:
            memories, query = view.memories, vector(1.0)
            searches: list[Callable[[Any], Awaitable[SearchHits[Any]]]] = [
                lambda f: memories.nearest(query, repo=REPO, where=f),
                lambda f: memories.nearest_for_owner(
                    query, owner=OWNER, exclude_repo=REPO, where=f
                ),
                lambda f: memories.keyword_search("deadline", repo=REPO, where=f),
                lambda f: memories.hybrid_search("deadline", query, repo=REPO, where=f),
                lambda f: view.findings.keyword_search("deadline", where=f),
                lambda f: view.corpora.search(
                    "deadline", query, where=f, corpora=(Corpus.FINDINGS, Corpus.MEMORIES)
                ),
            ]
            for search in searches:
                hits = await search(chosen)
                assert {hit.item.file_path for hit in hits} == {"web.py"}
                with pytest.raises(InvalidFilter):
                    await search(nonsense)
            recall = await memories.recall(query, "", repo=REPO, owner=OWNER, where=chosen)
            assert [one.hit.item.file_path for one in recall.memories] == ["web.py"]
            with pytest.raises(InvalidFilter):
                await view.corpora.search("deadline", query, where=chosen)


class LimitContract:
    """The first hits of a larger limit are the hits of a smaller one."""

    async def test_the_first_hits_do_not_depend_on_the_limit(self, store: Store) -> None:
        vector = await vectors_of(store)
        await _fill(store, vector)
        async with store.reader() as view:
            for name, search in _searches(view, vector(1.0)).items():
                largest = await search(100)
                assert len(largest) > 40, name
                # Around the default limit, and around the rows that each arm ranks.
                for limit in (1, 10, 40, 41, 99):
                    hits = await search(limit)
                    assert _ids(hits) == _ids(largest)[:limit], (name, limit)
                    scores = [hit.score for hit in largest][:limit]
                    # Weights by age change between two searches.
                    assert [hit.score for hit in hits] == pytest.approx(scores, rel=1e-4)

    async def test_a_row_that_is_far_down_in_both_arms_is_ranked_alike_at_every_limit(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        near = [chunk(content="nothing", embedding=vector(1.0, n / 1000)) for n in range(40)]
        words = [chunk(content="deadline deadline deadline") for _ in range(40)]
        both = chunk(
            content="deadline and some other words that make it longer",
            embedding=vector(1.0, 0.041),
        )
        await write(store, *near, *words, both)
        async with store.reader() as view:
            most = await view.knowledge.hybrid_search("deadline", vector(1.0), limit=100)
            [hit] = [hit for hit in most if hit.item.id == both.id]
            assert (hit.vector_rank, hit.keyword_rank) == (41, 41)
            place = _ids(most).index(both.id)
            for limit in (10, 11, 40, place, place + 1):
                hits = await view.knowledge.hybrid_search("deadline", vector(1.0), limit=limit)
                assert _ids(hits) == _ids(most)[:limit]

    async def test_diversity_has_a_limit_of_its_own(self, store: Store) -> None:
        vector = await vectors_of(store)
        async with store.reader() as view:
            for search in (
                view.knowledge.hybrid_search(
                    "deadline", vector(1.0), limit=101, diversity=Diversity()
                ),
                view.memories.hybrid_search(
                    "deadline", vector(1.0), repo=REPO, limit=10_000, diversity=Diversity()
                ),
            ):
                with pytest.raises(InvalidInput, match="at most 100") as refusal:
                    await search
                assert refusal.value.field == "limit"


async def _fill(store: Store, vector: Callable[..., Vector]) -> None:
    of = review()
    words = ("deadline", "retry", "socket", "never ends")
    texts = [
        f"{words[n % 4]} {words[n % 3] * (n % 5)} {'filler ' * (n % 7)} number{n % 60}"
        for n in range(150)
    ]
    await write(
        store,
        of,
        *(
            chunk(content=text, embedding=_at(vector, (n * 37 % 150) / 50), title=words[n % 4])
            for n, text in enumerate(texts)
        ),
        *(memory(text, embedding=_at(vector, (n * 53 % 150) / 50)) for n, text in enumerate(texts)),
        *(finding(of, title=text) for text in texts),
    )


def _searches(
    view: ReadUnitOfWork, query: Vector
) -> dict[str, Callable[[int], Awaitable[SearchHits[Any]]]]:
    text = "deadline retry socket"
    odd = where("content").less_than("r")
    options: Sequence[dict[str, Any]] = (
        {},
        {"distinct": True},
        {"min_score": 0.3},
        {"where": odd},
        {"distinct": True, "max_distance": 1.5},
        {"recency": Recency()},
        {"diversity": Diversity(lambda_=0.7)},
    )
    hybrid = {
        f"hybrid {option}": lambda limit, option=option: view.knowledge.hybrid_search(
            text, query, limit=limit, **option
        )
        for option in options
    }
    return {
        **hybrid,
        "vector": lambda limit: view.knowledge.vector_search(query, limit=limit),
        "vector, distinct": lambda limit: view.knowledge.vector_search(
            query, limit=limit, distinct=True
        ),
        "words": lambda limit: view.knowledge.keyword_search(text, limit=limit),
        "one word": lambda limit: view.knowledge.keyword_search("filler", limit=limit),
        "words, distinct": lambda limit: view.knowledge.keyword_search(
            text, limit=limit, distinct=True
        ),
        "memories": lambda limit: view.memories.hybrid_search(
            text, query, repo=REPO, limit=limit, distinct=True
        ),
        "findings": lambda limit: view.findings.keyword_search(text, limit=limit),
        "corpora": lambda limit: view.corpora.search(text, query, limit=limit),
    }
