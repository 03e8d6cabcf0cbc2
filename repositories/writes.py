"""Writes that meet rows with the same key: for any entity, in a transaction of the caller's."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, TypeVar

from domain.entity import Entity
from repositories.base import BATCH_SIZE, batches
from repositories.statements import upsert

if TYPE_CHECKING:
    from domain.ports import Rows
    from repositories.transaction import Transaction

E = TypeVar("E", bound=Entity)


async def insert_new(
    transaction: Transaction, entity: type[E], entities: Rows[E], *key: str, where_given: str | None = None
) -> int:
    """Insert the entities whose key is new, of equals the first, and return how many were; see `upsert.insert_new`.

    All are sorted by their key before the first is written: writers that lock the same rows in another order deadlock.
    """
    statement = upsert.insert_new(entity, *key, where_given=where_given)
    rows = [row async for batch in batches(entities) for row in batch]
    for row in rows:
        transaction.stamp(row)
    rows.sort(key=lambda row: tuple(str(getattr(row, name)) for name in key))
    written = 0
    for start in range(0, len(rows), BATCH_SIZE):
        batch = rows[start : start + BATCH_SIZE]
        result = await transaction.execute(statement, [upsert.row_values(row) for row in batch])
        written += len(result.all())
    return written


async def insert_or_replace(transaction: Transaction, entity: Entity, *key: str, keep_if_missing: Collection[str] = ()) -> None:
    """Insert the entity, or replace the row with the same key; see `upsert.insert_or_replace`."""
    transaction.stamp(entity)
    statement = upsert.insert_or_replace(type(entity), *key, keep_if_missing=tuple(keep_if_missing))
    await transaction.execute(statement, upsert.row_values(entity))
