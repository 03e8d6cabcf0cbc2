"""Factories of passages, and of the record of the embeddings."""

from __future__ import annotations

from typing import Any

from factory import fuzzy
from factory.declarations import (
    LazyAttribute,
    LazyAttributeSequence,
    LazyFunction,
    SelfAttribute,
    Sequence,
)

from domain.entities.knowledge import EmbeddingMetadata, KnowledgeChunk
from domain.values.embedding import newest_dimensions
from repositories.testing.factories.base import EntityFactory, new_embedding, new_id
from repositories.testing.factories.texts import REPOS, any_passage

PROVIDER, MODEL = "example", "random-unit"


class KnowledgeChunkFactory(EntityFactory[KnowledgeChunk]):
    """A passage of a document, with a random embedding; `embedding=None` leaves it out."""

    class Params:
        passage = LazyFunction(any_passage)

    id: Any = LazyFunction(new_id)
    chunk_id: Any = LazyAttributeSequence(lambda chunk, n: f"{chunk.source}#{n}")
    repo: Any = fuzzy.FuzzyChoice(REPOS)
    source: Any = SelfAttribute("passage.source")
    source_type: Any = "doc"
    language: Any = "markdown"
    title: Any = SelfAttribute("passage.title")
    content: Any = SelfAttribute("passage.content")
    metadata_: Any = Sequence(lambda n: {"section": n})
    token_count: Any = LazyAttribute(lambda chunk: len(chunk.content.split()))
    embedding_model: Any = MODEL
    embedding: Any = LazyFunction(new_embedding)


class EmbeddingMetadataFactory(EntityFactory[EmbeddingMetadata]):
    """The record of a database that embeds as these factories do.

    There is one in every database already.
    """

    provider: Any = PROVIDER
    model: Any = MODEL
    dimensions: Any = LazyFunction(newest_dimensions)
