"""Searches: by vector, by words, by both, and what a reviewer recalls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from domain import Distance, KnowledgeChunk, Match, Weights
from tests.stateful.conditions import some_filter
from tests.stateful.texts import BAD_VECTORS, OWNERS, QUERIES, REPOS, SHARED, VECTORS

if TYPE_CHECKING:
    from tests.stateful.kinds import Call, Operation
    from tests.stateful.world import World

MATCHES: Final = tuple(Match)
WEIGHTS: Final = (
    Weights(),
    Weights(vector=0.8, keyword=0.2),
    Weights(vector=0, keyword=1),
    Weights(vector=3, keyword=0),
)


def _embedding(world: World) -> Any:
    return (
        world.choices.pick(BAD_VECTORS) if world.choices.one_in(24) else world.choices.pick(VECTORS)
    )


def _limit(world: World) -> int:
    return 10 if world.choices.below(3) else world.choices.pick((1, 2, 4, 40))


def search_vectors(world: World) -> Call:
    limit, metric, condition = (
        _limit(world),
        world.choices.pick(tuple(Distance)),
        some_filter(world, KnowledgeChunk),
    )
    least, embedding = world.choices.maybe((0.15, 0.33, 0.62)), _embedding(world)
    return lambda uow: uow.knowledge.vector_search(
        embedding, limit=limit, where=condition, min_score=least, distance=metric
    )


def search_words(world: World) -> Call:
    query, match, limit = world.choices.pick(QUERIES), world.choices.pick(MATCHES), _limit(world)
    narrowed = {
        "source_types": world.choices.pick(((), ("doc", "code"))),
        "languages": world.choices.pick(((), ("go",))),
    }
    condition, explain = some_filter(world, KnowledgeChunk), world.choices.one_in(2)
    return lambda uow: uow.knowledge.keyword_search(
        query, match=match, limit=limit, where=condition, explain=explain, **narrowed
    )


def search_both(world: World) -> Call:
    query, match, limit = world.choices.pick(QUERIES), world.choices.pick(MATCHES), _limit(world)
    condition, weights, embedding = (
        some_filter(world, KnowledgeChunk),
        world.choices.pick(WEIGHTS),
        _embedding(world),
    )
    return lambda uow: uow.knowledge.hybrid_search(
        query, embedding, match=match, limit=limit, where=condition, weights=weights
    )


def search_findings(world: World) -> Call:
    query, match, limit = world.choices.pick(QUERIES), world.choices.pick(MATCHES), _limit(world)
    repo, explain = world.choices.maybe(REPOS), world.choices.one_in(2)
    return lambda uow: uow.findings.keyword_search(
        query, repo=repo, match=match, limit=limit, explain=explain
    )


def nearest_memories(world: World) -> Call:
    repo, limit, farthest = (
        world.choices.pick(SHARED),
        _limit(world),
        world.choices.maybe((0.37, 0.9)),
    )
    embedding = _embedding(world)
    return lambda uow: uow.memories.nearest(
        embedding, repo=repo, limit=limit, max_distance=farthest
    )


def nearest_for_owner(world: World) -> Call:
    owner, repo, limit, embedding = (
        world.choices.pick(OWNERS),
        world.choices.pick(SHARED),
        _limit(world),
        _embedding(world),
    )
    return lambda uow: uow.memories.nearest_for_owner(
        embedding, owner=owner, exclude_repo=repo, limit=limit
    )


def search_memories(world: World) -> Call:
    query, match, limit, repo = (
        world.choices.pick(QUERIES),
        world.choices.pick(MATCHES),
        _limit(world),
        world.choices.pick(SHARED),
    )
    if world.choices.one_in(2):
        return lambda uow: uow.memories.keyword_search(
            query, repo=repo, match=match, limit=limit, explain=True
        )
    weights, embedding = world.choices.pick(WEIGHTS), _embedding(world)
    return lambda uow: uow.memories.hybrid_search(
        query, embedding, repo=repo, match=match, limit=limit, weights=weights
    )


def recall(world: World) -> Call:
    text, owner, repo = (
        world.choices.pick(QUERIES),
        world.choices.pick(OWNERS),
        world.choices.pick(SHARED),
    )
    limit, embedding = _limit(world), _embedding(world)
    return lambda uow: uow.memories.recall(embedding, text, repo=repo, owner=owner, limit=limit)


SEARCHES: Final[Sequence[Operation]] = (
    search_vectors,
    search_words,
    search_both,
    search_findings,
    nearest_memories,
    nearest_for_owner,
    search_memories,
    recall,
)
