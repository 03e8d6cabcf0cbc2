"""A temporary table for more rows than fit in memory, which are then written in key order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from domain.schema.writing import BATCH_SIZE
from repositories.bulk.batches import STATEMENT_ROWS
from repositories.bulk.copying import copy, dialect_of
from repositories.sql import bulk

if TYPE_CHECKING:
    from sqlalchemy import Executable

    from domain.schema.base import Entity
    from repositories.bulk.column_set import ColumnSet, Values
    from repositories.postgres.transaction import Transaction


class StagingTable:
    """The staging table of one bulk write. `write` or the end of the transaction drops it."""

    def __init__(
        self, transaction: Transaction, entity: type[Entity], column_set: ColumnSet
    ) -> None:
        self._transaction = transaction
        self._entity = entity
        self._column_set = column_set
        self.rows = 0

    async def create(self) -> None:
        """Create the table."""
        await self._transaction.execute(bulk.create_staging_table(self._entity))

    async def append(self, entities: Sequence[Values]) -> None:
        """Append the entities, by their values, to the table."""
        columns = [*self._column_set.names, bulk.POSITION]
        records = self._column_set.records([entities], await dialect_of(self._transaction))
        await copy(
            self._transaction,
            bulk.staging_table_name(self._entity),
            columns,
            self._numbered(records),
            schema=bulk.STAGING_SCHEMA,
        )
        self.rows += len(entities)

    def _numbered(self, records: Iterator[Sequence[Any]]) -> Iterator[Sequence[Any]]:
        for position, record in enumerate(records, self.rows):
            yield *record, position

    async def write(self, statement: Executable, *, returning: bool = False) -> int:
        """Execute the statement that inserts the rows, and drop the table.

        Args:
            statement: the statement.
            returning: whether it returns the inserted rows, which are counted then.

        Returns:
            The number of rows written.
        """
        before = (await self._transaction.execute(bulk.limits())).mappings().one()
        await self._transaction.execute(bulk.raise_limits(-(-self.rows // STATEMENT_ROWS)))
        written = await (
            self._count_returned(statement) if returning else self._transaction.changed(statement)
        )
        await self._transaction.execute(bulk.set_limits(**before))
        await self._transaction.execute(bulk.drop_staging_table(self._entity))
        return written

    async def _count_returned(self, statement: Executable) -> int:
        rows = 0
        async for _ in self._transaction.stream(
            statement, {}, batch_size=BATCH_SIZE, mappings=False
        ):
            rows += 1
        return rows
