"""Rows that have grown too old. Ages are counted from the server's clock."""

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
"""No row has it; every row comes after it."""


def ago(age: timedelta) -> ColumnElement[datetime]:
    """Return the moment that is so long before the beginning of the transaction."""
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

    Selects how many rows were deleted, how many there were to delete (someone else may be at it),
    and the last of their ids. Each batch begins where the one before it ended, so that together
    they read the primary key once and no dead row twice.
    """
    table, columns = entity.__table__, entity.__table__.c
    old = (columns.tenant == tenant, columns.created_at < ago(age), columns.id > after)
    batch = select(columns.id).where(*old).order_by(columns.id).limit(size).cte("batch")
    last = select(batch.c.id).order_by(batch.c.id.desc()).limit(1).scalar_subquery()
    deleted = delete(table).where(*old, columns.id <= last).returning(columns.id).cte("deleted")
    found = select(func.count()).select_from(batch).scalar_subquery()
    return select(
        func.count().label("deleted"), found.label("found"), last.label("last")
    ).select_from(deleted)
