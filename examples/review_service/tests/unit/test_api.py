"""The routes on a database in memory: requests, responses and refusals."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Response

import domain
from domain import (
    CommitOutcomeUnknown,
    DatabaseFailure,
    DatabaseUnavailable,
    EmbeddingMismatch,
    Finding,
    PoolExhausted,
    RecollectError,
    ReferenceViolated,
    StatementTimeout,
)
from examples.review_service.api import create_app
from examples.review_service.embedder import HashedWords
from examples.review_service.failures import ANSWERS, answer_failures
from repositories import FakeDatabase

FINDING = {
    "file_path": "src/http/client.py",
    "start_line": 10,
    "end_line": 12,
    "severity": "major",
    "category": "correctness",
    "confidence": 90,
    "title": "Retries are not bounded by a deadline",
    "comment_id": 3_000_000_000,
    "comment_surface": "inline",
}


def review(**changed: Any) -> dict[str, Any]:
    facts = {
        "repo": "acme/api",
        "pr_number": 7,
        "base_sha": "b0",
        "head_sha": "h1",
        "delivery_id": "d1",
        "findings": [FINDING],
    }
    return {**facts, **changed}


async def record(client: AsyncClient, **changed: Any) -> Response:
    return await client.post("/reviews", json=review(**changed))


async def test_a_review_is_created_once_and_then_returned(client: AsyncClient) -> None:
    created, again = await record(client), await record(client)
    assert (created.status_code, again.status_code) == (201, 200)
    assert created.json() | {"is_new": False} == again.json()
    assert len(created.json()["finding_ids"]) == 1


async def test_a_reaction_is_recorded_learned_from_and_returned(client: AsyncClient) -> None:
    [finding_id] = (await record(client)).json()["finding_ids"]
    thumb = {"reaction": "-1", "login": "ann", "reaction_id": 1}
    result = await client.post(f"/findings/{finding_id}/feedback", json=thumb)
    assert result.json() == {"is_counted": True, "is_learned": True}
    similar = (
        await client.get("/repos/acme/api/similar", params={"text": "bounded retries"})
    ).json()
    [memory], [finding] = similar["memories"], similar["findings"]
    assert (memory["text"], memory["outcome"], memory["is_shared"]) == (
        FINDING["title"],
        "thumbs_down",
        False,
    )
    assert (finding["id"], finding["title"]) == (finding_id, FINDING["title"])
    assert 0 < memory["score"] <= 1
    assert "embedding" not in memory
    assert "tenant" not in memory


async def test_hits_are_returned_as_they_are_and_can_be_read_again(client: AsyncClient) -> None:
    [finding_id] = (await record(client)).json()["finding_ids"]
    path = "/repos/acme/api/findings"
    body = (await client.get(path, params={"text": "bounded deadline"})).json()
    [hit] = body["hits"]
    finding = Finding.model_validate(hit["item"])
    assert (str(finding.id), finding.title) == (finding_id, FINDING["title"])
    assert finding.model_dump(mode="json") == hit["item"]
    assert 0 < hit["score"] <= 1
    assert (await client.get(path, params={"text": "telemetry"})).json()["hits"] == []


async def test_the_document_of_the_routes_describes_the_hits(client: AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    assert schemas["Finding"]["properties"].keys() == Finding.model_fields.keys()
    assert {"$ref": "#/components/schemas/Finding"} in [
        schema.get("properties", {}).get("item") for schema in schemas.values()
    ]


async def test_the_application_starts_only_on_embeddings_of_its_model(
    fake_database: FakeDatabase,
) -> None:
    for _ in range(2):
        app = create_app(nullcontext(fake_database), HashedWords())
        async with app.router.lifespan_context(app):
            pass
    async with fake_database.reader() as view:
        assert (await view.embedding_metadata.get()).model == "hashed-words"
    other = HashedWords()
    other.model = "another"
    app = create_app(nullcontext(fake_database), other)
    with pytest.raises(EmbeddingMismatch):
        async with app.router.lifespan_context(app):
            pass


async def test_figures_and_trends_are_shown(client: AsyncClient) -> None:
    await record(client)
    stats = (await client.get("/repos/acme/api/stats")).json()
    assert (stats["reviews"], stats["by_severity"]["major"], stats["average_confidence"]) == (
        1,
        1,
        90.0,
    )
    assert stats["top_files"] == [{"file_path": "src/http/client.py", "findings": 1}]
    trends = (await client.get("/repos/acme/api/trends", params={"days": 2})).json()
    assert [day["reviews"] for day in trends] == [0, 1]
    since = await client.get("/repos/acme/api/stats", params={"since": "2999-01-01T00:00:00Z"})
    assert since.json()["reviews"] == 0


async def test_tenants_do_not_see_each_other(client: AsyncClient) -> None:
    created = await client.post("/reviews", json=review(), headers={"X-Tenant": "globex"})
    [finding_id] = created.json()["finding_ids"]
    thumb = {"reaction": "+1", "login": "ann", "reaction_id": 1}
    assert (await client.post(f"/findings/{finding_id}/feedback", json=thumb)).status_code == 404
    assert (await client.get("/repos/acme/api/stats")).json()["reviews"] == 0
    assert (await client.get("/repos/acme/api/stats", headers={"X-Tenant": "globex"})).json()[
        "reviews"
    ] == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"repo": "no-owner"},
        {"repo": "acme/\0"},
        {"pr_number": 0},
        {"pr_number": 2**31},
        {"delivery_id": "x" * 500},
        {"surprise": 1},
        {"findings": [{**FINDING, "confidence": 101}]},
        {"findings": [{**FINDING, "end_line": 9}]},
        {"findings": [{**FINDING, "severity": "dreadful"}]},
        {"findings": [{**FINDING, "comment_id": 2**63}]},
    ],
    ids=repr,
)
async def test_what_no_entity_would_take_is_refused(
    client: AsyncClient, changed: dict[str, Any]
) -> None:
    assert (await record(client, **changed)).status_code == 422
    assert (await client.get("/repos/acme/api/stats")).json()["reviews"] == 0


async def test_a_rule_between_two_fields_is_one_sentence(client: AsyncClient) -> None:
    refused = await record(client, findings=[{**FINDING, "end_line": 9}])
    assert refused.json() == {"detail": "Value error, end_line is before start_line"}


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/repos/acme/api/trends?days=0", {}),
        ("/repos/acme/api/similar?text=", {}),
        ("/repos/acme/api/stats?since=2026-01-01T00:00:00", {}),
        ("/repos/acme/api/stats", {"X-Tenant": "no such/tenant"}),
        ("/repos/acme/%00/stats", {}),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(
    client: AsyncClient, path: str, headers: dict[str, str]
) -> None:
    assert (await client.get(path, headers=headers)).status_code == 422


async def test_feedback_on_an_unknown_finding_is_not_found(client: AsyncClient) -> None:
    unknown = uuid4()
    answer = await client.post(
        f"/findings/{unknown}/feedback", json={"reaction": "+1", "login": "ann", "reaction_id": 1}
    )
    assert (answer.status_code, answer.json()) == (
        404,
        {"detail": f"Finding {unknown} does not exist"},
    )


async def answer_to(error: Exception) -> Response:
    app = FastAPI()
    answer_failures(app)

    @app.get("/")
    async def fail() -> None:
        raise error

    async with AsyncClient(transport=ASGITransport(app), base_url="http://reviews") as client:
        return await client.get("/")


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (ReferenceViolated(constraint="fk_findings_reviews", table="findings"), 409, None),
        (
            DatabaseUnavailable("no server answers at 10.0.0.5", host="10.0.0.5", port=5432),
            503,
            "5",
        ),
        (PoolExhausted("20 of 20 connections of 10.0.0.5 are in use", figures={}), 503, "1"),
        (CommitOutcomeUnknown(uuid4()), 503, "1"),
        (StatementTimeout("10.0.0.5 cancelled it"), 504, None),
        (DatabaseFailure("10.0.0.5 did something else"), 500, None),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_failure_is_answered_without_internal_details(
    error: RecollectError, status: int, retry_after: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = await answer_to(error)
    assert (answer.status_code, answer.headers.get("Retry-After")) == (status, retry_after)
    assert "10.0.0.5" not in answer.text
    assert "findings" not in answer.text
    assert [record.levelname for record in caplog.records] == (["ERROR"] if status >= 500 else [])


def test_every_error_that_may_be_tried_again_says_so() -> None:
    named = [getattr(domain, name) for name in domain.__all__]
    errors = [
        error
        for error in named
        if isinstance(error, type) and issubclass(error, RecollectError) and error.safe_to_retry
    ]
    assert len(errors) >= 5
    for error in errors:
        nearest = next(ANSWERS[base] for base in error.__mro__ if base in ANSWERS)
        assert (nearest.status, nearest.retry_after is not None) == (503, True), error
