"""Searches over knowledge, memories and findings: which hits repeat others, and their fusion.

The functions are pure: no database, no I/O.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from domain.values.rank_fusion import reciprocal_rank_fusion, share_of_best
from domain.values.search import Corpus, SearchHit, SearchHits
from domain.values.text_hash import text_hash

if TYPE_CHECKING:
    from domain.results import Remembered

NEAR_DUPLICATE: Final = 0.97
"""The cosine similarity from which two embeddings count as those of one text."""

NEAR_DUPLICATE_DEPTH: Final = 50
"""The best hits of each corpus whose embeddings are compared: the work is the square of it."""

_TEXTS: Final = {
    Corpus.KNOWLEDGE: "content",
    Corpus.MEMORIES: "finding_text",
    Corpus.FINDINGS: "title",
}


def fuse_corpora(
    rankings: Mapping[Corpus, SearchHits[Any]],
    near_duplicates: Mapping[UUID, Collection[UUID]],
    *,
    limit: int,
    distinct: bool,
) -> SearchHits[Remembered]:
    """Return the best hits of all corpora by reciprocal rank, ties by own score, then by id.

    `distinct` drops a hit if a better one has the same text but for case and spacing, or if one of
    them is among the `near_duplicates` of the other. The score of a hit becomes the score of its
    rank: 1 for the first of a corpus, and less for the others.
    """
    hits = {_id(hit): (corpus, hit) for corpus, ranking in rankings.items() for hit in ranking}
    fused = reciprocal_rank_fusion(
        [[_id(hit) for hit in ranking] for ranking in rankings.values()], [1.0] * len(rankings)
    )
    duplicates_of: defaultdict[UUID, set[UUID]] = defaultdict(set)
    for one, others in near_duplicates.items():
        duplicates_of[one].update(others)
        for other in others:
            duplicates_of[other].add(one)
    best: dict[UUID, SearchHit[Remembered]] = {}
    texts: set[bytes] = set()
    for key in sorted(fused, key=lambda key: (-fused[key], -hits[key][1].score, key)):
        corpus, hit = hits[key]
        text = text_hash(_text(corpus, hit)) if distinct else key.bytes
        if text not in texts and not any(one in best for one in duplicates_of.get(key, ())):
            texts.add(text)
            best[key] = replace(hit, corpus=corpus, score=share_of_best(fused[key], [1.0]))
        if len(best) == limit:
            break
    return SearchHits(
        tuple(best.values()),
        exact=all(ranking.exact for ranking in rankings.values()),
        bound_reached=len(best) < limit
        and any(ranking.bound_reached for ranking in rankings.values()),
    )


def ids_with_embeddings(rankings: Mapping[Corpus, SearchHits[Any]]) -> dict[Corpus, list[UUID]]:
    """Return the ids of the hits whose embeddings are compared: the best of each corpus.

    Findings have no embeddings.
    """
    return {
        corpus: [_id(hit) for hit in rankings.get(corpus, SearchHits())[:NEAR_DUPLICATE_DEPTH]]
        for corpus in (Corpus.KNOWLEDGE, Corpus.MEMORIES)
    }


def _id(hit: SearchHit[Any]) -> UUID:
    key: UUID = vars(hit.item)["id"]
    return key


def _text(corpus: Corpus, hit: SearchHit[Any]) -> str:
    text: str = vars(hit.item)[_TEXTS[corpus]]
    return text
