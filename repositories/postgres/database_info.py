"""Facts about a database that its repositories depend on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from domain.values.bm25 import DEFAULT_BM25, Bm25
from repositories.postgres.large_tenants import LargeTenants

TENANT: Final = "recollect_tenant"
"""The execution option of a connection with the tenant of its next transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """Facts that are read when a database is opened.

    Attributes:
        dimensions: the dimension of every embedding.
        language: the text search configuration of keyword search.
        ef_search: the size of the candidate list of an HNSW scan.
        bm25: the parameters of keyword search.
        vector_weight: how much the vector arm of a hybrid search counts, of 1.
        row_level_security: whether the server shows a transaction only the rows of its tenant.
            Every statement then needs a transaction that sets the tenant, as
            `Connection.set_local_tenant` prepares.
        distributed: whether Citus distributes the tables. Connections then send the settings of
            transactions to its workers.
        large_tenants: the tenants with an HNSW index of their own, or with much of a table.
            Searches keep the lists up to date.
    """

    dimensions: int
    language: str
    ef_search: int
    vector_weight: float
    bm25: Bm25 = DEFAULT_BM25
    row_level_security: bool = False
    distributed: bool = False
    large_tenants: LargeTenants = field(default_factory=LargeTenants, compare=False)
