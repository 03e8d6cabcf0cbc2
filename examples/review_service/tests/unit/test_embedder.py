"""The stand-in for an embedding service."""

from __future__ import annotations

import pytest

from domain.values.embedding import to_vector
from examples.review_service.embedder import HashedWords


def cosine(one: list[float], other: list[float]) -> float:
    def product(left: list[float], right: list[float]) -> float:
        return sum(x * y for x, y in zip(left, right, strict=True))

    return float(product(one, other) / (product(one, one) * product(other, other)) ** 0.5)


async def test_texts_with_the_same_words_are_nearer_than_others() -> None:
    question, like, unlike = (
        vector.to_list()
        for vector in await HashedWords(256).embed(
            ["bounded retries", "a retry has no bound", "tokens in the log"]
        )
    )
    assert cosine(question, like) > cosine(question, unlike) + 0.1


async def test_the_same_text_has_the_same_embedding_whatever_its_case() -> None:
    one, other = await HashedWords(16).embed(["Retries", "retries"])
    assert one == other


@pytest.mark.parametrize("text", ["", "!!!", "未处理的异常", "a"])
async def test_every_text_has_an_embedding_that_a_database_takes(text: str) -> None:
    [embedding] = await HashedWords(4).embed([text])
    assert to_vector(embedding).dimensions() == 4
