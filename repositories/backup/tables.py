"""The library's tables in a database at any revision, and statements about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy import ARRAY, Text, bindparam, text
from sqlalchemy.dialects import postgresql

from domain.entities.knowledge import EmbeddingMetadata
from domain.errors import AccessDenied
from domain.schema.registries import all_tables, metadata, table_names
from domain.values.text import TENANT_PATTERN
from repositories.migrations.own_tables import require_registered
from repositories.migrations.requirements import VERSION_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

TENANT: Final = "tenant"
RECORD: Final = str(EmbeddingMetadata.__tablename__)
"""The table whose only row is created with the schema."""

ALL_ROWS: Final = text("SELECT set_config('row_security', 'off', true)")
"""The server raises an error if policies hide rows from this role, instead of leaving them out."""

_HIDDEN: Final = text("""
SELECT count(*) FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace
  AND c.relkind IN ('r', 'p') AND c.relname = ANY(:names) AND row_security_active(c.oid)
""").bindparams(bindparam("names", type_=ARRAY(Text)))

_quoted: Final = postgresql.dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]

# Generated columns are left out. Partitions are part of their table.
_TABLES: Final = text("""
SELECT c.relname::text AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns
FROM pg_class c
JOIN pg_attribute a
  ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
WHERE c.relnamespace = current_schema()::regnamespace
  AND c.relkind IN ('r', 'p') AND c.relname = ANY(:names)
GROUP BY c.relname
""").bindparams(bindparam("names", type_=ARRAY(Text)))
_VECTOR_INDEXES: Final = text("""
SELECT t.relname::text AS table, i.indexrelid::regclass::text AS name,
       pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index i
JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_am m ON m.oid = c.relam
WHERE m.amname = 'hnsw'
  AND t.relnamespace = current_schema()::regnamespace AND t.relname = ANY(:names)
""").bindparams(bindparam("names", type_=ARRAY(Text)))


def require_all_rows(connection: Connection) -> None:
    """Let no policy hide rows from this transaction.

    Raises:
        AccessDenied: row-level security applies to this role.
    """
    connection.execute(ALL_ROWS)
    if connection.scalar(_HIDDEN, {"names": table_names()}):
        raise AccessDenied(
            "row-level security hides rows from this role: connect as a superuser, or as a role"
            " with BYPASSRLS"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with the columns that are written, in any order."""

    name: str
    columns: tuple[str, ...]

    @property
    def has_tenant(self) -> bool:
        """Whether its rows belong to tenants."""
        return TENANT in self.columns

    def rows_statement(self, tenant: str | None) -> str:
        """Return the query for the rows of a tenant, or for all rows."""
        columns = ", ".join(map(_quoted, self.columns))
        # The names are the catalog's, and the tenant is checked.
        return f"SELECT {columns} FROM {_quoted(self.name)}{_of(tenant)}"  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorIndex:
    """An HNSW index, and the statement that builds it."""

    name: str
    definition: str


def tables(connection: Connection) -> list[Table]:
    """Return the tables of entities in this database; a table follows those that it refers to.

    Raises:
        NotRegistered: an own entity's table is in the database, and the entity was not imported.
    """
    require_registered(connection)
    columns_by_name = {
        name: tuple(columns)
        for name, columns in connection.execute(_TABLES, {"names": table_names()})
    }
    return [
        Table(name=table.name, columns=columns_by_name[table.name])
        for table in all_tables()
        if table.name in columns_by_name
    ]


def vector_indexes(connection: Connection, names: Iterable[str]) -> list[VectorIndex]:
    """Return the HNSW indexes of these tables."""
    return [
        VectorIndex(name=name, definition=definition)
        for _, name, definition in connection.execute(_VECTOR_INDEXES, {"names": list(names)})
    ]


def lock(connection: Connection, names: Iterable[str]) -> None:
    """Keep other sessions from writing to these tables until the transaction ends."""
    connection.execute(
        text(f"LOCK TABLE {', '.join(map(_quoted, names))} IN SHARE ROW EXCLUSIVE MODE")
    )


def with_rows(connection: Connection, names: Iterable[str], tenant: str | None = None) -> list[str]:
    """Return the tables that have rows, of the tenant if it is not None."""
    names_with_rows = []
    for name in names:
        table = sa.table(name, sa.column(TENANT))
        rows = sa.exists().select_from(table)
        if connection.scalar(
            sa.select(rows if tenant is None else rows.where(table.c.tenant == tenant))
        ):
            names_with_rows.append(name)
    return names_with_rows


def count(connection: Connection, name: str, tenant: str) -> int:
    """Return the number of rows of the tenant in the table."""
    table = sa.table(name, sa.column(TENANT))
    rows = sa.select(sa.func.count()).select_from(table).where(table.c.tenant == tenant)
    return int(connection.execute(rows).scalar_one())


def has_invalid_tenant(connection: Connection, name: str) -> bool:
    """Return whether a row of the table has a tenant that is not a valid name."""
    table = sa.table(name, sa.column(TENANT, Text))
    invalid = ~table.c.tenant.regexp_match(TENANT_PATTERN)
    return bool(connection.scalar(sa.select(sa.exists().select_from(table).where(invalid))))


def remove(connection: Connection, names: Sequence[str], tenant: str | None = None) -> None:
    """Delete the rows of the tenant, or every row, from these tables.

    Later tables may refer to earlier ones.
    """
    if tenant is None:
        connection.execute(text(f"TRUNCATE {', '.join(map(_quoted, names))}"))
        return
    for name in reversed(names):
        table = sa.table(name, sa.column(TENANT))
        connection.execute(sa.delete(table).where(table.c.tenant == tenant))


def drop_unless_used(connection: Connection) -> None:
    """Drop the library's tables, unless another session wrote rows to them; the extension stays."""
    names = [table.name for table in tables(connection) if table.name in metadata.tables]
    # A writer that waits for the lock gets an error, so that no committed row is lost.
    connection.execute(
        text(f"LOCK TABLE {', '.join(map(_quoted, names))} IN ACCESS EXCLUSIVE MODE")
    )
    if not with_rows(connection, [name for name in names if name != RECORD]):
        connection.execute(text(f"DROP TABLE {', '.join(map(_quoted, [*names, VERSION_TABLE]))}"))


def analyze(connection: Connection, names: Iterable[str]) -> None:
    """Update the planner's statistics of these tables."""
    connection.execute(text(f"ANALYZE {', '.join(map(_quoted, names))}"))


def _of(tenant: str | None) -> str:
    # COPY has no parameters. The alphabet of tenants needs no escaping.
    return "" if tenant is None else f" WHERE {TENANT} = '{tenant}'"
