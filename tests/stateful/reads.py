"""Operations that read: they are asked of a unit of work and of a reader."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from domain import (
    AuthorCacheEntry,
    Category,
    Cursor,
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
from tests.stateful.conditions import some_filter
from tests.stateful.kinds import ALL, KIND_OF
from tests.stateful.texts import LOGINS, MODELS, PACKAGES, REPOS

if TYPE_CHECKING:
    from domain import UnitOfWork
    from tests.stateful.kinds import Call, Operation
    from tests.stateful.world import World

LIMITS: Final = (100, 1, 2, 3, 5, 0, 10_001)


def _limit(world: World) -> int:
    return 10 if world.choices.below(8) else world.choices.pick(LIMITS)


def find(world: World) -> Call:
    kind, loads = world.choices.pick(ALL), world.choices.one_in(3)
    key, get = world.id_of(kind), world.choices.one_in(2)
    if get:
        return lambda uow: KIND_OF[kind].read(uow).get(key, with_embedding=loads)
    return lambda uow: KIND_OF[kind].read(uow).find(key, with_embedding=loads)


def get_many(world: World) -> Call:
    kind, loads = world.choices.pick(ALL), world.choices.one_in(3)
    keys = world.choices.several(lambda: world.id_of(kind), 4)
    return lambda uow: KIND_OF[kind].read(uow).get_many(keys, with_embedding=loads)


def count(world: World) -> Call:
    kind = world.choices.pick(ALL)
    condition, asks = some_filter(world, kind), world.choices.below(2)
    if asks:
        return lambda uow: KIND_OF[kind].read(uow).exists(condition)
    return lambda uow: KIND_OF[kind].read(uow).count(condition)


def list_some(world: World) -> Call:
    kind = world.choices.pick(ALL)
    condition, limit, loads = some_filter(world, kind), _limit(world), world.choices.one_in(3)
    descending = world.choices.one_in(2)
    return lambda uow: (
        KIND_OF[kind]
        .read(uow)
        .list(condition, limit=limit, descending=descending, with_embedding=loads)
    )


def page(world: World) -> Call:
    kind = world.choices.pick(ALL)
    condition, limit, descending = (
        some_filter(world, kind),
        1 + world.choices.below(3),
        world.choices.one_in(2),
    )
    of = "Nothing" if world.choices.one_in(24) else kind.__name__
    after = (
        Cursor(listing=of, descending=descending, id=world.id_of(kind))
        if world.choices.below(3)
        else None
    )
    return lambda uow: (
        KIND_OF[kind].read(uow).page(condition, after=after, limit=limit, descending=descending)
    )


def pages(world: World) -> Call:
    kind = world.choices.pick(ALL)
    condition, limit, descending = (
        some_filter(world, kind),
        2 + world.choices.below(6),
        world.choices.one_in(2),
    )

    async def call(uow: UnitOfWork) -> Any:
        pages, after = [], None
        for _ in range(4):
            one = (
                await KIND_OF[kind]
                .read(uow)
                .page(condition, after=after, limit=limit, descending=descending)
            )
            pages.append([vars(item)["id"] for item in one.items])
            if (after := one.next) is None:
                break
        return pages

    return call


def stream(world: World) -> Call:
    kind = world.choices.pick(ALL)
    condition, size, descending = (
        some_filter(world, kind),
        1 + world.choices.below(5),
        world.choices.one_in(2),
    )

    async def call(uow: UnitOfWork) -> Any:
        streamed = (
            KIND_OF[kind]
            .read(uow)
            .stream(condition, batch_size=size, descending=descending, with_embedding=True)
        )
        # Not entities that a unit of work would track.
        return tuple([one.model_copy() async for one in streamed])

    return call


def find_chunk(world: World) -> Call:
    chunk, loads = world.known(KnowledgeChunk), world.choices.one_in(2)
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
    repo, limit = world.choices.pick(REPOS), _limit(world)
    return lambda uow: uow.findings.recent_comment_candidates(repo, limit=limit)


def find_by_comment(world: World) -> Call:
    repo, comment = world.choices.pick(REPOS), world.choices.pick((1, 2, 2**40))
    return lambda uow: uow.findings.find_by_comment(repo, comment)


def prior(world: World) -> Call:
    repo, number, limit = world.choices.pick(REPOS), 1 + world.choices.below(3), _limit(world)
    return lambda uow: uow.findings.prior(repo, number, limit=limit)


def reaction_patterns(world: World) -> Call:
    repo = world.choices.pick(REPOS)
    return lambda uow: uow.reactions.patterns(repo)


def last_reviewed_head(world: World) -> Call:
    repo, number = world.choices.pick(REPOS), 1 + world.choices.below(3)
    return lambda uow: uow.runs.last_reviewed_head(repo, number)


def find_by_key(world: World) -> Call:
    if world.choices.one_in(2):
        run = world.known(RunState)
        return lambda uow: uow.runs.find_by_key(run.run_key)
    checkpoint = world.known(ReviewCheckpoint)
    return lambda uow: uow.checkpoints.find_by_key(checkpoint.review_output_key)


def find_author(world: World) -> Call:
    author, age = world.known(AuthorCacheEntry), timedelta(days=world.choices.pick((1, 7, 30, -1)))
    return lambda uow: uow.authors.find_author(author.repo, author.author_login, max_age=age)


def bump_history(world: World) -> Call:
    repo, package, limit = world.choices.pick(REPOS), world.choices.pick(PACKAGES), _limit(world)
    return lambda uow: uow.dependency_bumps.history(repo, package, limit=limit)


def memory_exists(world: World) -> Call:
    memory, outcome = world.known(LearningMemory), world.choices.pick(tuple(Outcome))
    finding = memory.finding_id or world.id_of(Finding)
    return lambda uow: uow.memories.exists_for(memory.repo, finding, outcome)


def lookup_pattern(world: World) -> Call:
    pattern = world.known(GlobalPattern)
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
    condition, limit = some_filter(world, Review), _limit(world)
    return lambda uow: uow.reviews.list(condition, limit=limit)


READS: Final[Sequence[Operation]] = (
    find,
    get_many,
    count,
    list_some,
    page,
    pages,
    stream,
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
