"""One bulk write: which way its rows go."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, Generic, TypeGuard, TypeVar, cast

from domain.schema.base import Entity
from repositories.bulk.batches import BATCH_SIZE, COPY_ROWS, STATEMENT_ROWS, batches
from repositories.bulk.column_set import ColumnSet, has_b_trees_alone, natural_key, sort_key
from repositories.bulk.copying import copy, dialect_of
from repositories.bulk.staging import StagingTable
from repositories.sql import bulk, upsert

if TYPE_CHECKING:
    from sqlalchemy import CursorResult, Row
    from sqlalchemy.dialects.postgresql import Insert

    from domain.ports import Progress, Rows
    from repositories.postgres.transaction import Transaction

E = TypeVar("E", bound=Entity)

COPY_FROM: Final = 200
"""Rows from which on COPY, which asks first whether it is allowed, is faster than one INSERT."""


class BulkWrite(Generic[E]):
    """Writes any number of entities, all or none, in a transaction of the caller's.

    `conflict` says what becomes of a row whose key exists; without it that is an error. Rows are
    written in the order of their key, of equal ones the first or, with `latest`, the last alone:
    two writers never wait for each other. A list is put in order where it is; what comes from an
    iterator is laid ready in a temporary table. A role that may create none writes that batch after
    batch, so that a deadlock is possible, and raised as a `Conflict`.
    """

    def __init__(
        self,
        transaction: Transaction,
        entity: type[E],
        key: Collection[str] = (),
        *,
        conflict: Callable[[Insert], Insert] | None = None,
        latest: bool = False,
    ) -> None:
        self._transaction = transaction
        self._entity = entity
        self._key = tuple(key) or natural_key(entity)
        self._conflict = conflict
        self._latest = latest
        self._layout = ColumnSet.of(entity)
        self._known: Row[Any] | None = None

    async def run(self, entities: Rows[E], progress: Progress | None = None) -> int:
        """Write the entities and return how many rows that made.

        Tell `progress` after each batch how many were sent so far.
        """
        with self._transaction.all_or_none():
            if in_memory(entities):
                return await self._of_a_list(entities, progress)
            async with aclosing(self._stamped(entities)) as source:
                first = await anext(source, None)
                if first is None:
                    return 0
                more_may_follow = len(first) == BATCH_SIZE
                if more_may_follow and self._key and (await self._allowances()).may_stage:
                    return await self._staged(first, source, progress)
                return await self._in_batches(first, source, progress)

    async def _of_a_list(self, entities: Sequence[E], progress: Progress | None) -> int:
        # No table is needed to put them in order, which costs a third more.
        self._transaction.assign_tenants(entities)
        names = set[tuple[Any, ...]]()
        ordered = self._in_order(entities, names)
        written = 0
        size = (
            COPY_ROWS if self._conflict is None and has_b_trees_alone(self._entity) else BATCH_SIZE
        )
        for start in range(0, len(ordered), size):
            written += await self._write(ordered[start : start + size])
            if progress is not None:
                # Of equal ones all count as sent with the last batch.
                progress(len(entities) if start + size >= len(ordered) else start + size)
        return len(names) if self._latest else written

    async def _stamped(self, entities: Rows[E]) -> AsyncGenerator[list[E], None]:
        async with aclosing(batches(entities, BATCH_SIZE)) as source:
            async for batch in source:
                self._transaction.assign_tenants(batch)
                yield batch

    async def _staged(
        self, first: list[E], source: AsyncIterator[list[E]], progress: Progress | None
    ) -> int:
        stage = StagingTable(self._transaction, self._entity, self._layout)
        await stage.create()
        async for batch in _again(first, source):
            await stage.append(batch)
            if progress is not None:
                progress(stage.rows)
        return await stage.write(
            self._resolved(bulk.insert_staged(self._entity, self._key, latest=self._latest))
        )

    async def _in_batches(
        self, first: list[E], source: AsyncIterator[list[E]], progress: Progress | None
    ) -> int:
        written, sent, names = 0, 0, set[tuple[Any, ...]]()
        async for batch in _again(first, source):
            written += await self._write(self._in_order(batch, names))
            sent += len(batch)
            if progress is not None:
                progress(sent)
        return len(names) if self._latest else written

    def _in_order(self, batch: Sequence[E], names: set[tuple[Any, ...]]) -> Sequence[E]:
        order = sort_key(self._key)
        if not self._latest:
            return sorted(batch, key=order) if self._key else batch
        latest = {order(entity): entity for entity in batch}
        names.update(latest)
        return [latest[name] for name in sorted(latest)]

    async def _write(self, batch: Sequence[E]) -> int:
        # Without an embedding a row takes microseconds, and each statement a few round trips.
        return await self._in_parts(
            batch, STATEMENT_ROWS if self._entity.embedding_fields() else COPY_ROWS
        )

    async def _in_parts(self, batch: Sequence[E], size: int) -> int:
        return sum(
            [
                await self._write_together(batch[start : start + size])
                for start in range(0, len(batch), size)
            ]
        )

    async def _write_together(self, batch: Sequence[E]) -> int:
        if len(batch) == 1:
            return await self._insert(upsert.insert_row(self._entity), upsert.row_values(batch[0]))
        values = list(map(vars, batch))
        if self._conflict is None and len(batch) >= COPY_FROM:
            column_set = self._layout.present(values)
            if column_set is not None and (await self._allowances()).may_copy:
                records = column_set.records(values, await dialect_of(self._transaction))
                await copy(self._transaction, self._entity.__tablename__, column_set.names, records)
                return len(batch)
        if len(batch) > BATCH_SIZE:
            return await self._in_parts(batch, BATCH_SIZE)
        return await self._insert(bulk.insert_arrays(self._entity), self._layout.arrays(values))

    async def _insert(self, statement: Insert, values: dict[str, Any]) -> int:
        result = await self._transaction.execute(self._resolved(statement), values)
        return cast("CursorResult[Any]", result).rowcount

    def _resolved(self, statement: Insert) -> Insert:
        return statement if self._conflict is None else self._conflict(statement)

    async def _allowances(self) -> Row[Any]:
        if self._known is None:
            self._known = (await self._transaction.execute(bulk.allowances(self._entity))).one()
        return self._known


def in_memory(entities: Rows[E]) -> TypeGuard[Sequence[E]]:
    """Whether the caller holds all of them as it is."""
    return isinstance(entities, Sequence)


async def _again(first: list[E], source: AsyncIterator[list[E]]) -> AsyncIterator[list[E]]:
    yield first
    async for batch in source:
        yield batch
