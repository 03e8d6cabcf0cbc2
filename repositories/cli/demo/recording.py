"""The demo's writes: units of work on the domain's ports, which skip what is stored already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from domain import Embedder, KnowledgeChunk, RunStatus, run_key, where
from domain.values.embedders import embed_texts, require_one_each
from repositories.cli.demo.report import BASE_SHA, PR_NUMBER, delivery_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from domain import ReadUnitOfWork, UnitOfWork
    from repositories.cli.demo.report import ReviewReport

BATCH: Final = 100
"""Number of passages that are embedded and written together."""


class Opens(Protocol):
    """An open database or its fake, which opens units of work."""

    def unit_of_work(self) -> UnitOfWork: ...

    def reader(self) -> ReadUnitOfWork: ...


@runtime_checkable
class CountsTokens(Embedder, Protocol):
    """An embedder that also counts the tokens of a text."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeChanges:
    """How many passages were embedded, unchanged, and deleted as no longer in the source."""

    embedded: int
    unchanged: int
    deleted: int


async def is_reviewed(database: Opens, repo: str, head_sha: str) -> bool:
    """Return whether a completed run reviewed this head."""
    async with database.reader() as view:
        run = await view.runs.find_by_key(run_key(repo, PR_NUMBER, BASE_SHA, head_sha))
    return run is not None and run.status is RunStatus.COMPLETED


async def record_review(
    database: Opens, embedder: Embedder, report: ReviewReport, *, head_sha: str
) -> bool:
    """Write a review with its findings and memories in one transaction.

    The memories are embedded before the transaction begins.

    Returns:
        False if another program has claimed the run.
    """
    embeddings = await embed_texts(embedder, [memory.finding_text for memory in report.memories])
    for memory, embedding in zip(report.memories, embeddings, strict=True):
        memory.embedding = embedding
    repo = report.review.repo
    async with database.unit_of_work() as uow:
        claim = await uow.runs.claim(
            repo,
            PR_NUMBER,
            base_sha=BASE_SHA,
            head_sha=head_sha,
            delivery_id=delivery_id(head_sha),
            action="opened",
        )
        if not claim.claimed:
            return False
        await uow.reviews.add_many([report.review])
        await uow.findings.add_many(report.findings)
        await uow.suppressions.add_many(report.suppressions)
        await uow.memories.write_many(report.memories)
        await uow.telemetry.record(report.telemetry)
        await uow.runs.complete(claim.run_key, claim.attempt)
        await uow.commit()
    return True


async def record_knowledge(
    database: Opens,
    embedder: CountsTokens,
    chunks: Sequence[KnowledgeChunk],
    repo: str,
    *,
    advance: Callable[[int], None],
) -> KnowledgeChanges:
    """Embed and write the new and changed passages, and delete the others of `repo`.

    Args:
        database: an open database.
        embedder: embeds the passages.
        chunks: all passages of the source.
        repo: the name of the source.
        advance: called with the number of passages after each batch.
    """
    stored = await _content_hashes(database, repo)
    changed = [chunk for chunk in chunks if stored.get(chunk.chunk_id) != chunk.content_hash]
    advance(len(chunks) - len(changed))
    for start in range(0, len(changed), BATCH):
        batch = changed[start : start + BATCH]
        await _embed(embedder, batch)
        async with database.unit_of_work() as uow:
            await uow.knowledge.upsert_many(batch)
            await uow.commit()
        advance(len(batch))
    removed = stored.keys() - {chunk.chunk_id for chunk in chunks}
    deleted = await _delete(database, repo, sorted(removed)) if removed else 0
    return KnowledgeChanges(
        embedded=len(changed), unchanged=len(chunks) - len(changed), deleted=deleted
    )


async def _content_hashes(database: Opens, repo: str) -> dict[str, bytes]:
    """Return the content hashes of the stored passages that have an embedding, by chunk id."""
    async with database.reader() as view:
        of_repo = (
            where("repo").equals(repo)
            & where("embedding").exists()
            & where("stale").equals(value=False)
        )
        return {
            chunk.chunk_id: chunk.content_hash async for chunk in view.knowledge.stream(of_repo)
        }


async def _embed(embedder: CountsTokens, chunks: Sequence[KnowledgeChunk]) -> None:
    texts = [chunk.content for chunk in chunks]
    embeddings, counts = await embed_texts(embedder, texts), embedder.count_tokens(texts)
    require_one_each(embedder, "counts of tokens", counts, texts)
    for chunk, embedding, tokens in zip(chunks, embeddings, counts, strict=True):
        chunk.embedding = embedding
        chunk.embedding_model = embedder.model
        chunk.token_count = tokens


async def _delete(database: Opens, repo: str, names: Sequence[str]) -> int:
    async with database.unit_of_work() as uow:
        deleted = await uow.knowledge.delete_chunks(names, repo=repo)
        await uow.commit()
    return deleted
