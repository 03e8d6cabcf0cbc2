"""The generic fake repositories."""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from uuid import UUID

from domain import ports
from domain.errors import NotFound
from domain.ports.implementing import implements
from domain.schema.base import Entity
from domain.schema.stored import mark_written
from domain.schema.writing import (
    BATCH_SIZE,
    COPY_ROWS,
    has_only_b_trees,
    require_entities,
    require_entity,
    require_rows,
)
from domain.values.ids import require_id, require_ids
from domain.values.numbers import require_whole
from domain.values.paging import (
    DEFAULT_LIMIT,
    MAX_BATCH_SIZE,
    Cursor,
    Page,
    require_limit,
)
from domain.values.turns import VALUES_PER_TURN, slices, sorted_in_slices
from repositories.fakes.binding import Binds
from repositories.fakes.filters import meeting
from repositories.fakes.tracking import copy_of
from repositories.fakes.writes import Condition, always, anything

if TYPE_CHECKING:
    from domain.ports import Progress, Rows
    from domain.values.filters import Filter
    from repositories.fakes.checks import Row
    from repositories.fakes.transaction import Transaction

E = TypeVar("E", bound=Entity)

by_id = itemgetter("id")


@implements(ports.ReadRepository)
class FakeReadRepository(Binds, Generic[E]):
    """Reads the tenant's entities of one kind.

    In a unit of work they are tracked, in a reader they are not.
    """

    def __init__(self, transaction: Transaction, entity: type[E]) -> None:
        self._transaction = transaction
        self._entity = entity
        self._table = transaction.state.tables[entity.__tablename__]

    @property
    def tenant(self) -> str:
        """The tenant whose rows it reads and writes."""
        return self._transaction.tenant

    async def get(self, id: UUID, *, with_embedding: bool = False) -> E:
        key = require_id(id)
        entity = await self.find(key, with_embedding=with_embedding)
        if entity is None:
            raise NotFound(self._entity.__name__, key)
        return entity

    async def find(self, id: UUID, *, with_embedding: bool = False) -> E | None:
        key = require_id(id)
        return (await self.get_many([key], with_embedding=with_embedding)).get(key)

    async def get_many(
        self, ids: Iterable[UUID], *, with_embedding: bool = False
    ) -> Mapping[UUID, E]:
        keys = require_ids(ids)
        if not keys:
            return {}
        async with self._transaction.statement():
            rows = await self._transaction.tenant_rows.find_many(self._table, keys)
        entities = await self._entities(rows, with_embedding=with_embedding)
        return {row["id"]: entity for row, entity in zip(rows, entities, strict=True)}

    async def exists(self, where: Filter | None = None) -> bool:
        return await self.count(where) > 0

    async def count(self, where: Filter | None = None) -> int:
        meets = meeting(self._entity, where)
        async with self._transaction.statement():
            return len(await self._transaction.tenant_rows.select(self._table, meets))

    async def list(
        self,
        where: Filter | None = None,
        *,
        limit: int = DEFAULT_LIMIT,
        descending: bool = False,
        with_embedding: bool = False,
    ) -> Sequence[E]:
        rows = await self._ordered(where, descending=descending, limit=require_limit(limit))
        return await self._entities(rows, with_embedding=with_embedding)

    async def page(
        self,
        where: Filter | None = None,
        *,
        after: Cursor | None = None,
        limit: int = DEFAULT_LIMIT,
        descending: bool = False,
        with_embedding: bool = False,
    ) -> Page[E]:
        name = self._entity.__name__
        start = None if after is None else after.require(name, descending=descending)
        # One row more than the limit shows whether another page follows.
        rows = await self._ordered(
            where, after=start, descending=descending, limit=require_limit(limit) + 1
        )
        items = (await self._entities(rows, with_embedding=with_embedding))[:limit]
        last = (
            Cursor(listing=name, descending=descending, id=rows[limit - 1]["id"])
            if len(rows) > limit
            else None
        )
        return Page(items=items, next=last)

    async def stream(
        self,
        where: Filter | None = None,
        *,
        batch_size: int = 500,
        descending: bool = False,
        with_embedding: bool = False,
    ) -> AsyncIterator[E]:
        require_whole(batch_size, "batch_size", most=MAX_BATCH_SIZE)
        async for some in slices(await self._ordered(where, descending=descending)):
            for row in some:
                self._transaction.require_open()
                yield self._copy(row, with_embedding=with_embedding)

    def _condition(self, *conditions: Filter | None) -> Condition:
        return meeting(self._entity, *conditions)

    async def _ordered(
        self,
        where: Filter | None,
        *,
        after: UUID | None = None,
        descending: bool,
        limit: int | None = None,
    ) -> Sequence[Row]:
        rows = await self._rows(meeting(self._entity, where), key=by_id, descending=descending)
        if after is not None:
            rows = [row for row in rows if (row["id"] < after if descending else row["id"] > after)]
        return rows[:limit]

    async def _rows(
        self,
        meets: Condition = anything,
        *,
        key: Callable[[Row], Any] = by_id,
        descending: bool = False,
    ) -> Sequence[Row]:
        async with self._transaction.statement():
            rows = await self._transaction.tenant_rows.select(self._table, meets)
            ordered = await sorted_in_slices(rows, key)
            return ordered[::-1] if descending else ordered

    def _first(self, rows: Sequence[Row], *, with_embedding: bool = False) -> E | None:
        return next(iter(self._some(rows[:1], with_embedding=with_embedding)), None)

    async def _entities(self, rows: Sequence[Row], *, with_embedding: bool = False) -> Sequence[E]:
        return [
            entity
            async for some in slices(rows)
            for entity in self._some(some, with_embedding=with_embedding)
        ]

    def _some(self, rows: Iterable[Row], *, with_embedding: bool = False) -> Sequence[E]:
        return cast(
            "Sequence[E]",
            self._transaction.entities(self._table, rows, with_embedding=with_embedding),
        )

    def _copy(self, row: Row, *, with_embedding: bool = False) -> E:
        return cast("E", copy_of(self._table, row, with_embedding=with_embedding))


@implements(ports.AppendRepository)
class FakeAppendRepository(FakeReadRepository[E]):
    """Reads and adds the tenant's entities of one kind."""

    def add(self, entity: E) -> E:
        return self._transaction.add(require_entity(entity, self._entity))

    async def add_many(self, entities: Rows[E], *, progress: Progress | None = None) -> int:
        new = await self._read_all(entities, progress)
        if not new:
            return 0
        rule = self._table.natural_key
        rows = new if rule is None else await sorted_in_slices(new, _by(rule.columns))
        async with self._transaction.statement():
            await self._transaction.rows.insert(self._table, await self._new(rows))
            size = COPY_ROWS if has_only_b_trees(self._entity) else BATCH_SIZE
            report(progress, entities, sent=len(new), written=len(new), size=size)
        mark_written(new, self._transaction.mark)
        return len(new)

    async def add_new(self, entities: Rows[E], *key: str, progress: Progress | None = None) -> int:
        """Insert the entities whose key is new, and return how many were inserted.

        If several entities have the same key, the first is inserted.
        """
        new = await self._read_all(entities, progress)
        if not new:
            return 0
        ordered = await sorted_in_slices(new, _by(key))
        async with self._transaction.statement():
            inserted = await self._transaction.rows.insert_new(
                self._table, await self._new(ordered), self._table.unique_over(*key)
            )
            report(progress, entities, sent=len(new), written=len(new))
        return inserted

    async def replace(self, entity: E, *key: str, keep_if_missing: Collection[str] = ()) -> Row:
        """Insert the entity, or replace the row with the same key; return the stored row.

        A replaced row keeps its id and `created_at`.
        """
        require_entity(entity, self._entity)
        [new] = await self._new([self._transaction.assign_tenant(entity)])
        missing = {name for name in keep_if_missing if new[name] is None}
        unchanged = {"tenant", "id", "created_at", *key, *missing}
        change = always({name: value for name, value in new.items() if name not in unchanged})
        async with self._transaction.statement():
            return await self._transaction.rows.upsert(
                self._table, new, self._table.unique_over(*key), change
            )

    async def _delete(self, meets: Condition, *, at_most: int | None = None) -> int:
        async with self._transaction.statement():
            return await self._transaction.tenant_rows.delete(self._table, meets, at_most=at_most)

    async def _read_all(self, entities: Rows[E], progress: Progress | None = None) -> list[E]:
        """Return the entities, as this tenant's.

        On PostgreSQL, the batches of an iterator are sent while it is read. If the iterator or
        `progress` fails after the first full batch, the transaction is aborted.
        """
        require_rows(entities, self._entity)
        if isinstance(entities, Sequence):
            return await self._checked(entities)
        read: list[E] = []
        try:
            async for batch in _batches(entities):
                read += await self._checked(batch)
                if progress is not None:
                    progress(len(read))
        except BaseException:
            if len(read) >= BATCH_SIZE or (read and progress is not None):
                self._transaction.abort()
            raise
        return read

    async def _checked(self, entities: Sequence[E]) -> list[E]:
        require_entities(entities, self._entity)
        return [
            self._transaction.assign_tenant(entity)
            async for some in slices(entities, VALUES_PER_TURN)
            for entity in some
        ]

    async def _new(self, entities: Sequence[E]) -> list[Row]:
        return await self._transaction.rows_of(self._table, entities)


@implements(ports.Repository)
class FakeRepository(FakeAppendRepository[E]):
    """Reads, adds and deletes the tenant's entities of one kind."""

    async def delete(self, id: UUID) -> bool:
        key = require_id(id)
        return await self._delete(lambda row: row["id"] == key) > 0


def _by(columns: Sequence[str]) -> Callable[[Entity], Any]:
    return lambda entity: tuple(
        (vars(entity)[name] is None, vars(entity)[name]) for name in columns if name != "tenant"
    )


def report(
    progress: Progress | None,
    entities: object,
    *,
    sent: int,
    written: int,
    size: int = BATCH_SIZE,
) -> None:
    """Call `progress` as often as PostgreSQL does for a list.

    Args:
        progress: the function to call.
        entities: the argument of the caller. Iterators reported while they were read.
        sent: number of entities.
        written: number of entities that remain if the last of equal keys is written.
        size: number of rows of a batch.
    """
    if progress is not None and isinstance(entities, Sequence):
        for start in range(0, written, size):
            progress(sent if start + size >= written else start + size)


async def _batches(entities: Rows[E]) -> AsyncIterator[list[E]]:
    batch: list[E] = []
    async for entity in _each(entities):
        batch.append(entity)
        if len(batch) == BATCH_SIZE:
            yield batch
            batch = []
    if batch:
        yield batch


async def _each(entities: Rows[E]) -> AsyncIterator[E]:
    if isinstance(entities, AsyncIterable):
        async for entity in entities:
            yield entity
    else:
        for entity in entities:
            yield entity
