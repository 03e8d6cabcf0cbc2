"""One bulk write: how its rows are sent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, Generic, TypeGuard, TypeVar, cast

from sqlalchemy import literal_column

from domain.schema.base import Entity
from domain.schema.stored import mark_written
from domain.schema.writing import (
    BATCH_SIZE,
    COPY_ROWS,
    has_only_b_trees,
    require_entities,
    require_rows,
)
from domain.values.jsonb import MAX_VALUES, weight
from domain.values.turns import VALUES_PER_TURN, slices, sorted_in_slices
from repositories.bulk.batches import ARRAY_ROWS, STATEMENT_ROWS, batches
from repositories.bulk.column_set import ColumnSet, Values, natural_key, sort_key
from repositories.bulk.driver import copy, dialect_of
from repositories.bulk.staging import StagingTable
from repositories.sql import bulk, upsert

if TYPE_CHECKING:
    from sqlalchemy import CursorResult, Row
    from sqlalchemy.dialects.postgresql import Insert
    from sqlalchemy.sql.dml import ReturningInsert

    from domain.ports import Progress, Rows
    from repositories.postgres.transaction import Transaction

E = TypeVar("E", bound=Entity)

COPY_FROM: Final = 200
"""Number of rows from which COPY is faster than INSERT, its check of permissions included."""

COPY_BLOCK: Final = 500
"""Rows of a COPY that are read from entities at a time."""


class BulkWrite(Generic[E]):
    """Writes any number of entities, all or none, in a transaction of the caller.

    Rows are written in the order of their key, so that two writers never wait for each other. A
    list is sorted in memory; rows from an iterator go through a staging table. A role without the
    privilege to create temporary tables writes them batch by batch, so that a deadlock is possible;
    it is raised as a `Conflict`.
    """

    def __init__(
        self,
        transaction: Transaction,
        entity: type[E],
        key: Collection[str] = (),
        *,
        conflict: Callable[[Insert], Insert] | None = None,
        latest: bool = False,
        values: Callable[[E], Values] = vars,
    ) -> None:
        """Prepare a write.

        Args:
            transaction: the transaction of the caller.
            entity: kind of the entities.
            key: columns that identify a row, without the tenant; the natural key by default.
            conflict: adds the rule for rows whose key exists. Without it, such a row is an error.
            latest: whether of rows with equal keys only the last is written; otherwise the first
                wins, or the second is an error.
            values: returns the values of an entity, by field, that are written.
        """
        self._transaction = transaction
        self._entity = entity
        self._key = tuple(key) or natural_key(entity)
        self._conflict = conflict
        self._latest = latest
        self._values = values
        self._column_set = ColumnSet.of(entity)
        self._permissions: Row[Any] | None = None

    async def run(self, entities: Rows[E], progress: Progress | None = None) -> int:
        """Write the entities and return how many rows were written.

        Args:
            entities: the entities, in memory or from an iterator.
            progress: called after each batch with the number of rows sent so far.

        Raises:
            InvalidInput: an item is not an entity of this kind.
        """
        require_rows(entities, self._entity)
        with self._transaction.all_or_none():
            if in_memory(entities):
                return await self._write_list(entities, progress)
            async with aclosing(self._read_batches(entities)) as source:
                first = await anext(source, None)
                if first is None:
                    return 0
                more_may_follow = len(first) == BATCH_SIZE
                if more_may_follow and self._key and (await self._read_permissions()).may_stage:
                    return await self._write_staged(first, source, progress)
                return await self._write_batches(first, source, progress)

    async def _write_list(self, entities: Sequence[E], progress: Progress | None) -> int:
        # A staging table would cost a third more.
        # The caller can change its list while other tasks run.
        entities = list(require_entities(entities, self._entity))
        async for some in slices(entities, VALUES_PER_TURN):
            self._transaction.assign_tenants(some)
        names = set[tuple[Any, ...]]()
        ordered = await self._in_order(entities, names)
        written = 0
        inserts_only = self._conflict is None
        size = COPY_ROWS if inserts_only and has_only_b_trees(self._entity) else BATCH_SIZE
        for start in range(0, len(ordered), size):
            written += await self._write(ordered[start : start + size])
            if progress is not None:
                # Rows with equal keys count as sent with the last batch.
                progress(len(entities) if start + size >= len(ordered) else start + size)
        return len(names) if self._latest else written

    async def _read_batches(self, entities: Rows[E]) -> AsyncGenerator[list[E], None]:
        async with aclosing(batches(entities, BATCH_SIZE)) as source:
            async for batch in source:
                self._transaction.assign_tenants(require_entities(batch, self._entity))
                yield batch

    async def _write_staged(
        self, first: list[E], source: AsyncIterator[list[E]], progress: Progress | None
    ) -> int:
        stage = StagingTable(self._transaction, self._entity, self._column_set)
        await stage.create()
        async for batch in _chained(first, source):
            await stage.append(self._sent(batch))
            if progress is not None:
                progress(stage.rows)
        return await stage.write(
            self._with_conflict_rule(
                bulk.insert_staged(self._entity, self._key, latest=self._latest)
            )
        )

    async def _write_batches(
        self, first: list[E], source: AsyncIterator[list[E]], progress: Progress | None
    ) -> int:
        written, sent, names = 0, 0, set[tuple[Any, ...]]()
        async for batch in _chained(first, source):
            written += await self._write(await self._in_order(batch, names))
            sent += len(batch)
            if progress is not None:
                progress(sent)
        return len(names) if self._latest else written

    async def _in_order(self, batch: Sequence[E], names: set[tuple[Any, ...]]) -> Sequence[E]:
        order = sort_key(self._key)
        if not self._latest:
            return await sorted_in_slices(batch, order) if self._key else batch
        latest = {order(one): one async for some in slices(batch) for one in some}
        names.update(latest)
        in_order = await sorted_in_slices(list(latest), _itself)
        return [latest[name] async for some in slices(in_order, VALUES_PER_TURN) for name in some]

    def _sent(self, batch: Sequence[E]) -> list[Values]:
        """Return the values of entities that are about to be sent."""
        # With a conflict rule, a row can be ignored.
        if self._conflict is None:
            mark_written(batch, self._transaction.mark)
        return list(map(self._values, batch))

    async def _write(self, batch: Sequence[E]) -> int:
        # A row without an embedding takes microseconds; each statement takes a few round trips.
        return await self._in_parts(
            batch, STATEMENT_ROWS if self._entity.embedding_fields() else COPY_ROWS
        )

    async def _in_parts(self, batch: Sequence[E], size: int) -> int:
        return sum([await self._write_together(part) for part in self._parts(batch, size)])

    def _parts(self, batch: Sequence[E], size: int) -> Iterator[Sequence[E]]:
        """Yield parts of at most `size` rows; the driver converts the JSON of a part at once."""
        fields = self._column_set.json_fields
        start = values = 0
        for place, one in enumerate(batch if fields else ()):
            own = sum(weight(self._values(one).get(field)) for field in fields)
            if place > start and (place - start == size or values + own > MAX_VALUES):
                yield batch[start:place]
                start = place
                values = 0
            values += own
        for rest in range(start, len(batch), size):
            yield batch[rest : rest + size]

    async def _write_together(self, batch: Sequence[E]) -> int:
        if self._conflict is None and len(batch) >= COPY_FROM:
            column_set = self._column_set.present(batch, self._values)
            if column_set is not None and (await self._read_permissions()).may_copy:
                # The server processes a block while the next one is read.
                blocks = (
                    self._sent(batch[start : start + COPY_BLOCK])
                    for start in range(0, len(batch), COPY_BLOCK)
                )
                records = column_set.records(blocks, await dialect_of(self._transaction))
                await copy(self._transaction, self._entity.__tablename__, column_set.names, records)
                return len(batch)
        if len(batch) > ARRAY_ROWS:
            return await self._in_parts(batch, ARRAY_ROWS)
        values = self._sent(batch)
        if len(values) == 1:
            row = upsert.row_values(self._entity, values[0])
            return await self._insert(upsert.insert_row(self._entity), row)
        return await self._insert(bulk.insert_arrays(self._entity), self._column_set.arrays(values))

    async def _insert(self, statement: Insert, values: dict[str, Any]) -> int:
        result = await self._transaction.execute(self._with_conflict_rule(statement), values)
        if self._skips_rows:
            return len(result.all())
        return cast("CursorResult[Any]", result).rowcount

    @property
    def _skips_rows(self) -> bool:
        # Citus counts the skipped rows of INSERT … SELECT, too. RETURNING has the inserted ones.
        return self._conflict is not None and not self._latest

    def _with_conflict_rule(self, statement: Insert) -> Insert | ReturningInsert[Any]:
        if self._conflict is None:
            return statement
        insert = self._conflict(statement)
        return insert.returning(literal_column("1")) if self._skips_rows else insert

    async def _read_permissions(self) -> Row[Any]:
        if self._permissions is None:
            self._permissions = (
                await self._transaction.execute(bulk.permissions(self._entity))
            ).one()
        return self._permissions


def in_memory(entities: Rows[E]) -> TypeGuard[Sequence[E]]:
    """Whether all rows are in memory already."""
    return isinstance(entities, Sequence)


def _itself(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return key


async def _chained(first: list[E], source: AsyncIterator[list[E]]) -> AsyncIterator[list[E]]:
    yield first
    async for batch in source:
        yield batch
