"""The tenants that have an HNSW index of their own or much of a table, as a process knows them."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from repositories.sql.vector_index import Graph, is_covered, tenant_index_name

if TYPE_CHECKING:
    from collections.abc import Iterable

REFRESH_AFTER: Final = timedelta(minutes=1)
"""How long a process relies on the lists. A search after that reads them again."""


class LargeTenants:
    """The tenants with an HNSW index that can be used, and those with a large share of a table.

    An operator creates and drops indexes while applications run. With an outdated list a search
    returns the same rows: without knowledge of an index it compares all rows of the tenant, and
    without the index itself the server does.

    Args:
        names: the names of the indexes.
        owners: `table:tenant` for each tenant with a large share of a table.
    """

    def __init__(self, names: Iterable[str] = (), owners: Iterable[str] = ()) -> None:
        self.update(names, owners)

    def update(self, names: Iterable[str], owners: Iterable[str]) -> None:
        """Replace the lists, which are now up to date."""
        self._names, self._owners = frozenset(names), frozenset(owners)
        self._read_at = time.monotonic()

    def expire(self) -> None:
        """Let the next search read the lists again."""
        self._read_at = -math.inf

    @property
    def is_outdated(self) -> bool:
        """Whether the lists are older than `REFRESH_AFTER`."""
        return time.monotonic() - self._read_at > REFRESH_AFTER.total_seconds()

    def owns(self, table: str, tenant: str) -> bool:
        """Return whether the tenant has a large share of the table."""
        return f"{table}:{tenant}" in self._owners

    def graph_of(self, table: str, tenant: str, dimensions: int) -> Graph:
        """Return the HNSW index that serves the vector searches of a tenant.

        Up to `MAX_COVERED_DIMENSIONS` only a tenant's own index does. Wider embeddings have an
        index that all tenants share, too.
        """
        if tenant_index_name(table, tenant) in self._names:
            return Graph.OWN
        return Graph.NONE if is_covered(dimensions) else Graph.SHARED
