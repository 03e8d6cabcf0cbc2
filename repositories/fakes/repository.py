"""What every fake repository does."""

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

from domain.errors import NotFound
from domain.schema.base import Entity
from domain.values.paging import (
    DEFAULT_LIMIT,
    MAX_BATCH_SIZE,
    Cursor,
    Page,
    require_limit,
    require_whole,
)
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
        found = await self.find(id, with_embedding=with_embedding)
        if found is None:
            raise NotFound(self._entity.__name__, id)
        return found

    async def find(self, id: UUID, *, with_embedding: bool = False) -> E | None:
        found = await self.get_many([id], with_embedding=with_embedding)
        return found.get(id)

    async def get_many(
        self, ids: Iterable[UUID], *, with_embedding: bool = False
    ) -> Mapping[UUID, E]:
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            return {}
        async with self._transaction.statement():
            found = (self._transaction.find(self._table, key) for key in wanted)
            rows = [row for row in found if row is not None]
        entities = self._entities(rows, with_embedding=with_embedding)
        return {row["id"]: entity for row, entity in zip(rows, entities, strict=True)}

    async def exists(self, where: Filter | None = None) -> bool:
        return await self.count(where) > 0

    async def count(self, where: Filter | None = None) -> int:
        return len(await self._rows(meeting(self._entity, where)))

    async def list(
        self,
        where: Filter | None = None,
        *,
        limit: int = DEFAULT_LIMIT,
        descending: bool = False,
        with_embedding: bool = False,
    ) -> Sequence[E]:
        rows = await self._ordered(where, descending=descending, limit=require_limit(limit))
        return self._entities(rows, with_embedding=with_embedding)

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
        # One row more than asked for tells whether another page follows; it is read as the others
        # are.
        rows = await self._ordered(
            where, after=start, descending=descending, limit=require_limit(limit) + 1
        )
        items = self._entities(rows, with_embedding=with_embedding)[:limit]
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
        for row in await self._ordered(where, descending=descending):
            self._transaction.require_open()
            yield self._copy(row, with_embedding=with_embedding)

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
            return sorted(self._transaction.select(self._table, meets), key=key, reverse=descending)

    def _first(self, rows: Sequence[Row], *, with_embedding: bool = False) -> E | None:
        return next(iter(self._entities(rows[:1], with_embedding=with_embedding)), None)

    def _entities(self, rows: Iterable[Row], *, with_embedding: bool = False) -> Sequence[E]:
        return cast(
            "Sequence[E]",
            self._transaction.entities(self._table, rows, with_embedding=with_embedding),
        )

    def _copy(self, row: Row, *, with_embedding: bool = False) -> E:
        return cast("E", copy_of(self._table, row, with_embedding=with_embedding))


class FakeRepository(FakeReadRepository[E]):
    """Reads and writes the tenant's entities of one kind."""

    def add(self, entity: E) -> E:
        return self._transaction.add(entity)

    async def add_many(self, entities: Rows[E], *, progress: Progress | None = None) -> int:
        new = await self._stamped(entities)
        if not new:
            return 0
        if (rule := self._table.natural_key) is not None:
            new.sort(key=_by(rule.columns))
        async with self._transaction.statement():
            await self._transaction.rows.insert(self._table, self._new(new))
        told(progress, len(new))
        return len(new)

    async def delete(self, id: UUID) -> bool:
        return await self._delete(lambda row: row["id"] == id) > 0

    async def add_new(self, entities: Rows[E], *key: str, progress: Progress | None = None) -> int:
        """Insert the entities whose key is new, of equals the first, and return how many were."""
        new = await self._stamped(entities)
        if not new:
            return 0
        new.sort(key=_by(key))
        async with self._transaction.statement():
            inserted = await self._transaction.rows.insert_new(
                self._table, self._new(new), self._table.unique_over(*key)
            )
        told(progress, len(new))
        return inserted

    async def replace(self, entity: E, *key: str, keep_if_missing: Collection[str] = ()) -> Row:
        """Insert the entity, or replace all of the row with the same key but its id and `created_at`."""
        new = self._new([self._transaction.assign_tenant(entity)])[0]
        kept = {
            "tenant",
            "id",
            "created_at",
            *key,
            *(name for name in keep_if_missing if new[name] is None),
        }
        change = always({name: value for name, value in new.items() if name not in kept})
        async with self._transaction.statement():
            return await self._transaction.rows.upsert(
                self._table, new, self._table.unique_over(*key), change
            )

    async def _delete(self, meets: Condition, *, at_most: int | None = None) -> int:
        async with self._transaction.statement():
            return await self._transaction.delete(self._table, meets, at_most=at_most)

    async def _stamped(self, entities: Rows[E]) -> list[E]:
        return [self._transaction.assign_tenant(entity) async for entity in _each(entities)]

    def _new(self, entities: Iterable[E]) -> list[Row]:
        return [self._table.row_of(entity, self._transaction.now) for entity in entities]


def _by(columns: Sequence[str]) -> Callable[[Entity], Any]:
    return lambda entity: tuple(
        (vars(entity)[name] is None, vars(entity)[name]) for name in columns if name != "tenant"
    )


def told(progress: Progress | None, rows: int) -> None:
    """Tell that so many rows were sent."""
    if progress is not None:
        progress(rows)


async def _each(entities: Rows[E]) -> AsyncIterator[E]:
    if isinstance(entities, AsyncIterable):
        async for entity in entities:
            yield entity
    else:
        for entity in entities:
            yield entity
