"""The work of every peer.

Imported by the benchmark and, in an environment without it, by the peers' worker.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol

_PART: Final = 1_000
_LINES: Final = "passages.jsonl"
_NUMBERS: Final = "embeddings.f32"


@dataclass(frozen=True)
class Passage:
    """One row of the corpus.

    Ids are UUIDs as text, embeddings are lists of floats, as those libraries take them.
    """

    id: str
    title: str
    content: str
    metadata: dict[str, Any]
    embedding: list[float]


class Peer(Protocol):
    """One library with a table of its own."""

    async def reset(self) -> None:
        """Create the table again, without a vector index."""

    async def index(self) -> None:
        """Build a vector index: HNSW, cosine, m = 16, ef_construction = 64."""

    async def write(self, passages: Sequence[Passage]) -> None:
        """Write new passages, as the library does many."""

    async def search(self, embedding: list[float], limit: int) -> int:
        """Find the nearest passages with their text and return how many there were."""
        ...

    async def close(self) -> None: ...


class Corpus:
    """The passages of a folder.

    The first `count` are at hand, all of them would take gigabytes as lists of floats.
    """

    def __init__(self, folder: Path, dimensions: int, count: int) -> None:
        self._folder = folder
        self._dimensions = dimensions
        self.at_hand = next(self.parts(count))

    def parts(self, size: int = _PART) -> Iterator[Sequence[Passage]]:
        """Yield all passages, so many at a time."""
        with (
            (self._folder / _LINES).open() as lines,
            (self._folder / _NUMBERS).open("rb") as numbers,
        ):
            while described := [json.loads(line) for line in islice(lines, size)]:
                flat = array("f")
                flat.fromfile(numbers, self._dimensions * len(described))
                starts = range(0, len(flat), self._dimensions)
                embeddings = (flat[start : start + self._dimensions].tolist() for start in starts)
                yield [
                    Passage(key, title, content, metadata, embedding)
                    for (key, title, content, metadata), embedding in zip(
                        described, embeddings, strict=True
                    )
                ]


def save(folder: Path, passages: Iterable[Passage]) -> None:
    """Write passages where a `Corpus` finds them: a line of JSON and a run of float32 for each."""
    with (folder / _LINES).open("w") as lines, (folder / _NUMBERS).open("wb") as numbers:
        for one in passages:
            print(json.dumps([one.id, one.title, one.content, one.metadata]), file=lines)
            array("f", one.embedding).tofile(numbers)


async def do(peer: Any, corpus: Corpus, *, work: str, **details: Any) -> None:
    """Have a peer create its table, fill it with the corpus, write, search, or get one passage."""
    match work:
        case "reset":
            await peer.reset()
            if details["indexed"]:
                await peer.index()
        case "fill":
            await peer.reset()
            for part in corpus.parts():
                await peer.write(part)
            await peer.index()
        case "write":
            await peer.write(corpus.at_hand[: details["count"]])
        case "search":
            row_count = await peer.search(
                corpus.at_hand[details["place"]].embedding, details["limit"]
            )
            if row_count != details["limit"]:
                raise ValueError(row_count)
        case "get":
            await peer.get(corpus.at_hand[details["place"]].id)
        case unknown:
            raise ValueError(unknown)
