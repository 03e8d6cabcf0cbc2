"""The tenants of a database by size and search cost, and HNSW indexes for large ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from sqlalchemy import text

from domain.errors import InvalidInput, LockTimeout, SchemaOutdated
from domain.values.text import require_tenant
from repositories.migrations import indexes, requirements
from repositories.migrations import tenant_indexes as own_indexes
from repositories.migrations.distribution import FIRST_TABLE, is_distributed, planned_tables
from repositories.migrations.options import SchemaOptions, read_recorded
from repositories.migrations.row_level_security import bypass_row_level_security
from repositories.migrations.runner import BASE, head, require_known
from repositories.migrations.session import DEADLINE, migration_session
from repositories.sql import distribution as statements
from repositories.sql.vector_index import is_covered, tenant_index_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

    from repositories.migrations.session import MigrationSession

NS_PER_COMPONENT: Final = 3.0
"""The time that an exact search through the covering index needs for a component."""

NS_PER_COMPONENT_OF_TABLE: Final = 11.0
"""The same for wide embeddings, which are read from the table."""

INDEX_MS: Final = 3.0
"""The time of a search through an HNSW index."""

Size: TypeAlias = "Mapping[str, float]"
"""The `bytes` of a table with its indexes, and the number of its `rows`."""

_BYTES: Final = text("""
SELECT pg_total_relation_size(c.oid)::float8 AS bytes, greatest(c.reltuples, 0)::float8 AS rows
FROM pg_class c WHERE c.oid = to_regclass(:table)
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantFigures:
    """The size of one tenant in one table with embeddings, and the cost of its vector searches.

    Attributes:
        tenant: the tenant.
        table: the table.
        rows: its rows.
        bytes: its share of the size of the table and its indexes.
        has_own_index: whether it has an HNSW index of its own.
        search_ms: the estimated time of a vector search on the server.
        isolated_search_ms: the estimate with an index of its own.
    """

    tenant: str
    table: str
    rows: int
    bytes: int
    has_own_index: bool
    search_ms: float
    isolated_search_ms: float


async def tenants(engine: AsyncEngine) -> Sequence[TenantFigures]:
    """Return the tenants of each table with embeddings, the most expensive search first.

    It counts all rows, through an index where the server can.

    Raises:
        SchemaOutdated: the database is not at this version's revision.
        DatabaseFailure: the connection failed.
    """
    async with migration_session(engine, DEADLINE) as session:
        options = await session.run(_options, doing="looking at the database")
        return await session.run(partial(_figures, options), doing="counting rows")


async def isolate_tenant(
    engine: AsyncEngine,
    tenant: str,
    options: SchemaOptions | None = None,
    *,
    deadline: timedelta = DEADLINE,
) -> Sequence[str]:
    """Build an HNSW index for a tenant in each table with its embeddings.

    Others read and write meanwhile. After an interruption, call it again: it continues with the
    index that is missing. On Citus, the tenant gets a shard of its own in each table instead, which
    can be moved to another node; writers of the tenants in the old shard wait.

    Args:
        engine: the engine.
        tenant: the tenant.
        options: the parameters of the index, by default those of the database.
        deadline: how long to wait for other migrations and loads.

    Returns:
        The names of the indexes that were built, none if the tenant has them all; on Citus, the
        name of its shard of `knowledge`, none if it was isolated before.

    Raises:
        InvalidInput: no table has an embedding of the tenant.
        LockTimeout: an initial load is running, which drops and builds indexes itself.
        SchemaOutdated: the database is not at this version's revision.
        MigrationFailed: the server is too old for the index, or refused to build it.
    """
    require_tenant(tenant)
    async with migration_session(engine, deadline) as session:
        recorded = await _begin(session)
        if await session.run(is_distributed, doing="looking at the database"):
            return await session.run(partial(_isolate_shard, tenant), doing="isolating the tenant")
        parameters = recorded if options is None else recorded.with_graph_of(options)
        rows = await session.run(partial(_rows_of, tenant, recorded), doing="counting rows")
        if not rows:
            raise _unknown(tenant)
        built = []
        for one in rows:
            name = tenant_index_name(one.table, tenant)
            build = partial(_build, one, parameters)
            if await session.run(build, doing=f"building {name}"):
                built.append(name)
        return built


async def release_tenant(
    engine: AsyncEngine, tenant: str, *, deadline: timedelta = DEADLINE
) -> Sequence[str]:
    """Drop the HNSW indexes of a tenant, and return the names of those that it had.

    Others read and write meanwhile. Its searches are exact then. `maintain` builds the index again
    while the tenant is one of the largest.

    Raises:
        InvalidInput: the tenant has neither an index nor an embedding.
        LockTimeout: an initial load is running, which drops and builds indexes itself.
        SchemaOutdated: the database is not at this version's revision.
    """
    require_tenant(tenant)
    async with migration_session(engine, deadline) as session:
        options = await _begin(session)
        tables = await session.run(
            partial(own_indexes.embedding_tables, options=options), doing="looking at the tables"
        )
        dropped = []
        for table in tables:
            drop = partial(own_indexes.drop, table=table, tenant=tenant)
            name = tenant_index_name(table, tenant)
            if await session.run(drop, doing=f"dropping {name}"):
                dropped.append(name)
        if not dropped and not await session.run(
            partial(_rows_of, tenant, options), doing="counting rows"
        ):
            raise _unknown(tenant)
        return dropped


async def index_large_tenants(
    session: MigrationSession, options: SchemaOptions | None = None
) -> Sequence[str]:
    """Build the missing HNSW indexes of large tenants, and return their names.

    During an initial load nothing happens, because the load builds them at its end.
    """
    if not await session.run(indexes.load_for_us, doing="looking for an initial load"):
        return ()
    try:
        recorded = await session.run(_options, doing="looking at the database")
        parameters = recorded if options is None else recorded.with_graph_of(options)
        return await session.run(
            partial(_index_large, parameters), doing="building the indexes of large tenants"
        )
    finally:
        await session.run(indexes.end_load, doing="releasing a lock")


def _isolate_shard(tenant: str, connection: Connection) -> list[str]:
    values = {"table": FIRST_TABLE, "tenant": tenant}
    if connection.execute(statements.SHARD_OF_TENANT, values).one().is_isolated:
        return []
    tables = planned_tables(connection)
    if not any(_has_rows(connection, one.name, tenant) for one in tables if not one.is_reference):
        raise _unknown(tenant)
    shard = connection.scalar(statements.ISOLATE_TENANT, values)
    return [f"the shard {FIRST_TABLE}_{shard}"]


def _has_rows(connection: Connection, table: str, tenant: str) -> bool:
    with bypass_row_level_security(connection, table):
        rows = text(f'SELECT EXISTS (SELECT 1 FROM "{table}" WHERE tenant = :tenant)')  # noqa: S608 -- a name of ours
        return bool(connection.scalar(rows, {"tenant": tenant}))


def _unknown(tenant: str) -> InvalidInput:
    return InvalidInput(
        f"no table has an embedding of the tenant {tenant!r}: `recollect db tenants` lists the"
        " tenants",
        field="tenant",
    )


async def _begin(session: MigrationSession) -> SchemaOptions:
    options = await session.run(_options, doing="looking at the database")
    if not await session.run(indexes.load_for_us, doing="looking for an initial load"):
        raise LockTimeout("an initial load is running in this database: wait until it ends")
    return options


def _options(connection: Connection) -> SchemaOptions:
    requirements.require_server(connection)
    revision, expected = require_known(connection), head()
    if revision != expected:
        raise SchemaOutdated(current=None if revision == BASE else revision, expected=expected)
    return read_recorded(connection) or SchemaOptions()


def _rows_of(
    tenant: str, options: SchemaOptions, connection: Connection
) -> list[own_indexes.TenantRows]:
    tables = own_indexes.embedding_tables(connection, options)
    return [
        rows
        for column in tables.values()
        for rows in own_indexes.tenant_rows(connection, column)
        if rows.tenant == tenant and rows.embeddings
    ]


def _build(rows: own_indexes.TenantRows, options: SchemaOptions, connection: Connection) -> bool:
    column = own_indexes.embedding_tables(connection, options)[rows.table]
    return own_indexes.build(connection, column, rows.tenant, options, rows.embeddings)


def _index_large(options: SchemaOptions, connection: Connection) -> list[str]:
    return [
        tenant_index_name(tenant.table, tenant.tenant)
        for column in own_indexes.embedding_tables(connection, options).values()
        for tenant in own_indexes.build_large(connection, column, options)
    ]


def _figures(options: SchemaOptions, connection: Connection) -> list[TenantFigures]:
    usable = own_indexes.usable_indexes(connection)
    figures = []
    for table, column in own_indexes.embedding_tables(connection, options).items():
        tenants_of_table = own_indexes.tenant_rows(connection, column)
        size = _size_of(connection, table, tenants_of_table)
        figures += [
            _figures_of(
                rows, options, size, has_index=tenant_index_name(table, rows.tenant) in usable
            )
            for rows in tenants_of_table
        ]
    return sorted(figures, key=lambda one: (-one.search_ms, -one.rows, one.tenant, one.table))


def _size_of(connection: Connection, table: str, rows: Sequence[own_indexes.TenantRows]) -> Size:
    if not is_distributed(connection):
        row = connection.execute(_BYTES, {"table": table}).one()
        return {"bytes": row.bytes, "rows": row.rows}
    # This node has no rows, and no estimate of their number.
    size = connection.scalar(statements.SIZE_ON_NODES, {"table": table})
    return {"bytes": size, "rows": sum(one.rows for one in rows)}


def _figures_of(
    rows: own_indexes.TenantRows,
    options: SchemaOptions,
    size: Mapping[str, float],
    *,
    has_index: bool,
) -> TenantFigures:
    share = rows.rows / max(size["rows"], rows.rows)
    covered = is_covered(options.dimensions)
    nanoseconds = NS_PER_COMPONENT if covered else NS_PER_COMPONENT_OF_TABLE
    exact = rows.embeddings * options.dimensions * nanoseconds / 1e6
    isolated = min(exact, INDEX_MS)
    return TenantFigures(
        tenant=rows.tenant,
        table=rows.table,
        rows=rows.rows,
        bytes=round(size["bytes"] * share),
        has_own_index=has_index,
        search_ms=isolated if has_index else exact,
        isolated_search_ms=isolated,
    )
