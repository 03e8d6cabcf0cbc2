"""The rows of one tenant in a transaction of a fake database, found by a condition or by ids."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING

from domain.values.turns import VALUES_PER_TURN, slices, sorted_in_slices
from repositories.fakes.writes import Change, Condition, Writer, anything, only

if TYPE_CHECKING:
    from uuid import UUID

    from repositories.fakes.checks import Row
    from repositories.fakes.layers import Layers
    from repositories.fakes.tables import Key, Table


class TenantRows:
    """Reads, changes and deletes the rows of one tenant. Call its methods inside a statement.

    Args:
        layers: the rows that the transaction sees.
        writer: writes rows by their keys.
        tenant: the tenant.
    """

    def __init__(self, layers: Layers, writer: Writer, tenant: str) -> None:
        self._layers = layers
        self._writer = writer
        self._tenant = tenant

    def snapshot(self, table: Table) -> Sequence[Row]:
        """Return the rows of all tenants at this moment."""
        return self._layers.values(table.name)

    async def select(
        self, table: Table, meets: Condition = anything, *, snapshot: Sequence[Row] | None = None
    ) -> list[Row]:
        """Return the tenant's rows that meet the condition, and let other tasks run meanwhile.

        Args:
            table: the table.
            meets: the condition.
            snapshot: rows of the table. A statement that reads several tables takes the snapshots
                of all before it selects from the first; by default, the rows at this moment.
        """
        rows = self.snapshot(table) if snapshot is None else snapshot
        return await only(rows, lambda row: self._owns(table, row) and meets(row))

    def _owns(self, table: Table, row: Row) -> bool:
        return not table.has_tenant or row["tenant"] == self._tenant

    async def find_many(self, table: Table, ids: Sequence[UUID]) -> list[Row]:
        """Return the tenant's rows with these ids, in their order."""
        columns = table.key.columns
        if not set(columns) <= {"tenant", "id"}:
            ids_to_find = set(ids)
            rows = await self.select(table, lambda row: row["id"] in ids_to_find)
            rows_by_id = {row["id"]: row for row in rows}
            return [rows_by_id[key] for key in ids if key in rows_by_id]
        keys = [tuple(key if column == "id" else self._tenant for column in columns) for key in ids]
        return [
            row
            async for some in slices(keys, VALUES_PER_TURN)
            for key in some
            if (row := self._layers.find(table.name, key)) is not None
        ]

    async def update(
        self, table: Table, meets: Condition, change: Change, *, at_most: int | None = None
    ) -> int:
        """Change the tenant's rows that meet the condition, or the first by id; return how many."""
        keys = await self._keys(table, meets, at_most)
        return sum(
            [
                await self._writer.update(table, key, change, meets) is not None
                async for some in slices(keys)
                for key in some
            ]
        )

    async def delete(self, table: Table, meets: Condition, *, at_most: int | None = None) -> int:
        """Delete the tenant's rows that meet the condition, or the first by id; return how many."""
        keys = await self._keys(table, meets, at_most)
        return await self._writer.delete(table, keys, meets)

    async def _keys(self, table: Table, meets: Condition, at_most: int | None) -> list[Key]:
        rows = await self.select(table, meets)
        if at_most is not None:
            rows = (await sorted_in_slices(rows, itemgetter("id")))[:at_most]
        return [table.key_of(row) async for some in slices(rows, VALUES_PER_TURN) for row in some]
