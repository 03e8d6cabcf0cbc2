"""Deletion of old rows. Ages count from the server's clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Delete,
    Interval,
    Select,
    delete,
    func,
    literal,
    select,
)

from domain.schema.base import Entity
from repositories.sql.rows import delete_rows

FIRST_ID = UUID(int=0)
"""An id before the id of every row."""


def ago(age: timedelta) -> ColumnElement[datetime]:
    """Return the moment `age` before the beginning of the transaction."""
    return func.now() - literal(age, Interval())


def delete_older(
    entity: type[Entity], tenant: str, column: str, age: timedelta, *, at_most: int | None
) -> Delete:
    """Delete the tenant's rows whose `column` is longer ago than `age`."""
    return delete_rows(entity, tenant, entity.__table__.c[column] < ago(age), at_most=at_most)


def delete_batch(
    entity: type[Entity], tenant: str, age: timedelta, *, after: UUID, size: int
) -> Select[int, int, UUID]:
    """Delete the next `size` of the tenant's rows written longer ago than `age`, by id.

    It selects how many rows were deleted, how many were candidates (another session may delete some
    of them), and the last of their ids. Each batch begins where the previous one ended, so that all
    batches together read the primary key once, and no dead row twice.
    """
    table, columns = entity.__table__, entity.__table__.c
    old = (columns.tenant == tenant, columns.created_at < ago(age), columns.id > after)
    batch = select(columns.id).where(*old).order_by(columns.id).limit(size).cte("batch")
    last = select(batch.c.id).order_by(batch.c.id.desc()).limit(1).scalar_subquery()
    deleted = delete(table).where(*old, columns.id <= last).returning(columns.id).cte("deleted")
    candidates = select(func.count()).select_from(batch).scalar_subquery()
    return select(
        func.count().label("deleted"), candidates.label("found"), last.label("last")
    ).select_from(deleted)
