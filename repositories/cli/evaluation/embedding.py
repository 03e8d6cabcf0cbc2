"""Embeddings of texts of any length, from an embedder whose vectors are means over the words."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from domain.values.embedders import embed_texts, require_one_each
from domain.values.embedding import ZeroEmbedding, to_vector
from repositories.cli.demo.recording import CountsTokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgvector import Vector

    from domain import Embedder

PIECE_CHARACTERS: Final = 4_000
"""Longest text that the embedder gets.

It pads the texts of a batch to the longest one; with a book among them that takes gigabytes.
"""


async def embeddings(embedder: Embedder, texts: Sequence[str]) -> list[Vector | None]:
    """Return one embedding for each text, in order; None for a text without a known word.

    A long text is embedded in pieces. Its embedding is their mean, weighted by tokens, or by
    characters if the embedder does not count tokens.

    Raises:
        InvalidEmbedding: the embedder returned too few or too many embeddings, or a wrong one.
    """
    pieces = [list(_pieces(text)) for text in texts]
    flat = [piece for parts in pieces for piece in parts]
    vectors = iter(await embed_texts(embedder, flat))
    return [_mean(embedder, parts, list(islice(vectors, len(parts)))) for parts in pieces]


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = start + PIECE_CHARACTERS
        if end < len(text) and (space := text.rfind(" ", start, end)) > start:
            end = space
        yield text[start:end]
        start = end


def _sizes(embedder: Embedder, parts: Sequence[str]) -> Sequence[int]:
    if not isinstance(embedder, CountsTokens):
        return [len(part) for part in parts]
    sizes = embedder.count_tokens(parts)
    require_one_each(embedder, "counts of tokens", sizes, parts)
    return sizes


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
    if not total:
        return None
    columns = zip(
        *([tokens / total * component for component in vector] for tokens, vector in weighted),
        strict=True,
    )
    try:
        return to_vector([sum(column) for column in columns])
    except ZeroEmbedding:
        return None
