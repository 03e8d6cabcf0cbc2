"""What every repository on PostgreSQL does: it executes the statements that others build, and never commits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar
from uuid import UUID

from sqlalchemy import Select

from domain.entity import Entity
from domain.errors import InvalidInput, NotFound
from domain.paging import DEFAULT_LIMIT, Cursor, Page, require_limit
from repositories.bulk import BulkWrite
from repositories.statements import rows
from repositories.statements.filters import filter_condition

if TYPE_CHECKING:
    from sqlalchemy import Executable

    from domain.filters import Filter
    from domain.ports import Progress, Rows
    from repositories.transaction import Transaction

E = TypeVar("E", bound=Entity)


class ReadRepository(Generic[E]):
    """Reads the tenant's entities of one kind. In a unit of work they are tracked, in a reader they are not."""

    entity: ClassVar[type[Entity]]

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def get(self, id: UUID, *, with_embedding: bool = False) -> E:
        found = await self.find(id, with_embedding=with_embedding)
        if found is None:
            raise NotFound(self.entity.__name__, id)
        return found

    async def find(self, id: UUID, *, with_embedding: bool = False) -> E | None:
        return await self._one(self._select(with_embedding=with_embedding).where(rows.id_column(self.entity) == id))

    async def get_many(self, ids: Iterable[UUID], *, with_embedding: bool = False) -> Mapping[UUID, E]:
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            return {}
        found = await self._all(rows.by_ids(self._select(with_embedding=with_embedding), self.entity, wanted))
        by_id = {vars(entity)["id"]: entity for entity in found}
        return {key: by_id[key] for key in wanted if key in by_id}

    async def exists(self, where: Filter | None = None) -> bool:
        condition = filter_condition(self.entity, where)
        return bool(await self._scalar(rows.any_rows(self.entity, self._transaction.tenant, condition)))

    async def count(self, where: Filter | None = None) -> int:
        return int(await self._scalar(rows.count_rows(self.entity, self._transaction.tenant, where)))

    async def list(
        self, where: Filter | None = None, *, limit: int = DEFAULT_LIMIT, descending: bool = False, with_embedding: bool = False
    ) -> Sequence[E]:
        listing = self._select(with_embedding=with_embedding)
        return await self._all(rows.page_of(listing, self.entity, where, limit=require_limit(limit), descending=descending))

    async def page(
        self,
        where: Filter | None = None,
        *,
        after: Cursor | None = None,
        limit: int = DEFAULT_LIMIT,
        descending: bool = False,
        with_embedding: bool = False,
    ) -> Page[E]:
        name = self.entity.__name__
        start = None if after is None else after.require(name, descending=descending)
        listing = self._select(with_embedding=with_embedding)
        # One row more than asked for tells whether another page follows.
        more = require_limit(limit) + 1
        found = await self._all(rows.page_of(listing, self.entity, where, after=start, limit=more, descending=descending))
        items = found[:limit]
        last = Cursor(listing=name, descending=descending, id=vars(items[-1])["id"]) if len(found) > limit else None
        return Page(items=items, next=last)

    async def stream(
        self, where: Filter | None = None, *, batch_size: int = 500, descending: bool = False, with_embedding: bool = False
    ) -> AsyncIterator[E]:
        if batch_size < 1:
            raise InvalidInput("batch_size must be at least 1", field="batch_size")
        listing = rows.select_fields(self.entity, self._transaction.tenant, with_embedding=with_embedding)
        statement = rows.page_of(listing, self.entity, where, descending=descending)
        async for row in self._transaction.stream(statement, batch_size=batch_size):
            yield self._hydrate(row)

    def _select(self, *, with_embedding: bool = False) -> Select[Any]:
        select = rows.select_entities if self._transaction.tracks else rows.select_fields
        return select(self.entity, self._transaction.tenant, with_embedding=with_embedding)

    async def _all(self, statement: Select[Any]) -> Sequence[E]:
        result = await self._transaction.execute(statement)
        if self._transaction.tracks:
            return result.scalars().all()
        return [self._hydrate(row) for row in result.mappings()]

    async def _one(self, statement: Select[Any]) -> E | None:
        return next(iter(await self._all(statement.limit(1))), None)

    async def _scalar(self, statement: Executable) -> Any:
        return (await self._transaction.execute(statement)).scalar_one()

    def _hydrate(self, row: Mapping[Any, Any]) -> E:
        return self.entity.model_construct(**row)  # type: ignore[return-value]  # a class variable cannot name E


class Repository(ReadRepository[E]):
    """Reads and writes the tenant's entities of one kind."""

    def add(self, entity: E) -> E:
        return self._transaction.add(entity)

    async def add_many(self, entities: Rows[E], *, progress: Progress | None = None) -> int:
        return await BulkWrite(self._transaction, self.entity).run(entities, progress)

    async def delete(self, id: UUID) -> bool:
        key = rows.id_column(self.entity)
        return await self._transaction.changed(rows.delete_rows(self.entity, self._transaction.tenant, key == id)) > 0


def column_values(entity: Entity) -> dict[str, Any]:
    """Return the entity's values by column, without those that the server is to fill in."""
    values = vars(entity)
    columns = ((attribute.element, attribute.name) for attribute in rows.fields(type(entity), with_embedding=True))
    given = ((column, values[name]) for column, name in columns)
    return {column.name: value for column, value in given if value is not None or column.server_default is None}
