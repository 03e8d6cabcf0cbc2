"""Operations that read, in a unit of work and in a reader."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from domain import (
    AuthorCacheEntry,
    Category,
    Finding,
    GlobalPattern,
    KnowledgeChunk,
    LearningMemory,
    Outcome,
    Review,
    ReviewCheckpoint,
    RunState,
    UsageBy,
)
from repositories.testing.stateful import operations
from repositories.testing.stateful.conditions import some_filter
from repositories.testing.stateful.operations import some_limit
from tests.stateful.texts import LOGINS, MODELS, PACKAGES, REPOS

if TYPE_CHECKING:
    from repositories.testing.stateful.operations import Call, Operation
    from repositories.testing.stateful.world import World


def find_chunk(world: World) -> Call:
    chunk, loads = world.existing(KnowledgeChunk), world.choices.one_in(2)
    return lambda uow: uow.knowledge.find_by_chunk_id(
        chunk.chunk_id, repo=chunk.repo, with_embedding=loads
    )


def embedding_metadata(world: World) -> Call:
    match world.choices.below(3):
        case 0:
            return lambda uow: uow.embedding_metadata.find()
        case 1:
            return lambda uow: uow.embedding_metadata.get()
        case _:
            model, size = world.choices.pick(MODELS), 8 + world.choices.below(2)
            return lambda uow: uow.embedding_metadata.check_compatible(
                provider="example", model=model, dimensions=size
            )


def stats(world: World) -> Call:
    repo, since = (
        world.choices.pick(REPOS),
        world.base - timedelta(days=5) if world.choices.one_in(2) else None,
    )
    return lambda uow: uow.reviews.stats(repo, since=since)


def trends(world: World) -> Call:
    repo, days = world.choices.pick(REPOS), world.choices.pick((12, 1, 50, 0))
    return lambda uow: uow.reviews.trends(repo, days=days)


def comment_candidates(world: World) -> Call:
    repo, limit = world.choices.pick(REPOS), some_limit(world)
    return lambda uow: uow.findings.recent_comment_candidates(repo, limit=limit)


def find_by_comment(world: World) -> Call:
    repo, comment = world.choices.pick(REPOS), world.choices.pick((1, 2, 2**40))
    return lambda uow: uow.findings.find_by_comment(repo, comment)


def prior(world: World) -> Call:
    repo, number, limit = world.choices.pick(REPOS), 1 + world.choices.below(3), some_limit(world)
    return lambda uow: uow.findings.prior(repo, number, limit=limit)


def reaction_patterns(world: World) -> Call:
    repo = world.choices.pick(REPOS)
    return lambda uow: uow.reactions.patterns(repo)


def last_reviewed_head(world: World) -> Call:
    repo, number = world.choices.pick(REPOS), 1 + world.choices.below(3)
    return lambda uow: uow.runs.last_reviewed_head(repo, number)


def find_by_key(world: World) -> Call:
    if world.choices.one_in(2):
        run = world.existing(RunState)
        return lambda uow: uow.runs.find_by_key(run.run_key)
    checkpoint = world.existing(ReviewCheckpoint)
    return lambda uow: uow.checkpoints.find_by_key(checkpoint.review_output_key)


def find_author(world: World) -> Call:
    author, age = (
        world.existing(AuthorCacheEntry),
        timedelta(days=world.choices.pick((1, 7, 30, -1))),
    )
    return lambda uow: uow.authors.find_author(author.repo, author.author_login, max_age=age)


def bump_history(world: World) -> Call:
    repo, package, limit = (
        world.choices.pick(REPOS),
        world.choices.pick(PACKAGES),
        some_limit(world),
    )
    return lambda uow: uow.dependency_bumps.history(repo, package, limit=limit)


def memory_exists(world: World) -> Call:
    memory, outcome = world.existing(LearningMemory), world.choices.pick(tuple(Outcome))
    finding = memory.finding_id or world.id_of(Finding)
    return lambda uow: uow.memories.exists_for(memory.repo, finding, outcome)


def lookup_pattern(world: World) -> Call:
    pattern = world.existing(GlobalPattern)
    kind = (
        pattern.severity,
        Category.CORRECTNESS,
        pattern.confidence_band,
        pattern.pattern_fingerprint,
    )
    return lambda uow: uow.patterns.lookup(*kind)


def timeouts(world: World) -> Call:
    repo, author, days = (
        world.choices.pick(REPOS),
        world.choices.pick(LOGINS),
        world.choices.pick((7, 1, 30, 100, -1)),
    )
    return lambda uow: uow.telemetry.count_recent_timeouts(repo, author, days=days)


def usage(world: World) -> Call:
    by, repo = world.choices.pick(tuple(UsageBy)), world.choices.maybe(REPOS)
    since = (
        world.base - timedelta(days=world.choices.pick((20, 5)))
        if world.choices.one_in(2)
        else None
    )
    until = world.base - timedelta(days=1) if world.choices.one_in(2) else None
    return lambda uow: uow.telemetry.usage(by=by, repo=repo, since=since, until=until)


def reviews_of_a_repo(world: World) -> Call:
    condition, limit = some_filter(world, Review), some_limit(world)
    return lambda uow: uow.reviews.list(condition, limit=limit)


READS: Final[Sequence[Operation]] = (
    *operations.READS,
    find_chunk,
    embedding_metadata,
    stats,
    trends,
    comment_candidates,
    find_by_comment,
    prior,
    reaction_patterns,
    last_reviewed_head,
    find_by_key,
    find_author,
    bump_history,
    memory_exists,
    lookup_pattern,
    timeouts,
    usage,
    reviews_of_a_repo,
)
