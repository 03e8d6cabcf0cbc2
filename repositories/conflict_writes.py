"""Writes of entities whose keys can exist already."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from domain.schema.base import Entity
from domain.schema.writing import require_entity
from repositories.bulk import BulkWrite
from repositories.sql import upsert

if TYPE_CHECKING:
    from domain.ports import Progress, Rows
    from repositories.postgres.transaction import Transaction

E = TypeVar("E", bound=Entity)


async def insert_new(
    transaction: Transaction,
    entity: type[E],
    entities: Rows[E],
    key: Collection[str],
    *,
    where_not_null: str | None = None,
    progress: Progress | None = None,
) -> int:
    """Insert the entities whose key is new, and return how many were inserted.

    If several entities have the same key, the first is inserted; see `upsert.if_new`.
    """
    conflict = partial(upsert.if_new, key=key, where_not_null=where_not_null)
    return await BulkWrite(transaction, entity, key, conflict=conflict).run(entities, progress)


async def insert_or_replace(
    transaction: Transaction,
    kind: type[E],
    entity: E,
    *key: str,
    keep_if_missing: Collection[str] = (),
) -> None:
    """Insert the entity, or replace the row with the same key; see `upsert.or_replace`.

    Raises:
        InvalidInput: `entity` is not one of this kind.
    """
    transaction.assign_tenant(require_entity(entity, kind))
    statement = upsert.or_replace(upsert.insert_row(kind), key, keep_if_missing=keep_if_missing)
    await transaction.execute(statement, upsert.row_values(kind, vars(entity)))
