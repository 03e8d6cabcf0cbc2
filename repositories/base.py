"""The generic repositories on PostgreSQL.

They execute the statements of `repositories.sql`, and never commit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import Select

from domain import ports
from domain.errors import NotFound
from domain.ports.implementing import implements
from domain.schema.base import Entity
from domain.schema.stored import mark_stored
from domain.schema.writing import require_entity
from domain.values.ids import require_id, require_many
from domain.values.numbers import require_whole
from domain.values.paging import (
    DEFAULT_LIMIT,
    MAX_BATCH_SIZE,
    MAX_LIMIT,
    Cursor,
    Page,
    require_limit,
)
from domain.values.turns import lists, slices
from repositories.bulk import BulkWrite
from repositories.postgres.own_statements import RepositoryStatements
from repositories.sql import rows
from repositories.sql.filters import FilterKey

if TYPE_CHECKING:
    from sqlalchemy import Executable

    from domain.ports import Progress, Rows
    from domain.values.filters import Filter
    from repositories.postgres.compiled_statements import Row
    from repositories.postgres.transaction import Transaction

E = TypeVar("E", bound=Entity)


@implements(ports.ReadRepository)
class ReadRepository(Generic[E]):
    """Reads the tenant's entities of one kind.

    In a unit of work they are tracked, in a reader they are not.
    """

    entity: type[Entity]
    """The entity that it stores; a class that stores one entity only names it here."""

    def __init__(self, transaction: Transaction, entity: type[E] | None = None) -> None:
        self._transaction = transaction
        if entity is not None:
            self.entity = entity

    @property
    def tenant(self) -> str:
        """The tenant whose rows it reads and writes."""
        return self._transaction.tenant

    @property
    def statements(self) -> RepositoryStatements:
        """Executes statements of your own, in the transaction of the unit of work.

        Each needs the condition `tenant_equals(Entity, self.tenant)`.
        """
        return RepositoryStatements(self._transaction)

    async def get(self, id: UUID, *, with_embedding: bool = False) -> E:
        key = require_id(id)
        statement = rows.by_id(self.entity, with_embedding=with_embedding)
        entity = await self._one(statement, id=key)
        if entity is None:
            raise NotFound(self.entity.__name__, key)
        return entity

    async def find(self, id: UUID, *, with_embedding: bool = False) -> E | None:
        statement = rows.by_id(self.entity, with_embedding=with_embedding)
        return await self._one(statement, id=require_id(id))

    async def get_many(
        self, ids: Iterable[UUID], *, with_embedding: bool = False
    ) -> Mapping[UUID, E]:
        keys = await _unique_ids(ids)
        if not keys:
            return {}
        statement = rows.many_by_id(self.entity, with_embedding=with_embedding)
        by_id = {
            vars(entity)["id"]: entity
            async for some in lists(keys, MAX_LIMIT)
            for entity in await self._all(statement, ids=some)
        }
        return {key: by_id[key] for key in keys if key in by_id}

    async def exists(self, where: Filter | None = None) -> bool:
        return bool(await self._scalar(rows.any_that_meets(self.entity, FilterKey(where))))

    async def count(self, where: Filter | None = None) -> int:
        return int(await self._scalar(rows.count_rows(self.entity, FilterKey(where))))

    async def list(
        self,
        where: Filter | None = None,
        *,
        limit: int = DEFAULT_LIMIT,
        descending: bool = False,
        with_embedding: bool = False,
    ) -> Sequence[E]:
        rows_at_most = require_limit(limit)
        listing = self._listed(where, descending=descending, with_embedding=with_embedding)
        return await self._all(listing, limit=rows_at_most)

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
        # One row more than the limit shows whether another page follows.
        more = require_limit(limit) + 1
        listing = self._listed(
            where, descending=descending, with_embedding=with_embedding, continued=start is not None
        )
        entities = await self._all(listing, after=start, limit=more)
        items = entities[:limit]
        last = (
            Cursor(listing=name, descending=descending, id=vars(items[-1])["id"])
            if len(entities) > limit
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
        shape = {
            "descending": descending,
            "with_embedding": with_embedding,
            "continued": False,
            "limited": False,
        }
        listing = rows.listed(self.entity, FilterKey(where), **shape)
        async for row in self._transaction.stream(listing, self._bound(), batch_size=batch_size):
            yield self._hydrate(dict(row))

    def _select(self, *, with_embedding: bool = False) -> Select[Any]:
        return rows.selected(self.entity, with_embedding=with_embedding)

    def _listed(
        self, where: Filter | None, *, continued: bool = False, **shape: bool
    ) -> Select[Any]:
        return rows.listed(
            self.entity, FilterKey(where), continued=continued, limited=True, **shape
        )

    def _bound(self, **values: Any) -> dict[str, Any]:
        return {"tenant": self._transaction.tenant, **values}

    async def _all(self, statement: Select[Any], **values: Any) -> Sequence[E]:
        rows = await self._transaction.rows(statement, self._bound(**values))
        hydrate = self._track if self._transaction.tracks else self._hydrate
        return [hydrate(row) async for part in slices(rows) for row in part]

    async def _one(self, statement: Select[Any], **values: Any) -> E | None:
        return next(iter(await self._all(statement, **values)), None)

    async def _scalar(self, statement: Executable) -> Any:
        return await self._transaction.scalar(statement, self._bound())

    def _track(self, row: Row) -> E:
        return self._transaction.track(self.entity, row)  # type: ignore[return-value]  # E

    def _hydrate(self, row: Row) -> E:
        entity = self.entity.from_row(row)
        mark_stored(entity)
        return entity  # type: ignore[return-value]  # E


async def _unique_ids(ids: Iterable[UUID]) -> list[UUID]:
    checked = [require_id(one, "ids") async for part in slices(require_many(ids)) for one in part]
    return list(dict.fromkeys(checked))


@implements(ports.AppendRepository)
class AppendRepository(ReadRepository[E]):
    """Reads and adds the tenant's entities of one kind."""

    def add(self, entity: E) -> E:
        return self._transaction.add(require_entity(entity, self._kind))

    async def add_many(self, entities: Rows[E], *, progress: Progress | None = None) -> int:
        return await BulkWrite(self._transaction, self._kind).run(entities, progress)

    @property
    def _kind(self) -> type[E]:
        return self.entity  # type: ignore[return-value]  # a class variable cannot name E


@implements(ports.Repository)
class Repository(AppendRepository[E]):
    """Reads, adds and deletes the tenant's entities of one kind."""

    async def delete(self, id: UUID) -> bool:
        condition = rows.id_column(self.entity) == require_id(id)
        statement = rows.delete_rows(self.entity, self._transaction.tenant, condition)
        return await self._transaction.changed(statement) > 0


def column_values(entity: Entity) -> dict[str, Any]:
    """Return the entity's values by column, without missing values that have a server default."""
    values = vars(entity)
    columns = (
        (attribute.element, attribute.name)
        for attribute in rows.fields(type(entity), with_embedding=True)
    )
    pairs = ((column, values[name]) for column, name in columns)
    return {
        column.name: value
        for column, value in pairs
        if value is not None or column.server_default is None
    }
