"""The tables of a database as they are now, whatever revision it is at, and statements about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy import ARRAY, Text, bindparam, text
from sqlalchemy.dialects import postgresql

from domain import metadata
from domain.entities.knowledge import EmbeddingMetadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

TENANT: Final = "tenant"
RECORD: Final = str(EmbeddingMetadata.__tablename__)
"""The table whose one row comes with the schema."""

ALL_ROWS: Final = text("SELECT set_config('row_security', 'off', true)")
"""Where policies hide rows from this role, an error is better than a backup without them."""

_quoted: Final = postgresql.dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]

# What the server makes itself is left out. Partitions are part of their table.
_TABLES: Final = text("""
SELECT c.relname::text AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND c.relname = ANY(:ours)
GROUP BY c.relname
""").bindparams(bindparam("ours", type_=ARRAY(Text)))
_VECTOR_INDEXES: Final = text("""
SELECT t.relname::text AS table, i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
WHERE m.amname = 'hnsw' AND t.relnamespace = current_schema()::regnamespace AND t.relname = ANY(:ours)
""").bindparams(bindparam("ours", type_=ARRAY(Text)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with the columns that are written, in any order."""

    name: str
    columns: tuple[str, ...]

    @property
    def has_tenant(self) -> bool:
        """Whether its rows are somebody's."""
        return TENANT in self.columns

    def rows_statement(self, tenant: str | None) -> str:
        """Return the query for the rows of a tenant, or for all rows."""
        columns = ", ".join(map(_quoted, self.columns))
        return f"SELECT {columns} FROM {_quoted(self.name)}{_of(tenant)}"  # noqa: S608 (names from the catalog, a checked tenant)


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorIndex:
    """An HNSW index, and the statement that builds it."""

    name: str
    definition: str


def tables(connection: Connection) -> list[Table]:
    """Return those of our tables that this database has, what is referenced before what refers to it."""
    found = {
        name: tuple(columns)
        for name, columns in connection.execute(_TABLES, {"ours": list(metadata.tables)})
    }
    return [
        Table(name=table.name, columns=found[table.name])
        for table in metadata.sorted_tables
        if table.name in found
    ]


def vector_indexes(connection: Connection, names: Iterable[str]) -> list[VectorIndex]:
    """Return the HNSW indexes of these tables."""
    return [
        VectorIndex(name=name, definition=made)
        for _, name, made in connection.execute(_VECTOR_INDEXES, {"ours": list(names)})
    ]


def lock(connection: Connection, names: Iterable[str]) -> None:
    """Let nobody else write to these tables before the transaction ends."""
    connection.execute(
        text(f"LOCK TABLE {', '.join(map(_quoted, names))} IN SHARE ROW EXCLUSIVE MODE")
    )


def with_rows(connection: Connection, names: Iterable[str], tenant: str | None = None) -> list[str]:
    """Return those of these tables that have rows, of the tenant if there is one."""
    found = []
    for name in names:
        table = sa.table(name, sa.column(TENANT))
        rows = sa.exists().select_from(table)
        if connection.scalar(
            sa.select(rows if tenant is None else rows.where(table.c.tenant == tenant))
        ):
            found.append(name)
    return found


def remove(connection: Connection, names: Sequence[str], tenant: str | None = None) -> None:
    """Remove the rows of the tenant, or every row, from these tables, of which the later ones refer to the earlier."""
    if tenant is None:
        connection.execute(text(f"TRUNCATE {', '.join(map(_quoted, names))}"))
        return
    for name in reversed(names):
        table = sa.table(name, sa.column(TENANT))
        connection.execute(sa.delete(table).where(table.c.tenant == tenant))


def analyze(connection: Connection, names: Iterable[str]) -> None:
    """Have the planner look at these tables."""
    connection.execute(text(f"ANALYZE {', '.join(map(_quoted, names))}"))


def _of(tenant: str | None) -> str:
    # COPY takes no parameters; the alphabet of tenants has nothing to escape.
    return "" if tenant is None else f" WHERE {TENANT} = '{tenant}'"
