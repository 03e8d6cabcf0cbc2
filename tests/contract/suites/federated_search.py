"""Knowledge, memories and findings, searched at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from domain import Corpus, InvalidEmbedding, InvalidInput, Weights
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import REPO, chunk, finding, memory, review, vectors_of

if TYPE_CHECKING:
    from domain import SearchHits
    from tests.contract.suites.store import Store

TEXTS = {Corpus.KNOWLEDGE: "content", Corpus.MEMORIES: "finding_text", Corpus.FINDINGS: "title"}


def _told(hits: SearchHits[Any]) -> set[tuple[Corpus | None, str]]:
    return {(hit.corpus, getattr(hit.item, TEXTS[hit.corpus])) for hit in hits if hit.corpus}


class CorporaContract:
    """One search of all corpora; each hit names its corpus, and no text appears twice."""

    async def test_every_corpus_is_searched_and_the_first_of_each_come_first(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        of = review()
        await write(
            store,
            of,
            *(
                chunk(content=f"A deadline in passage {n}", embedding=vector(1.0, n + 1.0))
                for n in range(2)
            ),
            *(
                memory(f"A deadline in memory {n}", embedding=vector(-1.0, 3.0 * n + 1.0))
                for n in range(2)
            ),
            *(finding(of, title=f"A deadline in finding {n}") for n in range(2)),
        )
        for open_unit in (store.reader, store.unit_of_work):
            async with open_unit() as unit:
                hits = await unit.corpora.search("deadline", vector(1.0))
                assert (
                    {hit.corpus for hit in hits[:3]}
                    == {hit.corpus for hit in hits[3:]}
                    == set(Corpus)
                )
                assert len(hits) == 6
                assert [hit.score for hit in hits] == pytest.approx([1.0] * 3 + [61 / 62] * 3)
                for hit in hits:
                    assert hit.keyword_rank in (1, 2)
                    assert (hit.vector_rank is None) == (hit.corpus is Corpus.FINDINGS)
                assert [
                    hit.item.id
                    for hit in await unit.corpora.search("deadline", vector(1.0), limit=4)
                ] == [hit.item.id for hit in hits[:4]]

    async def test_the_same_words_appear_once_whatever_their_case_and_spacing(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        of = review()
        await write(
            store,
            of,
            chunk(content="No deadline", embedding=vector(1.0)),
            finding(of, title="no  DEADLINE"),
        )
        await write(
            store,
            memory(" No\ndeadline", embedding=vector(0.0, 1.0)),
            finding(of, title="Another deadline"),
        )
        async with store.reader() as view:
            hits = await view.corpora.search("deadline", vector(1.0))
        assert len(hits) == 2
        assert (Corpus.FINDINGS, "Another deadline") in _told(hits)

    async def test_nearly_equal_embeddings_appear_once(self, store: Store) -> None:
        vector = await vectors_of(store)
        passage = chunk(content="A deadline bounds every retry", embedding=vector(2.0))
        near = memory("Retries without a deadline", embedding=vector(1.0, 0.2))
        apart = memory("A deadline was missed", embedding=vector(1.0, -0.4))
        await write(store, passage, near, apart)
        async with store.reader() as view:
            hits = await view.corpora.search(
                "deadline", vector(1.0), weights=Weights(vector=1, keyword=0)
            )
            alone = await view.corpora.search("deadline", vector(1.0), corpora=[Corpus.MEMORIES])
        texts = {text for _, text in _told(hits)}
        assert apart.finding_text in texts
        assert len(texts & {passage.content, near.finding_text}) == 1
        assert len(hits) == 2
        assert len(alone) == 2

    async def test_a_repository_sees_its_own_and_what_belongs_to_none(self, store: Store) -> None:
        vector = await vectors_of(store)
        for repo in (REPO, "acme/web", ""):
            of = review(repo=repo or "acme/other")
            await write(store, of, finding(of, title=f"deadline finding {of.repo}"))
            await write(store, memory(f"deadline memory {of.repo}", repo=of.repo))
            await write(store, chunk(content=f"deadline passage {repo}", repo=repo))
        await write(store, memory("deadline gone", stale=True))
        await write(store, memory("deadline theirs"), tenant="other")
        async with store.reader() as view:
            everything = await view.corpora.search("deadline", vector(1.0))
            assert len(everything) == 9
            hits = await view.corpora.search("deadline", vector(1.0), repo=REPO)
        assert _told(hits) == {
            (Corpus.FINDINGS, f"deadline finding {REPO}"),
            (Corpus.MEMORIES, f"deadline memory {REPO}"),
            (Corpus.KNOWLEDGE, f"deadline passage {REPO}"),
            (Corpus.KNOWLEDGE, "deadline passage "),
        }

    async def test_only_the_corpora_asked_for_are_searched(self, store: Store) -> None:
        vector = await vectors_of(store)
        of = review()
        await write(
            store,
            of,
            finding(of, title="deadline finding"),
            memory("deadline memory"),
            chunk(content="deadline passage"),
        )
        async with store.reader() as view:
            for corpus in Corpus:
                hits = await view.corpora.search("deadline", vector(1.0), corpora={corpus})
                assert [hit.corpus for hit in hits] == [corpus]
            assert list(await view.corpora.search("deadline", vector(1.0), corpora=())) == []

    async def test_nothing_is_found_by_blanks_and_what_cannot_be_asked_is_refused(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        await write(store, chunk(content="deadline", embedding=vector(1.0)))
        async with store.reader() as view:
            assert list(await view.corpora.search(" \n", vector(1.0))) == []
            with pytest.raises(InvalidEmbedding):
                await view.corpora.search("deadline", [0.0], corpora=[Corpus.FINDINGS])
            with pytest.raises(InvalidInput):
                await view.corpora.search("deadline", vector(1.0), limit=0)
            hits = await view.knowledge.hybrid_search("deadline", vector(1.0))
            assert [hit.corpus for hit in hits] == [None]
