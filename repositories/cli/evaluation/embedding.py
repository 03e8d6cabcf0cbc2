"""Embeddings of texts of any length, from an embedder whose vectors are means over the words."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from domain.values.embedding import to_vector
from repositories.cli.demo.recording import CountsTokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgvector import Vector

    from domain import Embedder
    from domain.values.embedding import VectorLike

PIECE_CHARACTERS: Final = 4_000
"""Longest text that the embedder gets.

It pads the texts of a batch to the longest one; with a book among them that takes gigabytes.
"""


async def embeddings(embedder: Embedder, texts: Sequence[str]) -> list[Vector | None]:
    """Return one embedding for each text, in order; None for a text without a known word.

    A long text is embedded in pieces. Its embedding is their mean, weighted by tokens, or by
    characters if the embedder does not count tokens.
    """
    pieces = [list(_pieces(text)) for text in texts]
    flat = [piece for parts in pieces for piece in parts]
    vectors = iter(await embedder.embed(flat) if flat else ())
    return [
        _mean(embedder, parts, [_vector(vector) for vector in islice(vectors, len(parts))])
        for parts in pieces
    ]


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = start + PIECE_CHARACTERS
        if end < len(text) and (space := text.rfind(" ", start, end)) > start:
            end = space
        yield text[start:end]
        start = end


def _vector(embedding: VectorLike) -> Vector | None:
    try:
        return to_vector(embedding)
    except ValueError:
        return None


def _sizes(embedder: Embedder, parts: Sequence[str]) -> Sequence[int]:
    if isinstance(embedder, CountsTokens):
        return embedder.count_tokens(parts)
    return [len(part) for part in parts]


def _mean(
    embedder: Embedder, parts: Sequence[str], vectors: Sequence[Vector | None]
) -> Vector | None:
    if len(vectors) <= 1:
        return next(iter(vectors), None)
    weighted = [
        (tokens, vector.to_list())
        for tokens, vector in zip(_sizes(embedder, parts), vectors, strict=True)
        if vector is not None
    ]
    total = sum(tokens for tokens, _ in weighted)
    columns = zip(
        *([tokens / total * component for component in vector] for tokens, vector in weighted),
        strict=True,
    )
    return _vector([sum(column) for column in columns]) if weighted else None
