"""A collection's documents in the database: read, embedded and written a batch at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Final

from domain import AlreadyExists, KnowledgeChunk
from repositories.cli.evaluation.embedding import embeddings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from repositories.cli.demo.recording import CountsTokens, Opens
    from repositories.cli.evaluation.collection import Document, Line

    Batch = list[tuple[Line, Document]]

BATCH: Final = 256
BATCH_CHARACTERS: Final = 1_000_000
"""A batch ends with the document that reaches either."""

WRITERS: Final = 2
"""Units of work at a time: while one embeds, another one writes."""

SOURCE_TYPE: Final = "document"


@dataclass(slots=True)
class Loaded:
    """What became of the documents.

    `judged` are those that the relevance file names and that exist.
    """

    documents: int = 0
    without_embedding: int = 0
    seconds: float = 0.0
    judged: set[str] = field(default_factory=set)


async def load(
    database: Opens,
    embedder: CountsTokens,
    documents: Iterable[tuple[Line, Document]],
    *,
    judged: frozenset[str] = frozenset(),
    advance: Callable[[int], None],
) -> Loaded:
    """Write every document as one chunk of its own name, and return what became of them; each batch
    is a unit of work.

    What is read, embedded and not yet written is a few batches. `advance` is called with the number
    of documents written.

    Raises:
        InvalidInput: a document cannot be stored, or has the id of another one.
    """
    loaded, started = Loaded(), perf_counter()
    waiting = _batches(documents)

    async def write_batches() -> None:
        for batch in waiting:
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


def _batches(documents: Iterable[tuple[Line, Document]]) -> Iterator[Batch]:
    batch: Batch = []
    characters = 0
    for line, document in documents:
        batch.append((line, document))
        characters += len(document.text)
        if len(batch) == BATCH or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


async def _write(database: Opens, embedder: CountsTokens, batch: Batch, loaded: Loaded) -> None:
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
    try:
        async with database.unit_of_work() as uow:
            await uow.knowledge.add_many(chunks)
            await uow.commit()
    except AlreadyExists:
        pass
    else:
        loaded.documents += len(batch)
        loaded.without_embedding += vectors.count(None)
        return
    raise (await _second_of_its_name(database, batch)).refuse("another document has this id")


async def _second_of_its_name(database: Opens, batch: Batch) -> Line:
    """Return the line of the batch that the database refused for its id."""
    names: set[str] = set()
    async with database.reader() as view:
        for line, document in batch:
            if (
                document.id in names
                or await view.knowledge.find_by_chunk_id(document.id) is not None
            ):
                return line
            names.add(document.id)
    return batch[0][0]
