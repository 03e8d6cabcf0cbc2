"""The peers as ways to compare.

Those of their own environment, and those that a team writes by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from bench.measuring import Way
from bench.peers.plain import DocumentStore, PlainSQLModel, ReviewStore
from bench.peers.process import NAMES, peers
from bench.peers.work import Corpus, Passage, Peer, do, save
from domain import KnowledgeChunk

LANGCHAIN: Final = "langchain-postgres"
SQLMODEL: Final = "SQLModel as its users write it"
DOCUMENTS: Final = "a document store, two transactions a row"
_PLAIN: Final[Mapping[str, Callable[[str, int], Peer]]] = {
    SQLMODEL: PlainSQLModel,
    "a review agent's store, an INSERT a row": ReviewStore,
    DOCUMENTS: DocumentStore,
}
SEARCHING_PEERS: Final = ("langchain-postgres", "llama-index", SQLMODEL)
"""The peers that search the same rows by vector."""

_GETTERS: Final = ("advanced-alchemy", SQLMODEL)

_Ask = Callable[..., Awaitable[Any]]


class Others:
    """The other libraries that are measured; `Others.none()` has none."""

    def __init__(self, asks: dict[str, _Ask]) -> None:
        self._asks = asks

    @classmethod
    def none(cls) -> Others:
        return cls({})

    def writing(self, count: int, *, indexed: bool) -> list[Way]:
        """Return the ways to write that many passages into an empty table."""
        return [
            Way(
                name=name,
                run=partial(ask, work="write", count=count),
                prepare=partial(ask, work="reset", indexed=indexed),
            )
            for name, ask in self._asks.items()
        ]

    def searching(self, limit: int) -> list[Way]:
        """Return the ways to find the nearest passages of the first one; call `fill` first."""
        return [
            Way(name=name, run=partial(ask, work="search", place=0, limit=limit))
            for name, ask in self._asks.items()
        ]

    def getting(self) -> list[Way]:
        """Return the ways to read a passage by its id, in tables that `fill` has filled."""
        return [
            Way(name=name, run=partial(self._asks[name], work="get", place=0))
            for name in _GETTERS
            if name in self._asks
        ]

    async def fill(self) -> None:
        """Put the whole corpus into tables with a vector index.

        The code of a team uses a single table.
        """
        for name in (*NAMES, SQLMODEL):
            if name in self._asks:
                await self._asks[name](work="fill")


@asynccontextmanager
async def others(
    url: str, chunks: Sequence[KnowledgeChunk], *, count: int, dimensions: int
) -> AsyncIterator[Others]:
    """Start all peers on a database with these chunks; they write the first `count` repeatedly."""
    plain: dict[str, Peer] = {name: store(url, dimensions) for name, store in _PLAIN.items()}
    with TemporaryDirectory(prefix="recollect-bench-") as folder:
        save(Path(folder), map(_passage, chunks))
        corpus = Corpus(Path(folder), dimensions, count)
        async with peers(url, Path(folder), dimensions=dimensions, count=count) as worker:
            asks: dict[str, _Ask] = {name: partial(worker.ask, name) for name in NAMES}
            asks |= {name: partial(do, store, corpus) for name, store in plain.items()}
            yield Others(asks)
        for store in plain.values():
            await store.close()


def _passage(chunk: KnowledgeChunk) -> Passage:
    assert chunk.embedding is not None
    return Passage(
        str(chunk.id),
        chunk.title or "",
        chunk.content,
        dict(chunk.metadata_),
        chunk.embedding.to_list(),
    )
