"""The health of a database: its facts, its problems and their remedies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import ARRAY, BigInteger, Float, Text, bindparam, text

from domain.values.health import Cluster, Health, PoolFigures, Problem
from repositories.migrations import partitions
from repositories.migrations.distribution import holds_rows_on_shards, is_distributed
from repositories.migrations.indexes import LOAD_KEY
from repositories.operations.cluster import cluster_problems, read_cluster
from repositories.operations.partitions import holds_rows
from repositories.operations.vector_indexes import MOST_DEAD
from repositories.postgres.pool import GuardedPool
from repositories.postgres.row_level_security import RowLevelSecurityStatus
from repositories.sql.large_tenants import OWNERS
from repositories.sql.vector_index import TENANT_INDEX, VECTOR_INDEXES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from repositories.postgres.settings import Settings

MIN_SERVER = 160_000
MIN_PGVECTOR = (0, 8, 4)
"""Older versions corrupt HNSW indexes on vacuum."""

FEW_DEAD = 10_000
"""A table with fewer dead rows has no problem, whatever their share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Facts from the catalog and the recorded options."""

    server_version: str
    server_number: int
    pgvector_version: str | None
    revision: str | None
    provider: str | None
    model: str | None
    dimensions: int | None
    column_dimensions: int | None
    language_known: bool
    invalid_indexes: tuple[str, ...]
    missing_months: tuple[str, ...]
    default_holds_events: bool
    row_security: RowLevelSecurityStatus
    missing_indexes: tuple[str, ...]
    dying_indexes: tuple[str, ...]
    is_loading: bool
    tenant_indexes: tuple[str, ...]
    owners: tuple[str, ...]
    is_read_only: bool = False
    distributed: bool = False
    cluster: Cluster | None = None
    cluster_problems: tuple[Problem, ...] = ()


# Two statements, because one that reads embedding_metadata fails if the table does not exist.
_SERVER = text("""
SELECT current_setting('server_version') AS server_version,
       current_setting('server_version_num')::int AS server_number,
       (SELECT extversion FROM pg_catalog.pg_extension
        WHERE extname = 'vector') AS pgvector_version,
       EXISTS (SELECT FROM pg_catalog.pg_ts_config WHERE cfgname = :language) AS language_known,
       to_regclass('embedding_metadata') IS NOT NULL AS has_metadata,
       current_setting('default_transaction_read_only')::bool
           AND NOT pg_is_in_recovery() AS is_read_only,
       (SELECT atttypmod FROM pg_catalog.pg_attribute
        WHERE attrelid = to_regclass('knowledge') AND attname = 'embedding') AS column_dimensions,
       ARRAY(SELECT c.relname::text FROM pg_catalog.pg_index i
             JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
             WHERE NOT i.indisvalid AND c.relnamespace = current_schema()::regnamespace
             ORDER BY 1) AS invalid_indexes,
       ARRAY(SELECT name FROM unnest(:vector_indexes) AS name
             WHERE to_regclass(name) IS NULL ORDER BY 1) AS missing_indexes,
       ARRAY(SELECT c.relname::text FROM pg_catalog.pg_class c
             JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid AND i.indisvalid
             WHERE c.relnamespace = current_schema()::regnamespace
             AND c.relname ~ :tenant_index) AS tenant_indexes,
       ARRAY(SELECT c.relname::text FROM pg_catalog.pg_index i
             JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
             JOIN pg_catalog.pg_am a ON a.oid = c.relam AND a.amname = 'hnsw'
             WHERE c.relnamespace = current_schema()::regnamespace
             AND pg_stat_get_dead_tuples(i.indrelid) > :few_dead
             AND pg_stat_get_dead_tuples(i.indrelid)
                 > :most_dead * pg_stat_get_live_tuples(i.indrelid)
             ORDER BY 1) AS dying_indexes,
       EXISTS (SELECT FROM pg_catalog.pg_locks
               WHERE locktype = 'advisory' AND objsubid = 1 AND granted
               AND database = (SELECT oid FROM pg_catalog.pg_database
                               WHERE datname = current_database())
               AND (classid::bigint << 32) | objid::bigint = :load) AS is_loading
""").bindparams(
    bindparam("vector_indexes", list(VECTOR_INDEXES), ARRAY(Text)),
    bindparam("load", LOAD_KEY, BigInteger),
    bindparam("tenant_index", TENANT_INDEX, Text),
    bindparam("few_dead", FEW_DEAD, BigInteger),
    bindparam("most_dead", MOST_DEAD, Float),
)
_EMBEDDING = text("SELECT provider, model, dimensions FROM embedding_metadata")


async def facts(
    connection: AsyncConnection, *, language: str, revision: str | None, opening: bool = False
) -> Facts:
    """Return the facts about a database, which may be empty.

    Args:
        connection: the connection.
        language: the text search configuration of keyword search.
        revision: the revision of the database.
        opening: whether only the facts are needed that do not read tables of tenants. A database
            can be opened while a node of Citus is down.
    """
    server = (await connection.execute(_SERVER, {"language": language})).one()
    embedding = (
        (await connection.execute(_EMBEDDING)).one_or_none() if server.has_metadata else None
    )
    distributed = await connection.run_sync(is_distributed)
    months, in_default = await connection.run_sync(
        partial(_telemetry, distributed=distributed, look_for_rows=not opening)
    )
    cluster, in_cluster = (
        await connection.run_sync(_cluster) if distributed and not opening else (None, ())
    )
    return Facts(
        server_version=server.server_version,
        server_number=server.server_number,
        pgvector_version=server.pgvector_version,
        revision=revision,
        provider=embedding.provider if embedding else None,
        model=embedding.model if embedding else None,
        dimensions=embedding.dimensions if embedding else None,
        column_dimensions=server.column_dimensions,
        language_known=server.language_known,
        invalid_indexes=tuple(server.invalid_indexes),
        missing_months=months,
        default_holds_events=in_default,
        row_security=await connection.run_sync(RowLevelSecurityStatus.read),
        missing_indexes=tuple(server.missing_indexes),
        dying_indexes=tuple(server.dying_indexes),
        is_loading=server.is_loading,
        tenant_indexes=tuple(server.tenant_indexes),
        owners=tuple((await connection.execute(OWNERS)).scalars()),
        is_read_only=server.is_read_only,
        distributed=distributed,
        cluster=cluster,
        cluster_problems=in_cluster,
    )


def _cluster(connection: Connection) -> tuple[Cluster, tuple[Problem, ...]]:
    cluster = read_cluster(connection)
    return cluster, tuple(cluster_problems(connection, cluster))


def _telemetry(
    connection: Connection, *, distributed: bool, look_for_rows: bool
) -> tuple[tuple[str, ...], bool]:
    existing = partitions.partitions(connection)
    default = partitions.default_of(existing)
    missing = partitions.missing_ahead(connection, existing, ahead=1)
    holds = False
    # A role may have privileges on the table without having any on its partitions.
    if look_for_rows and default is not None and default.readable:
        holds = (
            holds_rows_on_shards(connection, default.name)
            if distributed
            else holds_rows(connection, default)
        )
    return tuple(map(str, missing)), holds


def health_of(
    observed: Facts, engine: AsyncEngine, settings: Settings, *, expected_revision: str
) -> Health:
    """Return the health of a database: its facts, its problems and the figures of the pool."""
    return Health(
        server_version=observed.server_version,
        pgvector_version=observed.pgvector_version,
        revision=observed.revision,
        expected_revision=expected_revision,
        provider=observed.provider,
        model=observed.model,
        dimensions=observed.dimensions,
        row_level_security=observed.row_security.on,
        pool=pool_figures(engine),
        problems=problems(observed, expected_revision=expected_revision, settings=settings),
        cluster=observed.cluster,
    )


def problems(observed: Facts, *, expected_revision: str, settings: Settings) -> tuple[Problem, ...]:
    """Return the problems, the most fundamental first."""
    wrong: list[Problem] = []
    if observed.server_number < MIN_SERVER:
        wrong.append(
            Problem(
                what=f"PostgreSQL {observed.server_version} is too old",
                remedy="use PostgreSQL 16, 17 or 18",
            )
        )
    if observed.pgvector_version is None:
        wrong.append(
            Problem(
                what="the extension vector is missing",
                remedy="run CREATE EXTENSION vector as a superuser",
            )
        )
    elif _version(observed.pgvector_version) < MIN_PGVECTOR:
        wrong.append(
            Problem(
                what=f"pgvector {observed.pgvector_version} corrupts HNSW indexes on vacuum",
                remedy="install pgvector 0.8.4 or newer and run ALTER EXTENSION vector UPDATE",
            )
        )
    if observed.is_read_only:
        wrong.append(
            Problem(
                what="default_transaction_read_only is on, so that every write is refused",
                remedy="ask who set it: managed servers set it when their disk is nearly full",
            )
        )
    if observed.revision != expected_revision:
        at = f"at revision {observed.revision}" if observed.revision else "empty"
        wrong.append(
            Problem(
                what=f"the database is {at}, not at {expected_revision}",
                remedy="run `recollect db migrate`",
            )
        )
    elif observed.dimensions is None:
        wrong.append(
            Problem(
                what="the embedding model of this database is not recorded",
                remedy="record it with uow.embedding_metadata.set()",
            )
        )
    if not observed.language_known:
        wrong.append(
            Problem(
                what=f"the server has no text search configuration {settings.language}",
                remedy="set language to one it has",
            )
        )
    if observed.revision == expected_revision:
        wrong.extend(_of_telemetry(observed))
    wrong.extend(
        Problem(
            what=f"the index {name} is invalid",
            remedy="run `recollect db migrate`, which builds it again",
        )
        for name in observed.invalid_indexes
    )
    wrong.extend(_ways_round(observed.row_security, asked_for=settings.row_level_security))
    if observed.revision == expected_revision:
        wrong.extend(_missing(name, observed) for name in observed.missing_indexes)
    wrong.extend(
        Problem(
            what=f"the index {name} has many dead entries, so that searches can miss rows",
            remedy="run `recollect db maintain`, and look at the autovacuum of the server",
        )
        for name in observed.dying_indexes
    )
    wrong.extend(observed.cluster_problems)
    return tuple(wrong)


def _of_telemetry(observed: Facts) -> Iterator[Problem]:
    # Neither problem loses an event: the default partition takes events of other months. But its
    # rows must be deleted one by one, while the partition of a month can be dropped.
    remedy = "run `recollect db maintain`, and let it run every month"
    if observed.missing_months:
        yield Problem(
            what=f"telemetry has no partition for {' and '.join(observed.missing_months)}",
            remedy=remedy,
        )
    if observed.default_holds_events:
        yield Problem(what="the default partition of telemetry holds events", remedy=remedy)


def _ways_round(row_security: RowLevelSecurityStatus, *, asked_for: bool) -> Iterator[Problem]:
    yield from (
        Problem(
            what=gap,
            remedy="run `recollect db rls enable`, or `recollect db rls disable` to turn it off",
        )
        for gap in row_security.gaps()
    )
    if asked_for and not row_security.on:
        yield Problem(
            what="row-level security is required and not enabled",
            remedy="run `recollect db rls enable`",
        )
    elif asked_for and row_security.passed:
        what = f"row-level security does not apply to the role {row_security.role}"
        yield Problem(
            what=what,
            remedy=("connect as a role without SUPERUSER and BYPASSRLS: see `recollect db roles`"),
        )


def _missing(name: str, observed: Facts) -> Problem:
    what = f"the index {name} is missing, so that searches read every row"
    if observed.is_loading:
        return Problem(
            what=what,
            remedy="wait for the initial load that is running, which builds it at its end",
        )
    return Problem(what=what, remedy="run `recollect db migrate`, which builds it")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def pool_figures(engine: AsyncEngine) -> PoolFigures:
    """Return the figures of the engine's pool."""
    pool = engine.sync_engine.pool
    if not isinstance(pool, GuardedPool):
        raise TypeError("this engine was not created by create_engine")
    return PoolFigures(**pool.figures())
