"""The routes: from HTTP to the service and back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Request, Response
from pydantic import AwareDatetime

from domain import Embedder, Finding, SearchHits
from domain.values.text import DEFAULT_TENANT, Name, Tenant
from examples.review_service import models
from examples.review_service.failures import answer_failures
from examples.review_service.service import Memory, ReviewService

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Parts:
    """The database and the embedding model that requests use."""

    memory: Memory
    embedder: Embedder


def _service(
    request: Request, x_tenant: Annotated[Tenant, Header()] = DEFAULT_TENANT
) -> ReviewService:
    parts: Parts = request.app.state.parts
    return ReviewService(parts.memory, parts.embedder, tenant=x_tenant)


def _repo(owner: Annotated[Name, Path()], name: Annotated[Name, Path()]) -> str:
    return f"{owner}/{name}"


Service = Annotated[ReviewService, Depends(_service)]
Repo = Annotated[str, Depends(_repo)]


@router.post("/reviews", status_code=201)
async def record_review(
    new: models.NewReview, service: Service, response: Response
) -> models.RecordedReview:
    """Record a review with its findings.

    If this head is recorded already, the status is 200 and the answer is the recorded review.
    """
    review = new.review()
    recorded = await service.record(
        review, [finding.of(review) for finding in new.findings], new.delivery()
    )
    response.status_code = 201 if recorded.is_new else 200
    return models.RecordedReview.model_validate(recorded)


@router.post("/findings/{finding_id}/feedback")
async def give_feedback(
    finding_id: UUID, feedback: models.Feedback, service: Service
) -> models.FeedbackRecorded:
    """Count a thumb up or down, and learn from it."""
    return models.FeedbackRecorded.model_validate(
        await service.record_feedback(finding_id, feedback.opinion())
    )


@router.get("/repos/{owner}/{name}/similar")
async def similar(
    repo: Repo,
    service: Service,
    text: Annotated[models.Title, Query()],
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> models.SimilarThings:
    """Return similar memories, and findings with the same words."""
    return models.SimilarThings.of(await service.similar(repo, text, limit=limit))


@router.get("/repos/{owner}/{name}/findings")
async def search_findings(
    repo: Repo,
    service: Service,
    text: Annotated[models.Title, Query()],
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> SearchHits[Finding]:
    """Search findings by words, and return the hits with entities and scores."""
    return await service.search_findings(repo, text, limit=limit)


@router.get("/repos/{owner}/{name}/stats")
async def stats(repo: Repo, service: Service, since: AwareDatetime | None = None) -> models.Stats:
    """Return the figures of a repository."""
    return models.Stats.model_validate(await service.stats(repo, since=since))


@router.get("/repos/{owner}/{name}/trends")
async def trends(
    repo: Repo, service: Service, days: Annotated[int, Query(ge=1, le=3_650)] = 30
) -> Sequence[models.Day]:
    """Return a repository's last UTC days, including today, oldest first."""
    return [models.Day.model_validate(day) for day in await service.trends(repo, days=days)]


def create_app(database: AbstractAsyncContextManager[Memory], embedder: Embedder) -> FastAPI:
    """Return the application. It opens the database at start and closes it at shutdown.

    It does not start if the database holds embeddings of another model than the embedder's.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with database as memory:
            async with memory.unit_of_work(tenant=DEFAULT_TENANT) as uow:
                await uow.embedding_metadata.agree_on_embeddings(
                    provider=embedder.provider, model=embedder.model, dimensions=embedder.dimensions
                )
                await uow.commit()
            app.state.parts = Parts(memory, embedder)
            yield

    app = FastAPI(title="Reviews", lifespan=lifespan)
    app.include_router(router)
    answer_failures(app)
    return app
