"""The results of embedders are checked: their number, dimensions and components."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import pytest

from domain import InvalidEmbedding, Vector
from domain.values.embedders import embed_texts
from domain.values.embedding import to_vector
from repositories.cli.evaluation.embedding import embeddings

_ONE = [1.0, 0.0]


class _Embedder:
    provider = "provider"
    model = "model"
    dimensions = 2

    def __init__(self, results: Callable[[Sequence[str]], Any]) -> None:
        self._results = results

    async def embed(self, texts: Sequence[str]) -> Any:
        return self._results(texts)


@pytest.mark.parametrize(
    "results",
    [
        lambda _: [_ONE, _ONE],
        lambda _: (_ONE for _ in range(2)),
        lambda _: np.array([_ONE, _ONE], dtype=np.float32),
        lambda _: [Vector(_ONE), tuple(_ONE)],
    ],
)
async def test_lists_generators_and_arrays_of_embeddings_are_vectors(results: Any) -> None:
    assert await embed_texts(_Embedder(results), ["a", "b"]) == [Vector(_ONE)] * 2


async def test_an_embedding_of_zeros_is_none() -> None:
    vectors = await embed_texts(_Embedder(lambda _: [[0.0, 0.0], _ONE]), ["a", "b"])
    assert vectors == [None, Vector(_ONE)]


async def test_no_texts_call_no_embedder() -> None:
    assert await embed_texts(_Embedder(lambda _: pytest.fail("called")), []) == []


@pytest.mark.parametrize(
    ("results", "message"),
    [
        (lambda _: [_ONE], "too few embeddings for 2 texts"),
        (lambda _: [_ONE] * 3, "too many embeddings for 2 texts"),
        (lambda _: repeat(_ONE), "too many embeddings for 2 texts"),
        (lambda _: [_ONE, [1.0]], "for text 2: the embedding has 1 dimensions, not 2"),
        (lambda _: [_ONE, [float("nan"), 1.0]], "for text 2: a component"),
        (lambda _: [_ONE, []], "for text 2: the embedding has no components"),
        (lambda _: [_ONE, None], "for text 2: an embedding is"),
        (lambda _: ["secret", _ONE], "for text 1: an embedding is"),
        (lambda _: None, "returned NoneType: return a list"),
        (lambda _: "secret", "returned str: return a list"),
    ],
)
async def test_a_wrong_result_raises_an_error_that_names_the_embedder(
    results: Any, message: str
) -> None:
    for call in (embed_texts, embeddings):
        with pytest.raises(InvalidEmbedding, match=message) as caught:
            await call(_Embedder(results), ["a", "b"])
        assert str(caught.value).startswith("the embedder provider model ")
        assert "secret" not in str(caught.value)


def test_an_embedding_that_no_column_can_have_is_refused_before_it_is_converted() -> None:
    class Long(list[float]):
        def __len__(self) -> int:
            return 1_000_000

        def __iter__(self) -> Any:
            pytest.fail("converted")

    with pytest.raises(ValueError, match="1,000,000 dimensions, and at most 16,000 can be stored"):
        to_vector(Long())


async def test_an_embedder_that_is_not_asynchronous_is_refused() -> None:
    class Synchronous(_Embedder):
        def embed(self, texts: Sequence[str]) -> Any:
            return [_ONE for _ in texts]

    with pytest.raises(InvalidEmbedding, match="write `async def embed`"):
        await embed_texts(Synchronous(len), ["a"])


async def test_a_token_count_for_each_piece_of_a_long_text_is_required() -> None:
    class Counting(_Embedder):
        def count_tokens(self, texts: Sequence[str]) -> list[int]:
            return [1]

    long = "word " * 2_000
    with pytest.raises(InvalidEmbedding, match="too few counts of tokens"):
        await embeddings(Counting(lambda texts: [_ONE for _ in texts]), [long])
