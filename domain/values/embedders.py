"""Calls of an embedder, whose results are checked before they are used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from inspect import isawaitable
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn

from domain.errors import InvalidEmbedding
from domain.values.embedding import ZeroEmbedding, require_dimensions, to_vector

if TYPE_CHECKING:
    from pgvector import Vector

    from domain.values.embedding import Embedder


async def embed_texts(embedder: Embedder, texts: Sequence[str]) -> list[Vector | None]:
    """Return one embedding for each text, in order; None for an embedding that is all zeros.

    Means of word vectors are zeros for a text without a known word. Without texts, the embedder is
    not called.

    Raises:
        InvalidEmbedding: the embedder returned another number of embeddings than texts, or one that
            is not a finite vector of its dimensions.
    """
    if not texts:
        return []
    pending: Any = embedder.embed(texts)
    if not isawaitable(pending):
        _fail(embedder, "is not asynchronous: write `async def embed`, which returns a list")
    embeddings: Any = await pending
    if not isinstance(embeddings, Iterable) or isinstance(embeddings, str | bytes):
        _fail(embedder, f"returned {type(embeddings).__name__}: return a list of embeddings")
    first = islice(embeddings, len(texts) + 1)  # a generator may never end
    vectors = [_vector(embedder, place, one) for place, one in enumerate(first, 1)]
    require_one_each(embedder, "embeddings", vectors, texts)
    return vectors


def require_one_each(
    embedder: Embedder, what: str, results: Sequence[object], texts: Sequence[str]
) -> None:
    """Raise InvalidEmbedding unless the embedder returned as many results as it got texts."""
    if len(results) != len(texts):
        problem = "few" if len(results) < len(texts) else "many"
        _fail(
            embedder,
            f"returned too {problem} {what} for {len(texts)} texts: return one for each, in order",
        )


def _vector(embedder: Embedder, place: int, embedding: Any) -> Vector | None:
    try:
        vector = to_vector(embedding)
        require_dimensions(vector, embedder.dimensions)
    except ZeroEmbedding:
        return None
    except ValueError as error:
        _fail(embedder, f"returned a wrong embedding for text {place}: {error}")
    return vector


def _fail(embedder: Embedder, problem: str) -> NoReturn:
    name = f"{embedder.provider} {embedder.model}"
    raise InvalidEmbedding(f"the embedder {name} {problem}", field="embedding") from None
