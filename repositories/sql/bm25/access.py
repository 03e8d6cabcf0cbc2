"""The way by which a keyword search finds the rows with a term."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from domain.values.bm25 import DEFAULT_BM25, Bm25

TENANT: Final = "CAST(:tenant AS text)"
"""SQL for the tenant of the search."""


@dataclass(frozen=True, slots=True)
class Access:
    """How the rows with a term are found, and ranked.

    Behind row-level security no index finds them, because PostgreSQL evaluates the policy first:
    then a large sample is read once, and terms are not counted one by one. The rows of a tenant
    that `owns_table`, or a large share of it, are found by the term alone: the list of the tenant's
    key has all its rows, and costs 25 ns for each. In `distributed` tables, Citus needs the
    condition on the tenant beside each table to find the node that has its rows.
    """

    by_index: bool = True
    owns_table: bool = False
    distributed: bool = False
    ranking: Bm25 = DEFAULT_BM25

    @property
    def sampled(self) -> int:
        """The number of rows in a sample. A tenant with fewer rows has all of them in it."""
        return 128 if self.by_index else 2_048
