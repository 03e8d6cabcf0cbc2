"""The nodes of Citus that have the tables of a database, and their problems."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.values.health import Cluster, ClusterNode, Problem
from repositories.migrations import distribution
from repositories.sql import distribution as statements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection


def cluster_nodes(connection: Connection) -> tuple[ClusterNode, ...]:
    """Return the nodes of Citus, the coordinator first."""
    values = {"table": distribution.FIRST_TABLE}
    rows = connection.execute(statements.NODES, values).mappings()
    return tuple(ClusterNode(**row) for row in rows)


def read_cluster(connection: Connection) -> Cluster:
    """Return the nodes and tables of a database that Citus distributes."""
    tables = distribution.planned_tables(connection)
    first = distribution.tables_on_nodes(connection)[distribution.FIRST_TABLE]
    return Cluster(
        nodes=cluster_nodes(connection),
        shards=first.shards,
        undistributed=tuple(distribution.undistributed(tables)),
    )


def cluster_problems(connection: Connection, cluster: Cluster) -> Iterator[Problem]:
    """Yield the problems of the nodes and of the tables. A node that is down raises no error."""
    for answer in connection.execute(statements.ANSWERS).mappings():
        if not answer["success"]:
            yield Problem(
                what=f"the node {answer['host']}:{answer['port']} of Citus does not answer, and the"
                " tenants on it are not available",
                remedy="start it, or promote its standby",
            )
    for node in cluster.nodes:
        if not node.active:
            yield Problem(
                what=f"the node {node} of Citus is not active",
                remedy=f"run SELECT citus_activate_node('{node.host}', {node.port})",
            )
    for name in cluster.undistributed:
        yield Problem(
            what=f"the table {name} is on the coordinator only",
            remedy="run `recollect db distribute`",
        )
    for sentence in distribution.misplaced(connection, distribution.planned_tables(connection)):
        yield Problem(
            what=sentence,
            remedy="run SELECT undistribute_table(…) for it, and `recollect db distribute`",
        )
