"""A temporary table for more rows than fit in memory, which are then written in key order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from domain.schema.writing import BATCH_SIZE
from repositories.bulk.batches import STATEMENT_ROWS
from repositories.bulk.driver import copy, dialect_of, driver_connection
from repositories.postgres.compiled_statements import compiled_statement
from repositories.postgres.hosts import GRACE_SECONDS
from repositories.sql import bulk

if TYPE_CHECKING:
    from sqlalchemy import Insert
    from sqlalchemy.sql.dml import ReturningInsert

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

    async def write(self, statement: Insert | ReturningInsert[Any]) -> int:
        """Execute the statement that inserts the rows, and drop the table.

        Returns:
            The number of rows written. If the statement returns rows, these are counted.
        """
        before = (await self._transaction.execute(bulk.limits())).mappings().one()
        raised = await self._transaction.execute(bulk.raise_limits(-(-self.rows // STATEMENT_ROWS)))
        milliseconds: int = raised.one().milliseconds
        # SQLAlchemy has no timeout for one statement, and the driver would use the connection's.
        seconds = milliseconds / 1_000 + GRACE_SECONDS if milliseconds else None
        written = await self._insert(statement, seconds)
        await self._transaction.execute(bulk.set_limits(**before))
        await self._transaction.execute(bulk.drop_staging_table(self._entity))
        return written

    async def _insert(self, statement: Insert | ReturningInsert[Any], seconds: float | None) -> int:
        compiled = compiled_statement(statement)
        if compiled is None:
            raise TypeError("the SQL of this statement depends on its values")
        async with driver_connection(self._transaction) as driver:
            if not statement.exported_columns:
                status = await driver.execute(compiled.sql, *compiled.values, timeout=seconds)
                return int(status.rpartition(" ")[2])
            returned = driver.cursor(
                compiled.sql, *compiled.values, prefetch=BATCH_SIZE, timeout=seconds
            )
            return sum([1 async for _ in returned])
