"""A temporary table in which more rows than memory holds are laid ready, to be written in the order of their key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from repositories.bulk.batches import STATEMENT_ROWS
from repositories.bulk.copying import copy, dialect_of
from repositories.sql import bulk

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert

    from domain.schema.base import Entity
    from repositories.bulk.column_set import ColumnSet
    from repositories.postgres.transaction import Transaction


class StagingTable:
    """The table of one bulk write; it ends with the transaction, or when its rows are written."""

    def __init__(
        self, transaction: Transaction, entity: type[Entity], column_set: ColumnSet
    ) -> None:
        self._transaction = transaction
        self._entity = entity
        self._layout = column_set
        self.rows = 0

    async def create(self) -> None:
        await self._transaction.execute(bulk.create_stage(self._entity))

    async def append(self, entities: Sequence[Entity]) -> None:
        """Lay the entities ready, after those that lie there."""
        columns = [*self._layout.names, bulk.POSITION]
        records = self._layout.records(
            list(map(vars, entities)), await dialect_of(self._transaction)
        )
        await copy(
            self._transaction,
            bulk.stage_of(self._entity),
            columns,
            self._placed(records),
            schema=bulk.STAGE_SCHEMA,
        )
        self.rows += len(entities)

    def _placed(self, records: Iterator[Sequence[Any]]) -> Iterator[Sequence[Any]]:
        for place, record in enumerate(records, self.rows):
            yield *record, place

    async def write(self, statement: Insert) -> int:
        """Execute what inserts the rows; return how many rows that made, and drop the table."""
        before = (await self._transaction.execute(bulk.limits())).mappings().one()
        await self._transaction.execute(bulk.raise_limits(-(-self.rows // STATEMENT_ROWS)))
        written = await self._transaction.changed(statement)
        await self._transaction.execute(bulk.set_limits(**before))
        await self._transaction.execute(bulk.drop_stage(self._entity))
        return written
