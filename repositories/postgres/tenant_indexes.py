"""The tenants that have an HNSW index of their own, as a process knows them."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from repositories.sql.vector_index import Graph, is_covered, tenant_index_name

if TYPE_CHECKING:
    from collections.abc import Iterable

REFRESH_AFTER: Final = timedelta(minutes=1)
"""How long a process relies on the list. A search after that reads it again."""


class TenantIndexes:
    """The names of the HNSW indexes of single tenants that can be used.

    An operator creates and drops them while applications run. With an outdated list a search
    returns the same rows: without knowledge of an index it compares all rows of the tenant, and
    without the index itself the server does.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.update(names)

    def update(self, names: Iterable[str]) -> None:
        """Replace the list, which is now up to date."""
        self._names = frozenset(names)
        self._read_at = time.monotonic()

    def expire(self) -> None:
        """Let the next search read the list again."""
        self._read_at = -math.inf

    @property
    def is_outdated(self) -> bool:
        """Whether the list is older than `REFRESH_AFTER`."""
        return time.monotonic() - self._read_at > REFRESH_AFTER.total_seconds()

    def graph_of(self, table: str, tenant: str, dimensions: int) -> Graph:
        """Return the HNSW index that serves the vector searches of a tenant.

        Up to `MAX_COVERED_DIMENSIONS` only a tenant's own index does. Wider embeddings have an
        index that all tenants share, too.
        """
        if tenant_index_name(table, tenant) in self._names:
            return Graph.OWN
        return Graph.NONE if is_covered(dimensions) else Graph.SHARED
