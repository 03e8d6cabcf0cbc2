"""Labels that people put on pull requests: the entity, and its repository on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import func, update
from sqlmodel import col, select

from domain import ApplicationEntity, DatabasePort, Repository, unique, where
from domain.values.numbers import Positive
from domain.values.text import Name
from repositories import base, register, tenant_equals

if TYPE_CHECKING:
    from repositories import Database


class ReviewLabel(ApplicationEntity, table=True):
    """One label on one pull request.

    Unique: repository, pull request and label.
    """

    __tablename__ = "review_labels"
    __table_args__ = (unique("repo", "pr_number", "label"),)

    repo: Name
    pr_number: Positive
    label: Name
    person: Name


class Labels(Repository[ReviewLabel], Protocol):
    """The operations that the application needs of the repository, on either store."""

    async def of_pull_request(self, repo: str, pr_number: int) -> Sequence[str]:
        """Return the labels of a pull request, in the order of the alphabet."""
        ...

    async def most_used(self, repo: str, *, limit: int = 10) -> Sequence[tuple[str, int]]:
        """Return the most used labels of a repository, with their counts."""
        ...


class LabelReader(base.ReadRepository[ReviewLabel]):
    """Reads labels on PostgreSQL."""

    async def of_pull_request(self, repo: str, pr_number: int) -> Sequence[str]:
        chosen = where("repo").equals(repo) & where("pr_number").equals(pr_number)
        return sorted(label.label for label in await self.list(chosen))

    async def most_used(self, repo: str, *, limit: int = 10) -> Sequence[tuple[str, int]]:
        label, uses = col(ReviewLabel.label), func.count()
        statement = (
            select(label, uses)
            .where(tenant_equals(ReviewLabel, self.tenant), ReviewLabel.repo == repo)
            .group_by(label)
            .order_by(uses.desc(), label)
            .limit(limit)
        )
        return [(name, count) for name, count in await self.statements.execute(statement)]


class LabelRepository(LabelReader, base.Repository[ReviewLabel]):
    """Reads and writes labels on PostgreSQL."""


register(
    ReviewLabel,
    name="labels",
    port=Labels,
    repository=LabelRepository,
    reader=LabelReader,
    fake="examples.review_labels.labels_fake:FakeLabelRepository",
    fake_reader="examples.review_labels.labels_fake:FakeLabelReader",
)


async def add_label(database: DatabasePort, repo: str, pr_number: int, label: str, by: str) -> None:
    """Put a label on a pull request."""
    async with database.unit_of_work() as uow:
        uow.provide(Labels).add(ReviewLabel(repo=repo, pr_number=pr_number, label=label, person=by))
        await uow.commit()


async def rename_person(database: Database, old: str, new: str) -> int:
    """Write another name of a person into all labels, with one statement of the application."""
    async with database.unit_of_work() as uow:
        changed = await uow.execute(
            update(ReviewLabel)
            .where(tenant_equals(ReviewLabel, uow.tenant), col(ReviewLabel.person) == old)
            .values(person=new)
        )
        await uow.commit()
        return changed.rowcount
