"""Code that type checkers must refuse.

Every marked line is an error; without one, the checker reports the unused ignore.
"""

from __future__ import annotations

from collections.abc import Sequence

from domain import Finding, ReadUnitOfWork, Review, UnitOfWork, Vector
from examples.review_service.api import create_app
from examples.review_service.embedder import HashedWords
from examples.review_service.service import Delivery, Opinion, ReviewService
from repositories import Database
from repositories.testing.factories import FindingFactory, review_with_findings


async def misuse(uow: UnitOfWork, view: ReadUnitOfWork, finding: Finding) -> None:
    Review(pr_number=7)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue] -- repo is missing
    Review(repo="acme/api", pr_number="7")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] -- no number
    Review(repo="acme/api", pr_number=7, surprise=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue] -- no such field
    uow.reviews.add(finding)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] -- another entity
    view.reviews.add(Review(repo="acme/api", pr_number=7))  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue] -- a reader does not write
    await view.commit()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue] -- nor commit
    await uow.knowledge.vector_search("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] -- no vector
    await uow.knowledge.count("repo = 'a'")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] -- SQL is not a filter


class WithoutDimensions:
    provider, model = "own", "model"

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        return [Vector([1.0]) for _ in texts]


async def misuse_in_an_application(
    service: ReviewService, database: Database, finding: Finding, delivery: Delivery
) -> None:
    create_app(database, WithoutDimensions())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] -- no embedder
    create_app(database.unit_of_work(), HashedWords())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] -- lends none
    ReviewService(database, HashedWords())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue] -- whose reviews?
    await service.record(finding, [], delivery)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] -- no review
    await service.record_feedback("7", Opinion(reaction="+1", login="a", reaction_id=1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] -- texts
    (await service.stats("acme/api")).reviews = 7  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue] -- figures are read


async def misuse_in_a_test() -> None:
    _ = review_with_findings(surprise=3).reviews  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue] -- it has one
    await FindingFactory.build()  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues] -- nothing is awaited
