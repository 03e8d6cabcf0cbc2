"""Searching knowledge, memories and findings at once: how their rankings become one. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import UUID

from domain.values.paging import MAX_LIMIT
from domain.values.search import Corpus, SearchHit, SearchHits, fused_score, reciprocal_rank_fusion

if TYPE_CHECKING:
    from domain.entities.knowledge import KnowledgeChunk
    from domain.entities.learning import LearningMemory
    from domain.entities.reviews import Finding

Remembered: TypeAlias = "KnowledgeChunk | LearningMemory | Finding"

ALIKE: Final = 0.97
"""The cosine similarity from which two embeddings are taken for those of one text."""

_TEXTS: Final = {
    Corpus.KNOWLEDGE: "content",
    Corpus.MEMORIES: "finding_text",
    Corpus.FINDINGS: "title",
}


def corpus_depth(limit: int) -> int:
    """Return how many hits of each corpus are fused.

    More than asked for, because duplicates leave gaps.
    """
    return min(MAX_LIMIT, 2 * limit, limit + 100)


def fuse_corpora(
    found: Mapping[Corpus, SearchHits[Any]], alike: Collection[frozenset[UUID]], *, limit: int
) -> SearchHits[Remembered]:
    """Return the best hits of all corpora by reciprocal rank, ties by the score that each had, then
    by id; without repetitions.

    A hit repeats a better one if both have the same words, whatever their case and spacing, or if
    their ids are a pair of `alike`. A score becomes that of the rank: 1 for the first of a corpus,
    and less from there on.
    """
    hits = {
        _id(hit): replace(hit, corpus=corpus)
        for corpus, ranking in found.items()
        for hit in ranking
    }
    fused = reciprocal_rank_fusion(
        [[_id(hit) for hit in ranking] for ranking in found.values()], [1.0] * len(found)
    )
    kept: dict[UUID, SearchHit[Remembered]] = {}
    told: set[str] = set()
    for key in sorted(fused, key=lambda key: (-fused[key], -hits[key].score, key)):
        words = _words(hits[key])
        if words not in told and not any(frozenset((key, other)) in alike for other in kept):
            told.add(words)
            kept[key] = replace(hits[key], score=fused_score(fused[key], [1.0]))
        if len(kept) == limit:
            break
    return SearchHits(tuple(kept.values()), exact=all(ranking.exact for ranking in found.values()))


def ids_with_embeddings(found: Mapping[Corpus, SearchHits[Any]]) -> dict[Corpus, list[UUID]]:
    """Return the ids of the hits whose embeddings can be compared: findings have none."""
    return {
        corpus: [_id(hit) for hit in found.get(corpus, ())]
        for corpus in (Corpus.KNOWLEDGE, Corpus.MEMORIES)
    }


def _id(hit: SearchHit[Any]) -> UUID:
    key: UUID = vars(hit.item)["id"]
    return key


def _words(hit: SearchHit[Any]) -> str:
    text: str = vars(hit.item)[_TEXTS[Corpus(hit.corpus or "")]]
    return " ".join(text.casefold().split())
