"""Entities as JSON: round trips, JSON schemas, and responses of a web framework."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import is_dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import TypeAdapter, ValidationError

import domain
from domain import (
    Entity,
    Finding,
    KnowledgeChunk,
    LearningMemory,
    NotLoaded,
    Recall,
    RecalledMemory,
    Remembered,
    RepairedEmbedding,
    SearchHit,
    SearchHits,
    TelemetryEvent,
    Vector,
    known_dimensions,
    metadata,
)
from domain.schema.registries import mappers
from repositories.testing import factories

NOW = datetime(2026, 11, 29, 12, 30, 15, 123456, tzinfo=UTC)
ENTITIES = sorted(
    (
        mapper.class_
        for mapper in mappers.mappers
        if mapper.class_.__table__ in metadata.sorted_tables
    ),
    key=lambda entity: entity.__name__,
)
WITH_EMBEDDING = [entity for entity in ENTITIES if entity.embedding_fields()]
by_name = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.__name__)
with_embedding = pytest.mark.parametrize(
    "entity", WITH_EMBEDDING, ids=lambda entity: entity.__name__
)
in_both_modes = pytest.mark.parametrize("mode", ["validation", "serialization"])


def example(entity: type[Entity]) -> Entity:
    """Return an entity whose times have values, as those of a row have."""
    built: Entity = getattr(factories, f"{entity.__name__}Factory").build()
    times = {
        name: NOW
        for name, field in entity.model_fields.items()
        if any(isinstance(each, type) and issubclass(each, datetime) for each in options(field))
    }
    return entity(**{**built.model_dump(), **times})


def options(field: Any) -> tuple[Any, ...]:
    return (field.annotation, *(get_args(each) or each for each in get_args(field.annotation)))


def without_embedding(read: Entity) -> Entity:
    """Return the entity as a read without the embedding returns it."""
    unread = type(read).embedding_fields()
    return type(read).from_row(
        {name: vars(read)[name] for name in type(read).model_fields if name not in unread}
    )


def test_every_table_has_an_example() -> None:
    assert {entity.__table__.name for entity in ENTITIES} == set(metadata.tables)
    assert [entity.__name__ for entity in WITH_EMBEDDING] == ["KnowledgeChunk", "LearningMemory"]


@by_name
def test_an_entity_equals_itself_after_json(entity: type[Entity]) -> None:
    original = example(entity)
    assert entity.model_validate_json(original.model_dump_json()) == original
    assert entity.model_validate(original.model_dump(mode="json")) == original
    assert entity.model_validate(original.model_dump()) == original


@with_embedding
def test_a_row_that_was_read_without_its_embedding_equals_itself_after_json(
    entity: type[Entity],
) -> None:
    read = without_embedding(example(entity))
    again = entity.model_validate_json(read.model_dump_json())
    assert again == read
    assert "embedding" not in again.model_dump()
    with pytest.raises(NotLoaded, match="with_embedding=True"):
        _ = again.embedding  # type: ignore[attr-defined]


def test_json_of_a_new_chunk_without_an_embedding_has_none() -> None:
    values = {"chunk_id": "a", "source": "a.md", "source_type": "doc", "content": "text"}
    chunk = KnowledgeChunk.model_validate_json(json.dumps(values))
    assert chunk.embedding is None
    assert json.loads(chunk.model_dump_json())["embedding"] is None


@by_name
@in_both_modes
def test_an_entity_has_a_json_schema_that_describes_its_json(
    entity: type[Entity], mode: Any
) -> None:
    schema = entity.model_json_schema(mode=mode)
    values = json.loads(example(entity).model_dump_json())
    assert set(schema["properties"]) == set(entity.model_fields) == set(values)
    for name, described in schema["properties"].items():
        assert described.get("description"), name
        if name not in {"signals", "merge_confidence_rationale"}:  # any JSON
            assert described.keys() & {"type", "anyOf", "$ref", "allOf", "const"}, name


@with_embedding
@in_both_modes
def test_the_json_schema_of_an_embedding_is_an_array_of_its_length(
    entity: type[Entity], mode: Any
) -> None:
    def lengths() -> list[tuple[int, int]]:
        [*arrays, null] = entity.model_json_schema(mode=mode)["properties"]["embedding"]["anyOf"]
        assert null == {"type": "null"}
        assert all(
            (array["type"], array["items"]) == ("array", {"type": "number"}) for array in arrays
        )
        return [(array["minItems"], array["maxItems"]) for array in arrays]

    # Databases that other tests leave open add their own dimensions.
    before = set(lengths()) - {(3, 3)}
    with known_dimensions(3):
        assert (3, 3) in lengths()
        with known_dimensions(5):
            assert set(lengths()) >= {(3, 3), (5, 5)}
    assert (5, 5) not in set(lengths()) - before


def test_the_json_schema_has_the_lengths_that_an_entity_accepts() -> None:
    properties = KnowledgeChunk.model_json_schema()["properties"]
    limits = {name: properties[name]["maxLength"] for name in ("repo", "source", "source_type")}
    assert limits == {"repo": 400, "source": 2_000, "source_type": 400}
    values = {"chunk_id": "a", "source": "a.md", "source_type": "doc", "content": "text"}
    for name, limit in limits.items():
        longest = KnowledgeChunk.model_validate({**values, name: "a" * limit})
        assert len(getattr(longest, name)) == limit
        with pytest.raises(ValidationError, match=name):
            KnowledgeChunk.model_validate({**values, name: "a" * (limit + 1)})


def test_a_digest_is_hexadecimal_in_json_and_bytes_in_the_entity() -> None:
    chunk = factories.KnowledgeChunkFactory.build()
    text = json.loads(chunk.model_dump_json())["content_hash"]
    assert bytes.fromhex(text) == chunk.content_hash
    assert isinstance(chunk.content_hash, bytes)
    described = KnowledgeChunk.model_json_schema(mode="serialization")["properties"]["content_hash"]
    assert re.fullmatch(described["pattern"], text)
    with pytest.raises(ValidationError, match="hexadecimal"):
        KnowledgeChunk.model_validate(
            {**chunk.model_dump(mode="json"), "content_hash": "no digest"}
        )


def test_numbers_of_an_embedding_and_of_a_cost_keep_every_digit() -> None:
    numbers = Vector([0.1, 1e-5, -3.4e5])
    with known_dimensions(3):
        memory = factories.LearningMemoryFactory.build(embedding=numbers)
        assert LearningMemory.model_validate_json(memory.model_dump_json()).embedding == numbers
    event = factories.TelemetryEventFactory.build(cost_usd="9999999999.12345678")
    assert TelemetryEvent.model_validate_json(event.model_dump_json()).cost_usd == event.cost_usd


def test_an_application_returns_and_accepts_entities_and_hits() -> None:
    app = FastAPI()
    full = example(KnowledgeChunk)
    assert isinstance(full, KnowledgeChunk)
    read = without_embedding(full)

    @app.get("/chunks")
    async def chunks() -> list[KnowledgeChunk]:
        return [full, read]  # type: ignore[list-item]

    @app.post("/chunks")
    async def accept(chunk: KnowledgeChunk) -> KnowledgeChunk:
        return chunk

    @app.get("/hits")
    async def hits() -> SearchHits[KnowledgeChunk]:
        return SearchHits((SearchHit(item=full, score=0.5),), exact=True)

    document = app.openapi()
    assert "KnowledgeChunk" in json.dumps(document["components"]["schemas"])
    client = TestClient(app)
    bodies = client.get("/chunks").json()
    assert bodies == [full.model_dump(mode="json"), read.model_dump(mode="json")]
    for body in bodies:
        assert client.post("/chunks", json=body).json() == body
    answer = client.get("/hits").json()
    assert TypeAdapter(SearchHits[KnowledgeChunk]).validate_python(answer)[0].item == full


@pytest.mark.parametrize(
    "result",
    [
        value
        for value in (getattr(domain, name) for name in domain.__all__)
        if isinstance(value, type) and is_dataclass(value) and value is not RepairedEmbedding
    ],
)
@in_both_modes
def test_results_of_operations_have_json_schemas(
    result: type, mode: Literal["validation", "serialization"]
) -> None:
    assert TypeAdapter(result).json_schema(mode=mode)


@pytest.mark.filterwarnings("error")
def test_an_application_returns_hits_of_several_corpora() -> None:
    adapter = TypeAdapter(SearchHits[Remembered])
    rows = [example(kind) for kind in (KnowledgeChunk, LearningMemory, Finding)]
    hits: Any = SearchHits(tuple(SearchHit(item=row, score=0.5) for row in rows))
    assert adapter.validate_json(adapter.dump_json(hits)) == hits
    schema = adapter.json_schema(mode="serialization")
    assert {"KnowledgeChunk", "LearningMemory", "Finding"} <= set(schema["$defs"])


def test_an_application_returns_a_recall() -> None:
    memory = without_embedding(example(LearningMemory))
    assert isinstance(memory, LearningMemory)
    recalled = RecalledMemory(hit=SearchHit(item=memory, score=0.5), shared=True)
    recall = Recall(
        memories=(recalled,),
        repo="acme/api",
        owner="acme",
        limit=10,
        repos=("acme/web",),
        shared_pool_used=True,
        candidates=1,
    )
    adapter = TypeAdapter(Recall)
    assert adapter.validate_json(adapter.dump_json(recall)) == recall


def test_a_name_without_its_underscore_is_refused_with_the_name_of_the_field() -> None:
    chunk = factories.KnowledgeChunkFactory.build()
    values = {**chunk.model_dump(exclude={"metadata_"}), "metadata": {}}
    refusals: list[Callable[[], object]] = [
        lambda: KnowledgeChunk(**values),
        lambda: KnowledgeChunk.model_validate(values),
        lambda: KnowledgeChunk.model_validate_json('{"metadata": {}}'),
    ]
    for create in refusals:
        with pytest.raises(ValidationError, match="the field is named metadata_"):
            create()
    with pytest.raises(AttributeError, match="assign to metadata_"):
        setattr(chunk, "metadata", {})  # noqa: B010 -- type checkers refuse the assignment
