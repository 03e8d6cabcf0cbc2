"""Entities: validation, derived fields, assignment and copies."""

from __future__ import annotations

import ast
import copy
import math
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from pydantic import ValidationError
from sqlalchemy import inspect

import domain
from domain import (
    Category,
    EmbeddingMetadata,
    Finding,
    GlobalPattern,
    KnowledgeChunk,
    LearningMemory,
    NotLoaded,
    Outcome,
    Review,
    Severity,
    TelemetryEvent,
    Vector,
    known_dimensions,
)
from domain.values import embedding as embeddings

SECRET = "canary-value-7f3a"


@pytest.fixture(autouse=True)
def no_open_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let entities accept the default dimensions, whatever databases other tests have open."""
    monkeypatch.setattr(embeddings, "_known_dimensions", Counter())


def review(**values: Any) -> Review:
    return Review(**{"repo": "acme/api", "pr_number": 7, **values})


def finding(**values: Any) -> Finding:
    fields = {
        "review_id": uuid4(),
        "repo": "acme/api",
        "file_path": "api.py",
        "title": "Retries never end",
        "confidence": 90,
    }
    return Finding(**{**fields, "severity": "major", "category": "correctness", **values})


def chunk(**values: Any) -> KnowledgeChunk:
    return KnowledgeChunk(
        **{"chunk_id": "a#1", "source": "a.md", "source_type": "doc", "content": "text", **values}
    )


def memory(**values: Any) -> LearningMemory:
    fields = {
        "repo": "acme/api",
        "owner": "acme",
        "source_repo": "acme/api",
        "finding_text": "Retries never end",
    }
    more = {
        "severity": "major",
        "category": "correctness",
        "file_path": "api.py",
        "outcome": "accepted",
        "embedding_model": "m",
    }
    return LearningMemory(**{**fields, **more, **values})


def refused_fields(make: Callable[[], object]) -> set[str]:
    with pytest.raises(ValidationError) as refusal:
        make()
    assert SECRET not in str(refusal.value)
    return {
        str(error["loc"][0]) if error["loc"] else error["msg"] for error in refusal.value.errors()
    }


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("surprise", lambda: review(surprise=SECRET)),
        ("pr_number", lambda: review(pr_number=SECRET)),
        ("pr_number", lambda: review(pr_number=0)),
        ("pr_number", lambda: review(pr_number=2**31)),
        ("files_analyzed", lambda: review(files_analyzed=-1)),
        ("repo", lambda: review(repo="")),
        ("repo", lambda: review(repo="a\0" + SECRET)),
        ("repo", lambda: review(repo="\ud800")),
        ("repo", lambda: review(repo="é" * 201)),
        ("tenant", lambda: review(tenant="no spaces")),
        ("tenant", lambda: review(tenant="newline\n")),
        ("tenant", lambda: review(tenant="a" * 101)),
        ("created_at", lambda: review(created_at=datetime(2026, 1, 1))),  # noqa: DTZ001 -- naive on purpose
        (
            "created_at",
            lambda: review(created_at=datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))),
        ),
        ("created_at", lambda: review(created_at=datetime.min.replace(tzinfo=UTC))),
        ("created_at", lambda: review(created_at=datetime.max.replace(tzinfo=UTC))),
        ("config_snapshot", lambda: review(config_snapshot=[1])),
        ("config_snapshot", lambda: review(config_snapshot={"a": math.nan})),
        ("severity", lambda: finding(severity="catastrophic")),
        ("confidence", lambda: finding(confidence=101)),
        ("comment_id", lambda: finding(comment_id=2**63)),
        ("title", lambda: finding(title="")),
        ("file_path", lambda: finding(file_path="p" * 2001)),
        ("content", lambda: chunk(content="\0")),
        ("embedding", lambda: chunk(embedding=[1.0] * 16_001)),
        ("embedding", lambda: chunk(embedding=[0.0] * 1024)),
        ("embedding", lambda: chunk(embedding=[math.nan] * 1024)),
        ("embedding", lambda: chunk(embedding=[math.inf] + [1.0] * 1023)),
        ("embedding", lambda: chunk(embedding=[1e39] * 1024)),
        ("embedding", lambda: chunk(embedding=[1e-50] * 1024)),
        ("embedding", lambda: chunk(embedding=[3e38] * 1024)),
        ("embedding", lambda: chunk(embedding=[True] * 1024)),
        ("embedding", lambda: chunk(embedding=["1"] * 1024)),
        ("embedding", lambda: chunk(embedding="[1,2]")),
        ("embedding", lambda: chunk(embedding=np.ones((2, 512)))),
        ("cost_usd", lambda: telemetry(cost_usd=10**10)),
        ("cost_usd", lambda: telemetry(cost_usd="9999999999.999999995")),
        ("cost_usd", lambda: telemetry(cost_usd="1e999999")),
        ("cost_usd", lambda: telemetry(cost_usd="nan")),
        ("cost_usd", lambda: telemetry(cost_usd=True)),
        ("cost_usd", lambda: telemetry(cost_usd="-1")),
        (
            "count",
            lambda: pattern(count=0),
        ),
        ("dimensions", lambda: EmbeddingMetadata(provider="p", model="m", dimensions=16_001)),
    ],
)
def test_an_entity_names_the_field_that_it_refuses(field: str, make: Callable[[], object]) -> None:
    assert refused_fields(make) == {field}


def pattern(**values: Any) -> GlobalPattern:
    fields = {
        "severity": "minor",
        "category": "style",
        "confidence_band": "low",
        "pattern_fingerprint": "f",
    }
    return GlobalPattern(**{**fields, **values})


def telemetry(**values: Any) -> TelemetryEvent:
    return TelemetryEvent(
        **{
            "repo": "acme/api",
            "event_type": "review",
            "model": "m",
            "conclusion": "success",
            **values,
        }
    )


def test_a_missing_field_is_named() -> None:
    assert refused_fields(lambda: Review.model_validate({})) == {"repo", "pr_number"}


def test_an_assignment_is_validated_and_a_refused_one_changes_nothing() -> None:
    subject = finding(start_line=3, end_line=4)
    for field, value in {
        "confidence": -1,
        "title": "",
        "severity": "odd",
        "end_line": 2,
        "tenant": "other",
        "id": uuid4(),
    }.items():
        before = getattr(subject, field)
        with pytest.raises(ValidationError):
            setattr(subject, field, value)
        assert getattr(subject, field) == before
    subject.severity = "minor"  # type: ignore[assignment]  # coerced as in the constructor
    assert subject.severity is Severity.MINOR


def test_an_unknown_field_cannot_be_assigned() -> None:
    with pytest.raises(ValidationError):
        review().surprise = 1


def test_lines_are_in_order() -> None:
    assert any(
        "end_line" in message
        for message in refused_fields(lambda: finding(start_line=5, end_line=4))
    )


def test_enumerations_are_members() -> None:
    subject = finding()
    assert (subject.severity, subject.category) == (Severity.MAJOR, Category.CORRECTNESS)
    assert isinstance(subject.severity, Severity)


def test_times_are_converted_to_utc() -> None:
    moment = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    entity = review(created_at=moment)
    assert entity.created_at == moment
    assert entity.created_at is not None
    assert entity.created_at.tzinfo is UTC


def test_the_content_hash_follows_the_content() -> None:
    subject = chunk(content="one")
    first = subject.content_hash
    subject.content = "two"
    assert subject.content_hash != first
    assert subject.content_hash == chunk(content="two", content_hash=b"ignored").content_hash


def test_the_dimension_of_a_memory_follows_its_embedding() -> None:
    subject = memory()
    assert subject.embedding_dim == 0
    subject.embedding = [1.0] * 1024
    assert subject.embedding_dim == 1024
    assert inspect(subject).attrs.embedding_dim.value == 1024


@pytest.mark.parametrize(
    "value",
    [
        [0.5] * 1024,
        (0.5,) * 1024,
        np.full(1024, 0.5),
        np.full(1024, 0.5, "f4"),
        Vector([0.5] * 1024),
    ],
)
def test_an_embedding_is_a_vector_of_float32(value: object) -> None:
    assert chunk(embedding=value).embedding == Vector([0.5] * 1024)


def test_entities_accept_the_dimensions_of_the_open_databases() -> None:
    with known_dimensions(3):
        assert refused_fields(lambda: chunk(embedding=[1.0] * 1024)) == {"embedding"}
        with known_dimensions(1024):
            assert chunk(embedding=[1.0] * 1024).embedding is not None
            assert chunk(embedding=[1.0] * 3).embedding is not None


def test_entities_accept_any_dimensions_while_no_database_is_open() -> None:
    with known_dimensions(3):
        stored = chunk(embedding=[1.0] * 3).model_dump_json()
    assert KnowledgeChunk.model_validate_json(stored).embedding == Vector([1.0] * 3)
    schema = KnowledgeChunk.model_json_schema()["properties"]["embedding"]["anyOf"][0]
    assert (schema["minItems"], schema["maxItems"]) == (1, 16_000)


def test_reading_an_embedding_that_was_not_loaded_raises() -> None:
    with pytest.raises(NotLoaded, match=r"KnowledgeChunk\.embedding"):
        _ = KnowledgeChunk.model_construct(chunk_id="a").embedding
    assert chunk().embedding is None


def read_review() -> Review:
    entity = review()
    return Review.from_row({name: vars(entity)[name] for name in Review.model_fields})


def test_a_row_is_a_transient_entity_that_can_be_pickled() -> None:
    read = read_review()
    assert pickle.loads(pickle.dumps(read)) == read
    assert inspect(read).transient
    assert inspect(read) is inspect(read)
    assert inspect(read).obj() is read


def test_every_field_of_a_row_is_set_and_a_field_that_is_assigned_later() -> None:
    entity = chunk()
    read = KnowledgeChunk.model_construct(
        **{name: vars(entity)[name] for name in KnowledgeChunk.model_fields if name != "embedding"}
    )
    read.embedding = Vector([1.0] * 1024)
    assert read.model_fields_set == set(KnowledgeChunk.model_fields)
    other = read_review()
    assert other.model_dump(exclude_unset=True).keys() == set(Review.model_fields)
    assert other.model_fields_set is other.model_fields_set


def test_an_assignment_to_a_row_is_validated_and_noticed_by_sqlalchemy() -> None:
    read = read_review()
    with pytest.raises(ValidationError):
        read.pr_number = 0
    assert read.pr_number == 7
    read.pr_number = 8
    assert inspect(read).attrs.pr_number.history.added == [8]


def test_json_cannot_be_changed_in_place() -> None:
    subject = chunk(metadata_={"tags": ["a"]})
    with pytest.raises(TypeError, match="assign"):
        subject.metadata_["tags"] = []  # type: ignore[index]
    with pytest.raises(TypeError, match="assign"):
        subject.metadata_["tags"].append("b")
    subject.metadata_ = {"tags": ["a", "b"]}
    assert subject.metadata_ == {"tags": ["a", "b"]}


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda entity: pickle.loads(pickle.dumps(entity))]
)
def test_a_copy_is_an_entity_of_its_own(copied: Callable[[Any], Any]) -> None:
    original = chunk(metadata_={"a": [1]}, embedding=[1.0] * 1024)
    twin = copied(original)
    twin.title = "changed"
    assert original.title is None
    assert twin.metadata_ == original.metadata_
    assert inspect(twin) is not inspect(original)


def test_an_entity_is_validated_from_a_mapping_and_from_json() -> None:
    values = {"repo": "acme/api", "pr_number": 7}
    assert Review.model_validate(values).pr_number == 7
    assert Review.model_validate_json('{"repo": "acme/api", "pr_number": 7}').repo == "acme/api"
    assert refused_fields(lambda: Review.model_validate({**values, "pr_number": "x"})) == {
        "pr_number"
    }
    assert refused_fields(
        lambda: Review.model_validate_json('{"repo": "acme/api", "pr_number": 0}')
    ) == {"pr_number"}


def test_an_entity_equals_itself_after_json() -> None:
    original = memory(embedding=[1.0] * 1024, outcome=Outcome.THUMBS_UP)
    assert LearningMemory.model_validate_json(original.model_dump_json()) == original


def test_ids_are_made_in_order() -> None:
    ids = [review().id for _ in range(1000)]
    assert ids == sorted(ids)
    assert {identifier.version for identifier in ids} == {7}


def test_a_repr_names_the_row_and_not_its_contents() -> None:
    assert (
        SECRET
        not in repr(finding(title=SECRET))
        + str(chunk(content=SECRET))
        + f"{memory(finding_text=SECRET)}"
    )


def test_the_package_exports_what_its_stub_declares() -> None:
    stub = ast.parse(Path(domain.__file__).with_suffix(".pyi").read_text())
    imported = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    homes = {str(node.module): {alias.name for alias in node.names} for node in imported}
    [exported] = [
        ast.literal_eval(node.value) for node in stub.body if isinstance(node, ast.Assign)
    ]
    assert {module: set(names.split()) for module, names in vars(domain)["_HOMES"].items()} == homes
    assert (
        sorted(domain.__all__)
        == sorted(exported)
        == sorted(name for names in homes.values() for name in names)
    )
    assert all(getattr(domain, name) is not None for name in domain.__all__)
    with pytest.raises(AttributeError):
        getattr(domain, "Nothing")  # noqa: B009 -- type checkers know better


@pytest.mark.parametrize(
    "program", ["import domain", "import domain.errors", "from domain import NotFound, Filter"]
)
def test_importing_names_without_tables_loads_no_sqlalchemy(program: str) -> None:
    tables = "[name for name in sys.modules if name.startswith(('sqlmodel', 'sqlalchemy'))]"
    subprocess.run(
        [sys.executable, "-c", f"import sys; {program}; sys.exit(bool({tables}))"], check=True
    )


def test_the_metadata_has_every_table_from_the_first_import() -> None:
    program = (
        "from domain import metadata; first = {*metadata.tables}; from domain import *; "
        "from repositories.registry import LIBRARY; [each.entity_class for each in LIBRARY]; "
        "print(len(first), *({*metadata.tables} - first))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True
    )
    number, *missing = run.stdout.split()
    assert missing == [], "name their entities in domain/__init__.py, with the module of each"
    assert int(number) >= 18
