"""Operations that write, one repository after another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from domain import (
    AuthorCacheEntry,
    DependencyBumpMerge,
    EmbeddingRepair,
    FeedbackReaction,
    Finding,
    GlobalPattern,
    KnowledgeChunk,
    LearningMemory,
    RateLimitEvent,
    RepairedEmbedding,
    ResilienceEvent,
    RetrievalQualityEvent,
    Review,
    ReviewCheckpoint,
    RunState,
    TelemetryEvent,
)
from domain.values.embedding import UNSPECIFIED
from repositories.testing.stateful import operations
from repositories.testing.stateful.conditions import a_filter
from repositories.testing.stateful.operations import add_one, copies
from tests.stateful.texts import HEADS, LOGINS, MODELS, REPOS, VECTORS

if TYPE_CHECKING:
    from domain import Repairs, UnitOfWork
    from repositories.testing.stateful.operations import Call, Operation
    from repositories.testing.stateful.world import World

EMBEDDED: Final[Sequence[type[Any]]] = (KnowledgeChunk, LearningMemory)


def add_finding(world: World) -> Call:
    return add_one(world, Finding)


def add_review(world: World) -> Call:
    return add_one(world, Review)


def upsert_chunks(world: World) -> Call:
    chunks = world.some(KnowledgeChunk)
    return lambda uow: uow.knowledge.upsert_many(copies(chunks))


def _at_most(world: World) -> int | None:
    if world.choices.below(2):
        return None
    return world.choices.pick((1, 2, 3, 10_000, 0, 10_000_000))


def delete_chunks_where(world: World) -> Call:
    condition, rows = a_filter(world, KnowledgeChunk), _at_most(world)
    return lambda uow: uow.knowledge.delete_where(condition, at_most=rows)


def delete_chunks(world: World) -> Call:
    chunks = world.choices.several(lambda: world.existing(KnowledgeChunk))
    names, repo = [chunk.chunk_id for chunk in chunks], chunks[0].repo if chunks else ""
    return lambda uow: uow.knowledge.delete_chunks(
        [*names, "no such chunk"] if names else [], repo=repo
    )


def reset_knowledge(world: World) -> Call:
    if world.choices.below(4):
        return lambda uow: uow.embedding_metadata.set(
            provider="example", model=MODELS[0], dimensions=8
        )
    rows = _at_most(world)
    return lambda uow: uow.knowledge.reset(at_most=rows)


def set_embedding_metadata(world: World) -> Call:
    model, dimensions = world.choices.pick(MODELS), 9 if world.choices.one_in(6) else 8
    provider = UNSPECIFIED if world.choices.one_in(3) else "example"
    return lambda uow: uow.embedding_metadata.set(
        provider=provider, model=model, dimensions=dimensions
    )


def agree_on_embeddings(world: World) -> Call:
    provider = world.choices.pick(("example", UNSPECIFIED, "other"))
    model, dimensions = world.choices.pick(MODELS), 9 if world.choices.one_in(6) else 8
    return lambda uow: uow.embedding_metadata.agree_on_embeddings(
        provider=provider, model=model, dimensions=dimensions
    )


def add_reactions(world: World) -> Call:
    reactions = world.some(FeedbackReaction)
    return lambda uow: uow.reactions.add_many(copies(reactions))


def withdraw_reaction(world: World) -> Call:
    reaction = world.existing(FeedbackReaction)
    key = reaction.reaction_id + world.choices.one_in(6)
    return lambda uow: uow.reactions.withdraw(reaction.repo, reaction.comment_id, key)


def clear_reactions(world: World) -> Call:
    repo, rows = world.choices.pick(REPOS), _at_most(world)
    return lambda uow: uow.reactions.clear(repo, at_most=rows)


def delete_findings_of_review(world: World) -> Call:
    review, rows = world.id_of(Review), _at_most(world)
    return lambda uow: uow.findings.delete_of_review(review, at_most=rows)


def write_memory(world: World) -> Call:
    memory = world.maybe_invalid(LearningMemory)
    return lambda uow: uow.memories.write(memory.model_copy(deep=True))


def write_memories(world: World) -> Call:
    memories = world.choices.several(lambda: world.make(LearningMemory), 5)
    return lambda uow: uow.memories.write_many(copies(memories))


def mark_memories_stale(world: World) -> Call:
    model, rows = world.choices.pick(MODELS), _at_most(world)
    return lambda uow: uow.memories.mark_stale(model, at_most=rows)


def delete_stale_memories(world: World) -> Call:
    rows = _at_most(world)
    return lambda uow: uow.memories.delete_stale(at_most=rows)


def _repairs(uow: UnitOfWork, kind: type[Any]) -> Repairs:
    return uow.knowledge if kind is KnowledgeChunk else uow.memories


def write_repaired(world: World) -> Call:
    kind = world.choices.pick(EMBEDDED)
    repaired = {
        world.id_of(kind): world.choices.pick(VECTORS) for _ in range(1 + world.choices.below(3))
    }
    rows = [RepairedEmbedding(id=key, embedding=vector) for key, vector in repaired.items()]
    job, model = world.choices.pick(("job", "other")), world.choices.pick(MODELS)
    state = EmbeddingRepair(
        corpus=kind.__tablename__,
        key=job,
        target_model=model,
        cursor=max(repaired),
        processed=len(rows),
    )
    return lambda uow: _repairs(uow, kind).write_repaired(rows, state.model_copy())


def save_repair_state(world: World) -> Call:
    kind, job = world.choices.pick(EMBEDDED), world.choices.pick(("job", "other"))
    state = EmbeddingRepair(
        corpus=kind.__tablename__,
        key=job,
        target_model=world.choices.pick(MODELS),
        cursor=world.id_of(kind) if world.choices.one_in(2) else None,
        processed=world.choices.below(5),
    )
    return lambda uow: _repairs(uow, kind).save_repair_state(state.model_copy())


def repair_state(world: World) -> Call:
    kind, job = world.choices.pick(EMBEDDED), world.choices.pick(("job", "other"))
    return lambda uow: _repairs(uow, kind).repair_state(job)


def repair_candidates(world: World) -> Call:
    kind, model, limit = (
        world.choices.pick(EMBEDDED),
        world.choices.pick(MODELS),
        world.choices.pick((100, 1, 2, 0)),
    )
    after = world.id_of(kind) if world.choices.one_in(2) else None
    if world.choices.one_in(3):
        return lambda uow: _repairs(uow, kind).count_repair_candidates(model)
    return lambda uow: _repairs(uow, kind).repair_candidates(model, after=after, limit=limit)


def record_pattern(world: World) -> Call:
    pattern = world.make(GlobalPattern)
    return lambda uow: uow.patterns.record(pattern.model_copy())


def claim_run(world: World) -> Call:
    repo, number, head = (
        world.choices.pick(REPOS),
        1 + world.choices.below(3),
        world.choices.pick(HEADS),
    )
    delivery, again = world.choices.pick(("d", "e")), world.choices.one_in(4)
    occurred_at = world.moment() if world.choices.one_in(2) else None
    return lambda uow: uow.runs.claim(
        repo,
        number,
        base_sha="base",
        head_sha=head,
        delivery_id=delivery,
        action="opened",
        occurred_at=occurred_at,
        again=again,
    )


def _attempt(world: World) -> Callable[[UnitOfWork, str], Awaitable[UUID]]:
    if world.choices.one_in(8):
        other = world.new_id()
        return lambda _, __: _value(other)
    return _stored_attempt


async def _value(attempt: UUID) -> UUID:
    return attempt


async def _stored_attempt(uow: UnitOfWork, key: str) -> UUID:
    # The token of a claim is not the same on both sides.
    run = await uow.runs.find_by_key(key)
    return UUID(int=0) if run is None else run.attempt


def heartbeat(world: World) -> Call:
    key = "no such run" if world.choices.one_in(8) else world.existing(RunState).run_key
    attempt, lease = _attempt(world), timedelta(minutes=1 + world.choices.below(120))

    async def call(uow: UnitOfWork) -> object:
        return await uow.runs.heartbeat(key, await attempt(uow, key), lease=lease)

    return call


def complete_run(world: World) -> Call:
    key = "no such run" if world.choices.one_in(8) else world.existing(RunState).run_key
    attempt = _attempt(world)

    async def call(uow: UnitOfWork) -> object:
        return await uow.runs.complete(key, await attempt(uow, key))

    return call


def purge_runs(world: World) -> Call:
    ages = {
        "completed_days": (30, 7, 1, -1),
        "superseded_days": (7, 1, 30),
        "pending_hours": (1, 24 * 7),
    }
    spans: dict[str, Any] = {name: world.choices.pick(options) for name, options in ages.items()}
    rows = _at_most(world)
    return lambda uow: uow.runs.purge(**spans, at_most=rows)


def save_checkpoint(world: World) -> Call:
    checkpoint = world.make(ReviewCheckpoint)
    return lambda uow: uow.checkpoints.save(checkpoint.model_copy(deep=True))


def change_checkpoint(world: World) -> Call:
    key, deletes = f"output-{world.choices.below(5)}", world.choices.one_in(2)
    if deletes:
        return lambda uow: uow.checkpoints.delete_by_key(key)
    return lambda uow: uow.checkpoints.set_comment(key, 2**40)


def upsert_author(world: World) -> Call:
    author = world.maybe_invalid(AuthorCacheEntry)
    return lambda uow: uow.authors.upsert(author.model_copy())


def purge_authors(world: World) -> Call:
    days, rows = world.choices.pick((7.0, 1.0, 30.0, -1.0, 0.5)), _at_most(world)
    return lambda uow: uow.authors.purge(days=days, at_most=rows)


def record_bump(world: World) -> Call:
    bump = world.make(DependencyBumpMerge)
    return lambda uow: uow.dependency_bumps.record(bump.model_copy(deep=True))


def record_event(world: World) -> Call:
    event = world.maybe_invalid(TelemetryEvent)
    return lambda uow: uow.telemetry.record(event.model_copy())


def record_events(world: World) -> Call:
    events = world.choices.several(lambda: world.make(TelemetryEvent), 4)
    return lambda uow: uow.telemetry.record_many(copies(events))


def record_rate_limit(world: World) -> Call:
    event = world.make(RateLimitEvent)
    return lambda uow: uow.telemetry.record_rate_limit(event.model_copy())


def record_retrieval_quality(world: World) -> Call:
    event = world.make(RetrievalQualityEvent)
    return lambda uow: uow.telemetry.record_retrieval_quality(event.model_copy())


def record_resilience(world: World) -> Call:
    event = world.make(ResilienceEvent)
    return lambda uow: uow.telemetry.record_resilience(event.model_copy())


def purge_telemetry(world: World) -> Call:
    age, size = (
        timedelta(days=world.choices.pick((30, 7, 1, 100, -1))),
        world.choices.pick((10_000, 1, 2)),
    )
    rows = _at_most(world)
    return lambda uow: uow.telemetry.purge(older_than=age, batch_size=size, at_most=rows)


def delete_author(world: World) -> Call:
    login = world.choices.pick(LOGINS)
    condition_id = next(
        (entry.id for entry in world.entities(AuthorCacheEntry) if entry.author_login == login),
        world.new_id(),
    )
    return lambda uow: uow.authors.delete(condition_id)


WRITES: Final[Sequence[Operation]] = (
    *operations.WRITES,
    add_finding,
    add_review,
    upsert_chunks,
    delete_chunks_where,
    delete_chunks,
    reset_knowledge,
    set_embedding_metadata,
    agree_on_embeddings,
    add_reactions,
    withdraw_reaction,
    clear_reactions,
    delete_findings_of_review,
    write_memory,
    write_memories,
    mark_memories_stale,
    delete_stale_memories,
    write_repaired,
    save_repair_state,
    repair_state,
    repair_candidates,
    record_pattern,
    claim_run,
    heartbeat,
    complete_run,
    purge_runs,
    save_checkpoint,
    change_checkpoint,
    upsert_author,
    purge_authors,
    record_bump,
    record_event,
    record_events,
    record_rate_limit,
    record_retrieval_quality,
    record_resilience,
    purge_telemetry,
    delete_author,
)
