"""HNSW indexes of single tenants: which tenants need one, and how they are built and dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import Text, bindparam, func, select, text
from sqlalchemy.schema import CreateIndex

from domain.schema.registries import all_tables
from repositories.migrations import indexes
from repositories.migrations.row_level_security import bypass_row_level_security
from repositories.migrations.target import embedding_columns, tenant_index
from repositories.sql.large_tenants import TENANT_INDEXES
from repositories.sql.vector_index import tenant_index_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Column, Connection

    from repositories.migrations.options import SchemaOptions

LARGE_COMPONENTS: Final = 1_000_000
"""From this many components of embeddings, an HNSW index of its own makes a tenant's search faster.

That is 4,000 rows of 256 dimensions, which an exact search compares in 3 ms.
"""

MAX_AUTOMATIC: Final = 16
"""The number of tenants of a table that get an index without a command.

Every index adds 6 µs to the planning of every statement on the table.
"""

_BUILD_BYTES_PER_LINK: Final = 24
_MAX_BUILD_MEMORY_MB: Final = 1_024
_EXISTS: Final = text("SELECT to_regclass(:table) IS NOT NULL").bindparams(
    bindparam("table", type_=Text)
)
_MEMORY: Final = text("""
SELECT set_config('maintenance_work_mem',
                  greatest(:kilobytes, setting::bigint)::text || 'kB', false)
FROM pg_settings WHERE name = 'maintenance_work_mem'
""")


class TenantRows(NamedTuple):
    """The number of rows of one tenant in a table, and of those with an embedding."""

    table: str
    tenant: str
    rows: int
    embeddings: int


def embedding_tables(connection: Connection, options: SchemaOptions) -> Mapping[str, Column[Any]]:
    """Return the columns of embeddings of the tables in this database, by the table's name."""
    return {
        name: column
        for name, column in embedding_columns(options, _application_tables()).items()
        if connection.scalar(_EXISTS, {"table": name})
    }


def _application_tables() -> Iterator[Any]:
    from domain.schema.registries import application_metadata

    for table in all_tables():
        if table.metadata is application_metadata:
            yield table


def tenant_rows(connection: Connection, column: Column[Any]) -> list[TenantRows]:
    """Count the rows of every tenant in the table of a column of embeddings, the largest first."""
    table = column.table
    embeddings = func.count().filter(column.is_not(None))
    statement = (
        select(table.c.tenant, func.count(), embeddings)
        .group_by(table.c.tenant)
        .order_by(embeddings.desc(), table.c.tenant)
    )
    with bypass_row_level_security(connection, table.name):
        return [TenantRows(table.name, *row) for row in connection.execute(statement)]


def large_tenants(
    connection: Connection, column: Column[Any], options: SchemaOptions
) -> list[TenantRows]:
    """Return the tenants that get an HNSW index without a command, the largest first."""
    large = [
        tenant
        for tenant in tenant_rows(connection, column)
        if tenant.embeddings * options.dimensions >= LARGE_COMPONENTS
    ]
    return large[:MAX_AUTOMATIC]


def usable_indexes(connection: Connection) -> frozenset[str]:
    """Return the names of the HNSW indexes of single tenants that can be used."""
    return frozenset(
        row["name"] for row in connection.execute(TENANT_INDEXES).mappings() if row["is_valid"]
    )


def build(
    connection: Connection, column: Column[Any], tenant: str, options: SchemaOptions, rows: int
) -> bool:
    """Build the HNSW index of a tenant while others write, and return whether it was missing.

    An index that an interrupted build left behind is dropped first. The connection is between
    transactions afterwards.
    """
    connection.rollback()
    with indexes.outside_of_transactions(connection):
        return build_concurrently(connection, column, tenant, options, rows)


def build_concurrently(
    connection: Connection, column: Column[Any], tenant: str, options: SchemaOptions, rows: int
) -> bool:
    """Build the same on a connection in autocommit mode."""
    index = tenant_index(column, tenant, options)
    column.table.indexes.discard(index)
    name = str(index.name)
    if name in usable_indexes(connection):
        return False
    size = 4 * options.dimensions + _BUILD_BYTES_PER_LINK * 2 * options.hnsw_m + 256
    kilobytes = min(_MAX_BUILD_MEMORY_MB * 1_024, 1_024 + rows * size // 1_024)
    index.dialect_options["postgresql"]["concurrently"] = True
    connection.execute(_MEMORY, {"kilobytes": kilobytes})
    connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))
    connection.execute(CreateIndex(index))
    return True


def drop(connection: Connection, table: str, tenant: str) -> bool:
    """Drop the HNSW index of a tenant while others write, and return whether there was one."""
    name = tenant_index_name(table, tenant)
    existing = {row["name"] for row in connection.execute(TENANT_INDEXES).mappings()}
    connection.rollback()
    if name in existing:
        with indexes.outside_of_transactions(connection):
            connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))
    return name in existing


def build_large(
    connection: Connection, column: Column[Any], options: SchemaOptions
) -> list[TenantRows]:
    """Build the missing HNSW indexes of the large tenants of a table, and return these tenants."""
    large = large_tenants(connection, column, options)
    return [
        tenant
        for tenant in large
        if build(connection, column, tenant.tenant, options, tenant.embeddings)
    ]
