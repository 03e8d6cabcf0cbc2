"""Distribution of a database on a server without Citus, and what its connections do on one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from domain import ConfigurationError, InvalidInput
from domain.schema.registries import all_tables
from domain.values.health import Cluster, ClusterNode
from repositories import Database
from repositories.cli.health import cluster_sentence
from repositories.migrations.distribution import PlannedTable, is_distributed, undistributed_tables
from repositories.operations.distribution import require_layout
from repositories.postgres.engine import create_engine

REFERENCE_TABLES = {"embedding_metadata", "global_patterns"}

FAILING_COMMIT = """
CREATE TEMPORARY TABLE written (id int);
CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE WARNING 'on a worker' USING ERRCODE = '{code}';
    RAISE EXCEPTION 'could not commit transaction for shard 102096' USING ERRCODE = 'XX000';
END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON written DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION pg_temp.refuse();
"""
"""A COMMIT that fails as on Citus: the code of the worker is in a warning."""


@pytest_asyncio.fixture
async def engine(database: Database) -> AsyncIterator[AsyncEngine]:
    """An engine for a distributed database; plain PostgreSQL takes its settings, too."""
    engine = create_engine(database.settings, distributed=True)
    yield engine
    await engine.dispose()


async def test_a_server_without_citus_is_refused_and_left_as_it_is(database: Database) -> None:
    for dry_run in (True, False):
        with pytest.raises(ConfigurationError, match="lacks the extension citus"):
            await database.distribute(dry_run=dry_run)
    async with database.engine.connect() as connection:
        assert not await connection.run_sync(is_distributed)
        assert await connection.run_sync(undistributed_tables) == []
    assert (await database.health()).cluster is None


@pytest.mark.parametrize("shard_count", [0, -1, 1_001])
async def test_a_number_of_shards_out_of_range_is_refused(
    database: Database, shard_count: int
) -> None:
    with pytest.raises(InvalidInput, match="shard_count"):
        await database.distribute(shard_count=shard_count)


def test_every_table_without_a_tenant_is_named_as_a_reference_table() -> None:
    assert {table.name for table in all_tables() if "tenant" not in table.c} == REFERENCE_TABLES


@pytest.mark.parametrize("strategy", ["h", "l"])
def test_a_table_with_partitions_by_tenant_is_refused_with_its_name(strategy: str) -> None:
    tables = [
        PlannedTable(name=name, is_reference=False, done=False, local_bytes=0, strategy=how)
        for name, how in (("reviews", None), ("telemetry_events", "r"), ("own_things", strategy))
    ]
    with pytest.raises(ConfigurationError, match="own_things has partitions by LIST or HASH"):
        require_layout(tables)
    require_layout(tables[:2])


def test_the_skew_is_that_of_the_nodes_that_store_shards() -> None:
    def node(port: int, shards: int, *, stores: bool = True) -> ClusterNode:
        return ClusterNode(host="db", port=port, active=True, stores=stores, shards=shards)

    cluster = Cluster(
        nodes=(node(1, 0, stores=False), node(2, 6), node(3, 2)), shards=8, undistributed=()
    )
    assert cluster.skew == 1.5
    assert cluster_sentence(cluster) == (
        "8 shards of each table: db:2 has 6, db:3 has 2 (skew 1.50)"
    )
    assert Cluster(nodes=(node(1, 0),), shards=0, undistributed=()).skew == 1.0


async def test_a_transaction_sends_its_settings_as_set_local(engine: AsyncEngine) -> None:
    names = ("lock_timeout", "citus.propagate_set_commands")
    async with engine.connect() as connection:
        values = [await connection.scalar(text(f"SHOW {name}")) for name in names]
        assert values == ["5s", "local"]
        await connection.rollback()
        driver: Any = (await connection.get_raw_connection()).driver_connection
        assert await driver.fetchval("SELECT current_setting('citus.propagate_set_commands')") == ""


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("40001", asyncpg.SerializationError),
        ("40P01", asyncpg.DeadlockDetectedError),
        ("08006", asyncpg.InternalServerError),
    ],
)
async def test_a_commit_that_a_worker_rolled_back_has_the_code_of_the_worker(
    engine: AsyncEngine, code: str, error: type[asyncpg.PostgresError]
) -> None:
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        await driver.execute(FAILING_COMMIT.format(code=code))
        for _ in range(2):
            await driver.execute("BEGIN; INSERT INTO written VALUES (1);")
            with pytest.raises(asyncpg.PostgresError) as raised:
                await driver.execute("COMMIT;")
            assert type(raised.value) is error
