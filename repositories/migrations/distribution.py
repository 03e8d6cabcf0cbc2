"""Tables on the shards of Citus: which are distributed, and how the others become so.

Tables with a tenant are distributed by it, and colocated, so that all rows of a tenant are on one
node. The others become reference tables, of which every node has a copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from domain.schema.registries import all_tables, tenant_table_names
from repositories.migrations.requirements import VERSION_TABLE
from repositories.sql import distribution as statements

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    OnTable = Callable[["PlannedTable"], None]

FIRST_TABLE: Final = "knowledge"
"""A table that every database has, for questions about the shards of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOnNodes:
    """A table that Citus knows. `column` and `shards` are those of a distributed table."""

    name: str
    is_reference: bool
    is_distributed: bool
    column: str | None
    colocation: int
    shards: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTable:
    """A table of this database and what it is, or becomes, on the nodes.

    Attributes:
        name: the table.
        is_reference: whether every node has a copy, instead of the rows of some tenants.
        done: whether it is so already.
        local_bytes: the size of the rows that this node still stores outside of shards.
        strategy: the strategy of its partitions, such as `r` for RANGE, or None.
    """

    name: str
    is_reference: bool
    done: bool
    local_bytes: int
    strategy: str | None


def has_citus(connection: Connection) -> bool:
    """Return whether the database has the extension citus."""
    return bool(connection.scalar(statements.HAS_CITUS))


def tables_on_nodes(connection: Connection) -> dict[str, TableOnNodes]:
    """Return the tables that Citus knows, by name; the database has the extension."""
    rows = connection.execute(statements.TABLES).mappings()
    return {row["name"]: TableOnNodes(**row) for row in rows}


def is_distributed(connection: Connection) -> bool:
    """Return whether the tables of this database are distributed."""
    if not has_citus(connection):
        return False
    table = tables_on_nodes(connection).get(FIRST_TABLE)
    return table is not None and table.is_distributed


def builds_index(connection: Connection) -> bool:
    """Return whether a node builds an index of this database, or does not answer."""
    return bool(connection.scalar(statements.BUILDS_INDEX))


def holds_rows_on_shards(connection: Connection, table: str) -> bool:
    """Return whether a shard of the table has a row; a node that does not answer is left out."""
    return bool(connection.scalar(statements.DEFAULT_HOLDS_ROWS, {"table": table}))


def planned_tables(connection: Connection) -> list[PlannedTable]:
    """Return the tables in this database in the order in which they are distributed.

    Reference tables come first, and a table follows those that it refers to.
    """
    on_nodes = tables_on_nodes(connection)
    tenants = tenant_table_names()
    names = [VERSION_TABLE, *(table.name for table in all_tables())]
    names.sort(key=lambda name: name in tenants)
    rows = connection.execute(statements.STORED, {"names": names}).mappings()
    stored = {row["name"]: row for row in rows}
    return [
        PlannedTable(
            name=name,
            is_reference=name not in tenants,
            done=name in on_nodes
            and (on_nodes[name].is_distributed or on_nodes[name].is_reference),
            local_bytes=stored[name]["bytes"],
            strategy=stored[name]["strategy"],
        )
        for name in names
        if name in stored
    ]


def distribute_tables(
    connection: Connection,
    tables: Sequence[PlannedTable],
    *,
    shard_count: int,
    on_table: OnTable | None = None,
) -> list[str]:
    """Distribute the tables that are not, in the caller's transaction, and return their names."""
    existing = tables_on_nodes(connection).values()
    first = next((table.name for table in existing if _holds_tenants(table)), None)
    connection.execute(statements.ONE_AT_A_TIME)
    changed = []
    for table in tables:
        if table.done:
            continue
        if table.is_reference:
            connection.execute(statements.CREATE_REFERENCE_TABLE, {"table": table.name})
        elif first is None:
            values = {"table": table.name, "shards": shard_count}
            connection.execute(statements.CREATE_FIRST_TABLE, values)
            first = table.name
        else:
            distribute_with(connection, table.name, first)
        changed.append(table.name)
        if on_table is not None:
            on_table(table)
    return changed


def distribute_with(connection: Connection, table: str, other: str = FIRST_TABLE) -> None:
    """Distribute a table by the tenant, with its shards beside those of the other table."""
    connection.execute(statements.CREATE_COLOCATED_TABLE, {"table": table, "with": other})


def distribute_new_tables(connection: Connection) -> list[str]:
    """Distribute the tables that a migration created; nothing on a database of one machine."""
    if not is_distributed(connection):
        return []
    tables = planned_tables(connection)
    return distribute_tables(connection, tables, shard_count=0)


def delete_local_rows(connection: Connection) -> None:
    """Delete the rows that this node still stores outside of shards, after their distribution."""
    for table in planned_tables(connection):
        if table.done and table.local_bytes:
            connection.execute(statements.TRUNCATE_LOCAL, {"table": table.name})


def undistributed(tables: Sequence[PlannedTable]) -> list[str]:
    """Return the names of the tables that are on this node only."""
    return [table.name for table in tables if not table.done]


def misplaced(connection: Connection, tables: Sequence[PlannedTable]) -> list[str]:
    """Return a sentence for each table that is on the nodes in another way than it should be."""
    on_nodes = tables_on_nodes(connection)
    present = [on_nodes[table.name] for table in tables if table.name in on_nodes]
    groups = [table.colocation for table in present if table.is_distributed]
    group = max(groups, key=groups.count, default=None)
    sentences = []
    for planned in tables:
        table = on_nodes.get(planned.name)
        if table is None:
            continue
        if planned.is_reference and not table.is_reference:
            sentences.append(f"{table.name} is not a reference table")
        elif not planned.is_reference and table.column != "tenant":
            sentences.append(f"{table.name} is not distributed by the tenant")
        elif not planned.is_reference and table.colocation != group:
            sentences.append(f"{table.name} is not colocated with the other tables")
    return sentences


def undistributed_tables(connection: Connection) -> list[str]:
    """Return a sentence for each table that is not on the nodes as it should be."""
    if not is_distributed(connection):
        return []
    tables = planned_tables(connection)
    return [
        *(f"table {name} is on the coordinator only" for name in undistributed(tables)),
        *misplaced(connection, tables),
    ]


def _holds_tenants(table: TableOnNodes) -> bool:
    return table.is_distributed and table.column == "tenant" and table.name in tenant_table_names()
