"""Operations that search: by vector, by words, by both, across corpora, and recall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from domain import Corpus, Distance, Finding, KnowledgeChunk, LearningMemory, Match, Weights
from repositories.testing.stateful.conditions import some_filter
from tests.stateful.texts import BAD_VECTORS, OWNERS, QUERIES, REPOS, SHARED, VECTORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repositories.testing.stateful.operations import Call, Operation
    from repositories.testing.stateful.world import World

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


def _thresholds(world: World) -> dict[str, Any]:
    """Return thresholds and whether results are distinct, as arguments."""
    return {
        "min_score": world.choices.maybe((0.15, 0.33, 0.62)),
        "max_distance": world.choices.maybe((0.37, 0.9)),
        "distinct": world.choices.one_in(3),
    }


def _keyword_options(world: World) -> dict[str, Any]:
    options = _thresholds(world)
    del options["max_distance"]
    return {**options, "match": world.choices.pick(MATCHES), "limit": _limit(world)}


def search_vectors(world: World) -> Call:
    embedding, metric = _embedding(world), world.choices.pick(tuple(Distance))
    condition, limit = some_filter(world, KnowledgeChunk), _limit(world)
    options = _thresholds(world)
    return lambda uow: uow.knowledge.vector_search(
        embedding, limit=limit, where=condition, distance=metric, **options
    )


def search_words(world: World) -> Call:
    query, options = world.choices.pick(QUERIES), _keyword_options(world)
    source_types = world.choices.pick(((), ("doc", "code")))
    languages = world.choices.pick(((), ("go",)))
    condition, explain = some_filter(world, KnowledgeChunk), world.choices.one_in(2)
    return lambda uow: uow.knowledge.keyword_search(
        query,
        where=condition,
        explain=explain,
        source_types=source_types,
        languages=languages,
        **options,
    )


def search_both(world: World) -> Call:
    query, match, limit = world.choices.pick(QUERIES), world.choices.pick(MATCHES), _limit(world)
    condition, weights = some_filter(world, KnowledgeChunk), world.choices.pick(WEIGHTS)
    embedding, options = _embedding(world), _thresholds(world)
    return lambda uow: uow.knowledge.hybrid_search(
        query, embedding, match=match, limit=limit, where=condition, weights=weights, **options
    )


def search_findings(world: World) -> Call:
    query, options = world.choices.pick(QUERIES), _keyword_options(world)
    repo, explain = world.choices.maybe(REPOS), world.choices.one_in(2)
    condition = some_filter(world, Finding)
    return lambda uow: uow.findings.keyword_search(
        query, repo=repo, where=condition, explain=explain, **options
    )


def nearest_memories(world: World) -> Call:
    repo, limit, embedding = world.choices.pick(SHARED), _limit(world), _embedding(world)
    condition, options = some_filter(world, LearningMemory), _thresholds(world)
    return lambda uow: uow.memories.nearest(
        embedding, repo=repo, limit=limit, where=condition, **options
    )


def nearest_for_owner(world: World) -> Call:
    owner, repo = world.choices.pick(OWNERS), world.choices.pick(SHARED)
    limit, embedding = _limit(world), _embedding(world)
    condition, options = some_filter(world, LearningMemory), _thresholds(world)
    return lambda uow: uow.memories.nearest_for_owner(
        embedding, owner=owner, exclude_repo=repo, limit=limit, where=condition, **options
    )


def search_memories(world: World) -> Call:
    query, repo = world.choices.pick(QUERIES), world.choices.pick(SHARED)
    condition = some_filter(world, LearningMemory)
    if world.choices.one_in(2):
        by_words = _keyword_options(world)
        return lambda uow: uow.memories.keyword_search(
            query, repo=repo, where=condition, explain=True, **by_words
        )
    weights, embedding = world.choices.pick(WEIGHTS), _embedding(world)
    match, limit = world.choices.pick(MATCHES), _limit(world)
    options = _thresholds(world)
    return lambda uow: uow.memories.hybrid_search(
        query,
        embedding,
        repo=repo,
        match=match,
        limit=limit,
        where=condition,
        weights=weights,
        **options,
    )


def recall(world: World) -> Call:
    text, owner = world.choices.pick(QUERIES), world.choices.pick(OWNERS)
    repo, limit, embedding = world.choices.pick(SHARED), _limit(world), _embedding(world)
    options = {**_thresholds(world), "distinct": not world.choices.one_in(4)}
    pool = {"shared": not world.choices.one_in(4), "one_ranking": world.choices.one_in(3)}
    condition, weights = some_filter(world, LearningMemory), world.choices.pick(WEIGHTS)
    return lambda uow: uow.memories.recall(
        embedding,
        text,
        repo=repo,
        owner=owner,
        limit=limit,
        where=condition,
        weights=weights,
        **options,
        **pool,
    )


def search_corpora(world: World) -> Call:
    query, repo = world.choices.pick(QUERIES), world.choices.maybe(REPOS)
    limit, embedding, weights = _limit(world), _embedding(world), world.choices.pick(WEIGHTS)
    options = {**_thresholds(world), "distinct": not world.choices.one_in(4)}
    corpora = world.choices.pick(((), (Corpus.FINDINGS,), (Corpus.MEMORIES, Corpus.KNOWLEDGE)))
    return lambda uow: uow.corpora.search(
        query,
        embedding,
        repo=repo,
        limit=limit,
        weights=weights,
        corpora=corpora or tuple(Corpus),
        **options,
    )


SEARCHES: Final[Sequence[Operation]] = (
    search_vectors,
    search_words,
    search_both,
    search_findings,
    nearest_memories,
    nearest_for_owner,
    search_memories,
    recall,
    search_corpora,
)
