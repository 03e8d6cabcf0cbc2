"""Distribute the tables of a database over the nodes of Citus."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from domain.errors import ConfigurationError, LockTimeout, MigrationFailed, SchemaOutdated
from domain.values.health import ClusterNode
from domain.values.numbers import require_whole
from repositories.migrations import distribution, indexes, requirements
from repositories.migrations.distribution import PlannedTable
from repositories.migrations.own_tables import require_registered
from repositories.migrations.runner import BASE, head, require_known
from repositories.migrations.session import DEADLINE, migration_session, require_lock
from repositories.operations.cluster import cluster_nodes
from repositories.sql import distribution as statements

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

    OnTable = Callable[[str, int, int], None]

SHARD_COUNT: Final = 32
MOST_SHARDS: Final = 1_000

NODE_SETTINGS: Final = {"jit": "off"}
"""Settings of the database, which Citus passes on: workers do not have those of a session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributedTable:
    """A table, whether every node has a copy, and whether this call distributed it."""

    name: str
    is_reference: bool
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """The tables of a database on the nodes of Citus.

    Attributes:
        nodes: the nodes.
        shards: the number of shards of each distributed table.
        tables: the tables, in the order in which they were distributed.
        dry_run: whether nothing was changed; `changed` then says what would be.
        refused: the statements for which the role lacks a privilege. The owner of the database can
            run them.
    """

    nodes: tuple[ClusterNode, ...]
    shards: int
    tables: tuple[DistributedTable, ...]
    dry_run: bool = False
    refused: tuple[str, ...] = ()

    @property
    def changed(self) -> tuple[str, ...]:
        """The names of the tables that this call distributed."""
        return tuple(table.name for table in self.tables if table.changed)


async def distribute(
    engine: AsyncEngine,
    *,
    shard_count: int = SHARD_COUNT,
    dry_run: bool = False,
    on_table: OnTable | None = None,
    deadline: timedelta = DEADLINE,
) -> Distribution:
    """Distribute the tables over the nodes of Citus, by tenant.

    All tables are distributed in one transaction, with their rows; others can read meanwhile, and
    writers wait. The rows that stay on this node are deleted afterwards. You can interrupt it and
    call it again at any moment: it completes what is missing.

    Args:
        engine: an engine without a statement timeout (`Settings.for_migrations`), of the role that
            owns the tables, connected to the coordinator.
        shard_count: the number of shards of each table, if none is distributed yet.
        dry_run: check the requirements and return what would be done.
        on_table: called after each table, with its name, the number of tables done, and of all.
        deadline: how long to wait for other migrations and for locks of tables.

    Raises:
        InvalidInput: `shard_count` is out of range.
        ConfigurationError: the server has no Citus, is not the coordinator, has no active node, or
            the nodes have different versions of pgvector; or a table has partitions by tenant.
        SchemaOutdated: the database is not at this version's revision.
        NotRegistered: the database has the table of an own entity that is not registered.
        LockTimeout: an initial load is running.
        MigrationFailed: the server refused a statement, or waiting for a lock took too long.
        DatabaseFailure: the connection failed.
    """
    require_whole(shard_count, "shard_count", most=MOST_SHARDS)
    async with migration_session(engine, deadline) as session:
        await session.run(_require_ready, doing="looking at the database")
        if not await session.run(indexes.load_for_us, doing="looking for an initial load"):
            raise LockTimeout("an initial load is running in this database: wait until it ends")
        planned = await session.run(distribution.planned_tables, doing="looking at the tables")
        require_layout(planned)
        if dry_run:
            return await session.run(
                partial(_report, planned, dry_run=True), doing="looking at the nodes"
            )
        work = partial(_distribute, planned, shard_count, on_table)
        await session.run(work, doing="distributing the tables")
        await session.run(
            distribution.delete_local_rows, doing="deleting the rows outside of shards"
        )
        refused = await session.run(_apply_settings, doing="setting up the nodes")
        await session.run(_analyze, doing="analyzing the tables")
        await session.run(_verify, doing="verifying the tables")
        report = await session.run(partial(_report, planned), doing="looking at the nodes")
        return replace(report, refused=tuple(refused))


def _require_ready(connection: Connection) -> None:
    requirements.require_server(connection)
    require_lock(connection)
    revision, expected = require_known(connection), head()
    if revision != expected:
        raise SchemaOutdated(current=None if revision == BASE else revision, expected=expected)
    require_registered(connection)
    if not distribution.has_citus(connection):
        raise ConfigurationError(
            "the database lacks the extension citus: add citus to shared_preload_libraries, and run"
            " CREATE EXTENSION citus in this database on every node"
        )
    if not connection.scalar(statements.IS_COORDINATOR):
        raise ConfigurationError(
            "this node is not the coordinator of Citus: connect to the coordinator", setting="host"
        )
    _require_nodes(cluster_nodes(connection))
    _require_one_pgvector(connection)


def _require_nodes(existing: Sequence[ClusterNode]) -> None:
    if inactive := [str(node) for node in existing if not node.active]:
        raise ConfigurationError(
            f"the node {inactive[0]} is not active: run SELECT citus_activate_node('host', port)"
        )
    if not any(node.stores for node in existing):
        raise ConfigurationError(
            "no node of Citus stores shards: run SELECT citus_add_node('host', port) for each"
            " worker"
        )


def _require_one_pgvector(connection: Connection) -> None:
    versions: dict[str, str] = {}
    for node in connection.execute(statements.EXTENSION_VERSIONS).mappings():
        name = f"{node['host']}:{node['port']}"
        if not node["success"]:
            raise ConfigurationError(f"the node {name} does not answer: start it, and try again")
        versions[name] = node["result"]
    if len(set(versions.values())) > 1:
        each = ", ".join(f"{name} has {version}" for name, version in versions.items())
        raise ConfigurationError(
            f"the nodes have different versions of pgvector ({each}): install one version on all,"
            " and run ALTER EXTENSION vector UPDATE"
        )


def require_layout(tables: Sequence[PlannedTable]) -> None:
    """Raise ConfigurationError if a table has partitions by LIST or HASH."""
    # Telemetry has RANGE partitions by month, which Citus can distribute.
    layered = [table.name for table in tables if table.strategy not in (None, "r")]
    if layered:
        raise ConfigurationError(
            f"{', '.join(layered)} has partitions by LIST or HASH: on Citus every shard is one."
            " Move the rows to a table without these partitions first"
        )


def _distribute(
    planned: Sequence[PlannedTable],
    shard_count: int,
    on_table: OnTable | None,
    connection: Connection,
) -> None:
    missing = distribution.undistributed(planned)
    done: list[str] = []

    def report(table: PlannedTable) -> None:
        done.append(table.name)
        if on_table is not None:
            on_table(table.name, len(done), len(missing))

    distribution.distribute_tables(connection, planned, shard_count=shard_count, on_table=report)


def _apply_settings(connection: Connection) -> list[str]:
    """Set up the database on every node, and return the statements that the server refused."""
    database = connection.scalar(text("SELECT quote_ident(current_database())"))
    refused = []
    for name, value in NODE_SETTINGS.items():
        statement = f"ALTER DATABASE {database} SET {name} = '{value}'"
        try:
            with connection.begin_nested():
                connection.execute(text(statement))
        except DBAPIError:
            refused.append(statement)
    return refused


def _analyze(connection: Connection) -> None:
    for table in distribution.planned_tables(connection):
        connection.execute(text(f"ANALYZE {table.name}"))


def _verify(connection: Connection) -> None:
    tables = distribution.planned_tables(connection)
    wrong = [
        *(f"{name} is on this node only" for name in distribution.undistributed(tables)),
        *distribution.misplaced(connection, tables),
        *(f"{table.name} has rows outside of shards" for table in tables if table.local_bytes),
    ]
    if wrong:
        raise MigrationFailed(f"the tables are not as they should be: {'; '.join(wrong)}")


def _report(
    planned: Sequence[PlannedTable], connection: Connection, *, dry_run: bool = False
) -> Distribution:
    on_nodes = distribution.tables_on_nodes(connection)
    first = on_nodes.get(distribution.FIRST_TABLE)
    return Distribution(
        nodes=cluster_nodes(connection),
        shards=0 if first is None else first.shards,
        tables=tuple(
            DistributedTable(
                name=table.name, is_reference=table.is_reference, changed=not table.done
            )
            for table in planned
        ),
        dry_run=dry_run,
    )
