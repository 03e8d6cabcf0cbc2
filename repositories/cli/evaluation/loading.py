"""Load a collection: read, embed and write its documents in batches."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Final

from domain import KnowledgeChunk
from repositories.cli.evaluation.embedding import embeddings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from domain import Embedder
    from repositories.cli.demo.recording import Opens
    from repositories.cli.evaluation.collection import CollectionDocument, Line

    Batch = list[tuple[Line, CollectionDocument]]

BATCH: Final = 256
BATCH_CHARACTERS: Final = 1_000_000
"""A batch ends with the document that reaches one of the two limits."""

WRITERS: Final = 2
"""Number of concurrent units of work: one embeds while the other one writes."""

SOURCE_TYPE: Final = "document"


@dataclass(slots=True)
class LoadResult:
    """Counts of the documents; `judged` are the ids that have a judgement and exist."""

    documents: int = 0
    without_embedding: int = 0
    seconds: float = 0.0
    judged: set[str] = field(default_factory=set)


async def load(
    database: Opens,
    embedder: Embedder,
    documents: Iterable[tuple[Line, CollectionDocument]],
    *,
    judged: frozenset[str] = frozenset(),
    advance: Callable[[int], None],
) -> LoadResult:
    """Write every document as one chunk, in units of work of one batch each.

    Memory holds a few batches at a time, and the ids of all documents.

    Args:
        database: an open database.
        embedder: embeds the documents.
        documents: the documents with their lines.
        judged: ids of the documents that have a judgement.
        advance: called with the number of documents after each batch.

    Raises:
        InvalidInput: A document cannot be stored, or has the id of another one.
    """
    loaded, started = LoadResult(), perf_counter()
    batches = _batches(documents)

    async def write_batches() -> None:
        for batch in batches:
            await _write(database, embedder, batch, loaded)
            loaded.judged |= judged & {document.id for _, document in batch}
            advance(len(batch))

    try:
        async with asyncio.TaskGroup() as writers:
            for _ in range(WRITERS):
                writers.create_task(write_batches())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    loaded.seconds = perf_counter() - started
    return loaded


def _batches(documents: Iterable[tuple[Line, CollectionDocument]]) -> Iterator[Batch]:
    batch: Batch = []
    characters = 0
    ids: set[str] = set()
    for line, document in documents:
        if document.id in ids:
            raise line.refuse("another document has this id")
        ids.add(document.id)
        batch.append((line, document))
        characters += len(document.text)
        if len(batch) == BATCH or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


async def _write(database: Opens, embedder: Embedder, batch: Batch, loaded: LoadResult) -> None:
    vectors = await embeddings(embedder, [document.embedded_text for _, document in batch])
    chunks = [
        KnowledgeChunk(
            chunk_id=document.id,
            source=document.id,
            source_type=SOURCE_TYPE,
            title=document.title,
            content=document.text,
            embedding=vector,
            embedding_model=None if vector is None else embedder.model,
        )
        for (_, document), vector in zip(batch, vectors, strict=True)
    ]
    async with database.unit_of_work() as uow:
        await uow.knowledge.add_many(chunks)
        await uow.commit()
    loaded.documents += len(batch)
    loaded.without_embedding += vectors.count(None)
