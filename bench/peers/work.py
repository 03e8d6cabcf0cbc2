"""What every peer is given and asked to do; imported by the benchmark and, in an environment without it, by the peers' worker."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Passage:
    """One row of the corpus: ids are UUIDs as text, embeddings are lists of floats, as those libraries take them."""

    id: str
    title: str
    content: str
    metadata: dict[str, Any]
    embedding: list[float]


class Peer(Protocol):
    """One library with a table of its own."""

    async def reset(self, *, indexed: bool) -> None:
        """Make the table anew: with a vector index (HNSW, cosine, m = 16, ef_construction = 64) or without."""

    async def write(self, passages: Sequence[Passage]) -> None:
        """Write new passages, as the library does many."""

    async def search(self, embedding: list[float], limit: int) -> int:
        """Find the nearest passages with their text and return how many there were."""
        ...

    async def close(self) -> None: ...


async def do(peer: Any, corpus: Sequence[Passage], *, work: str, **details: Any) -> Any:
    """Have a peer make its table anew, write so many passages, search for one's neighbours, or get one by its id."""
    match work:
        case "reset":
            return await peer.reset(indexed=details["indexed"])
        case "write":
            return await peer.write(corpus[: details["count"]])
        case "search":
            return await peer.search(corpus[details["place"]].embedding, details["limit"])
        case "get":
            return await peer.get(corpus[details["place"]].id)
        case unknown:
            raise ValueError(unknown)


def save(folder: Path, passages: Sequence[Passage]) -> None:
    """Write the corpus where `load` finds it: a line of JSON and a run of float32 for each passage."""
    with (folder / "passages.jsonl").open("w") as lines, (folder / "embeddings.f32").open("wb") as numbers:
        for one in passages:
            print(json.dumps([one.id, one.title, one.content, one.metadata]), file=lines)
            array("f", one.embedding).tofile(numbers)


def load(folder: Path) -> list[Passage]:
    """Read the corpus that `save` wrote."""
    rows = [json.loads(line) for line in (folder / "passages.jsonl").read_text().splitlines()]
    numbers = array("f", (folder / "embeddings.f32").read_bytes())
    size = len(numbers) // max(1, len(rows))
    return [
        Passage(key, title, content, metadata, numbers[size * place : size * (place + 1)].tolist())
        for place, (key, title, content, metadata) in enumerate(rows)
    ]
