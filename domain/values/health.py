"""Health of a database."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFigures:
    """The connections of one pool: `size` and `max_overflow` allowed, the others at this moment."""

    size: int
    max_overflow: int
    checked_in: int
    checked_out: int
    overflow: int
    total: int

    @property
    def status(self) -> str:
        """The figures in a sentence."""
        most = self.size + self.max_overflow
        return f"{self.checked_out} of {most} connections in use, {self.checked_in} idle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A problem and its remedy."""

    what: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterNode:
    """A node of Citus.

    Attributes:
        host: its host.
        port: its port.
        active: whether Citus uses it.
        stores: whether it may have shards; the coordinator usually has none.
        shards: how many shards of each distributed table it has.
    """

    host: str
    port: int
    active: bool
    stores: bool
    shards: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The nodes of Citus that have the tables of a database.

    Attributes:
        nodes: the nodes, the coordinator first.
        shards: the number of shards of each distributed table.
        undistributed: the tables that are on the coordinator only.
    """

    nodes: tuple[ClusterNode, ...]
    shards: int
    undistributed: tuple[str, ...]

    @property
    def skew(self) -> float:
        """The shards of the fullest node, relative to the mean of the nodes that store shards."""
        shards = [node.shards for node in self.nodes if node.stores]
        return max(shards) * len(shards) / sum(shards) if sum(shards) else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The state of a database, which is healthy if `problems` is empty.

    None stands for a version, a revision or a record that does not exist. `cluster` is None if the
    tables are not distributed by Citus.
    """

    server_version: str
    pgvector_version: str | None
    revision: str | None
    expected_revision: str
    provider: str | None
    model: str | None
    dimensions: int | None
    row_level_security: bool
    pool: PoolFigures
    problems: tuple[Problem, ...]
    cluster: Cluster | None = None

    @property
    def healthy(self) -> bool:
        """Whether `problems` is empty."""
        return not self.problems
