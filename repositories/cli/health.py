"""The health of a database at any revision, as values for a table and for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from domain.values.health import Cluster, Health
from repositories import migrations
from repositories.cli.targets import connected
from repositories.operations.health import facts, health_of
from repositories.operations.vector_indexes import VectorIndexHealth, examine_vector_indexes
from repositories.postgres.errors import translating

if TYPE_CHECKING:
    from repositories.cli.targets import Target
    from repositories.postgres.settings import Settings


async def health_of_target(settings: Settings) -> Health:
    """Return the health of a database, which may be empty or outdated.

    `Database.health` is for a database that is open, and so at the newest revision.

    Raises:
        DatabaseFailure: The connection failed.
    """
    expected = migrations.head()
    async with connected(settings) as engine:
        revision = await migrations.current(engine)
        with translating():
            async with engine.connect() as connection:
                observed = await facts(connection, language=settings.language, revision=revision)
        return health_of(observed, engine, settings, expected_revision=expected)


async def vector_indexes_of_target(settings: Settings) -> list[VectorIndexHealth]:
    """Return the health of the vector indexes, with their recall in a sample of searches."""
    async with connected(settings.for_migrations()) as engine:
        return await examine_vector_indexes(engine, ef_search=settings.ef_search)


def vector_index_sentence(index: VectorIndexHealth) -> str:
    """Return the health of a vector index in a sentence."""
    recall = "recall not measured"
    if index.recall is not None:
        recall = f"recall {index.recall:.2f}, lowest {index.lowest:.1f}"
    return f"{recall}, {index.dead:.0%} of the rows dead, {index.size / 2**20:,.1f} MiB"


def health_figures(target: Target, health: Health) -> list[tuple[str, str]]:
    """Return names and values for a table; the URL has no password."""
    embeddings = f"{health.dimensions} dimensions, provider {health.provider}, model {health.model}"
    return [
        ("database", target.label),
        ("address", str(target.settings.target)),
        ("PostgreSQL", health.server_version),
        ("pgvector", health.pgvector_version or "missing"),
        ("revision", f"{health.revision or 'none'} (newest: {health.expected_revision})"),
        ("embeddings", "not recorded" if health.dimensions is None else embeddings),
        ("row-level security", "on" if health.row_level_security else "off"),
        *(() if health.cluster is None else [("Citus", cluster_sentence(health.cluster))]),
        ("pool", health.pool.status),
    ]


def cluster_sentence(cluster: Cluster) -> str:
    """Return the nodes of Citus in a sentence."""
    nodes = ", ".join(f"{node} has {node.shards}" for node in cluster.nodes if node.stores)
    return f"{cluster.shards} shards of each table: {nodes} (skew {cluster.skew:.2f})"


def health_json(target: Target, health: Health) -> dict[str, Any]:
    """Return the same as one JSON object, with the problems; the URL has no password."""
    return {
        "database": target.label,
        "address": str(target.settings.target),
        "healthy": health.healthy,
        **asdict(health),
    }
