"""The ports that all repositories share."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar
from uuid import UUID

from domain.values.paging import DEFAULT_LIMIT

if TYPE_CHECKING:
    from domain.values.filters import Filter
    from domain.values.paging import Cursor, Page

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)

Rows: TypeAlias = "Iterable[E] | AsyncIterable[E]"
"""Entities to write. At most a few thousand that an iterator yields are in memory at a time."""

Progress: TypeAlias = Callable[[int], None]
"""Called after each batch of a bulk write with the number of rows sent so far.

An exception that it raises aborts the write.
"""


class ReadRepository(Protocol[E_co]):
    """Reads one kind of entity, of the unit of work's tenant only.

    Reads leave out embeddings unless `with_embedding` is true.
    """

    async def get(self, id: UUID, *, with_embedding: bool = False) -> E_co:
        """Return the entity.

        Args:
            id: id, as a UUID or its text.
            with_embedding: whether to read the embedding too.

        Raises:
            NotFound: this tenant has no such row.
            InvalidInput: `id` is not a UUID.
        """
        ...

    async def find(self, id: UUID, *, with_embedding: bool = False) -> E_co | None:
        """Return the entity, or None if this tenant has no such row.

        Args:
            id: id, as a UUID or its text.
            with_embedding: whether to read the embedding too.

        Raises:
            InvalidInput: `id` is not a UUID.
        """
        ...

    async def get_many(
        self, ids: Iterable[UUID], *, with_embedding: bool = False
    ) -> Mapping[UUID, E_co]:
        """Return the entities that exist, by id, in the order asked for.

        Duplicates count once. Without ids, no statement is sent.

        Args:
            ids: ids, 100,000 at most.
            with_embedding: whether to read embeddings too.

        Raises:
            InvalidInput: an id is not a UUID, or there are too many.
        """
        ...

    async def exists(self, where: Filter | None = None) -> bool:
        """Return whether any row, or any that meets the filter, exists.

        Args:
            where: condition on the rows; None for any row.

        Raises:
            InvalidFilter: `where` does not fit the entity.
        """
        ...

    async def count(self, where: Filter | None = None) -> int:
        """Return how many rows there are, or how many meet the filter.

        Args:
            where: condition on the rows; None for all rows.

        Raises:
            InvalidFilter: `where` does not fit the entity.
        """
        ...

    async def list(
        self,
        where: Filter | None = None,
        *,
        limit: int = DEFAULT_LIMIT,
        descending: bool = False,
        with_embedding: bool = False,
    ) -> Sequence[E_co]:
        """Return at most `limit` rows in the order of their ids.

        Ids are in the order in which the entities were created.

        Args:
            where: condition on the rows; None for all rows.
            limit: largest number of rows, 1 to 10,000.
            descending: whether the highest id comes first.
            with_embedding: whether to read embeddings too.

        Raises:
            InvalidFilter: `where` does not fit the entity.
            InvalidInput: `limit` is out of range.
        """
        ...

    async def page(
        self,
        where: Filter | None = None,
        *,
        after: Cursor | None = None,
        limit: int = DEFAULT_LIMIT,
        descending: bool = False,
        with_embedding: bool = False,
    ) -> Page[E_co]:
        """Return the page of rows after the cursor.

        Pages are read by keyset: concurrent writes neither repeat nor hide rows.

        Args:
            where: condition on the rows; None for all rows.
            after: `next` of the previous page; None for the first page.
            limit: largest number of rows, 1 to 10,000.
            descending: whether the highest id comes first.
            with_embedding: whether to read embeddings too.

        Raises:
            InvalidCursor: the cursor belongs to another listing or direction.
            InvalidFilter: `where` does not fit the entity.
            InvalidInput: `limit` is out of range.
        """
        ...

    def stream(
        self,
        where: Filter | None = None,
        *,
        batch_size: int = 500,
        descending: bool = False,
        with_embedding: bool = False,
    ) -> AsyncIterator[E_co]:
        """Yield every row from a server-side cursor, `batch_size` at a time in memory.

        The rows are not tracked.

        Args:
            where: condition on the rows; None for all rows.
            batch_size: rows in memory at a time, 1 to 1,000,000.
            descending: whether the highest id comes first.
            with_embedding: whether to read embeddings too.

        Raises:
            InvalidFilter: `where` does not fit the entity.
            InvalidInput: `batch_size` is out of range.
        """
        ...


class AppendRepository(ReadRepository[E], Protocol[E]):
    """Reads and adds entities of one kind. Writes last once the unit of work is committed."""

    def add(self, entity: E) -> E:
        """Track an entity and return it. It is written with the next statement or the commit.

        A new entity is inserted. An entity that was read or committed before updates its row: all
        fields that it has are written, except those that only operations change.

        Args:
            entity: the entity.

        Raises:
            InvalidInput: it is not an entity of this repository.
            TenantMismatch: it belongs to another tenant than the unit of work.
            UnitOfWorkError: another open unit of work tracks it, or this one tracks another object
                of the same row.
        """
        ...

    async def add_many(self, entities: Rows[E], *, progress: Progress | None = None) -> int:
        """Insert all entities, or none, and return how many. They are not tracked afterwards.

        Args:
            entities: new entities, in memory or from an iterator, which can be asynchronous.
            progress: called after each batch with the number of rows sent so far. An exception that
                it raises aborts the unit of work.

        Raises:
            InvalidInput: an item is not an entity of this repository.
            AlreadyExists, ReferenceViolated, CheckViolated, MissingValue: a row violates a
                constraint of the schema; nothing was written.
        """
        ...


class Repository(AppendRepository[E], Protocol[E]):
    """Reads, adds and deletes entities of one kind."""

    async def delete(self, id: UUID) -> bool:
        """Delete the row and the rows that refer to it; return whether it existed.

        Args:
            id: the id, as a UUID or its text.

        Raises:
            InvalidInput: `id` is not a UUID.
        """
        ...
