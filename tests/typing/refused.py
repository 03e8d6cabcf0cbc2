"""What type checkers must refuse. Every line marked here is an error; where one were none, the unused ignore would be."""

from __future__ import annotations

from domain import Finding, ReadUnitOfWork, Review, UnitOfWork


async def misuse(uow: UnitOfWork, view: ReadUnitOfWork, finding: Finding) -> None:
    Review(pr_number=7)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue] -- repo is missing
    Review(repo="acme/api", pr_number="7")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] -- no number
    Review(repo="acme/api", pr_number=7, surprise=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue] -- no such field
    uow.reviews.add(finding)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] -- another entity
    view.reviews.add(Review(repo="acme/api", pr_number=7))  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue] -- a reader does not write
    await view.commit()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue] -- nor commit
    await uow.knowledge.vector_search("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] -- no vector
    await uow.knowledge.count("repo = 'a'")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] -- SQL is no filter
