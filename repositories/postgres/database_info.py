"""What repositories have to know of the database that they speak to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TENANT: Final = "recollect_tenant"
"""The execution option of a connection that names the tenant of its next transaction to row-level security."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """Facts read once, when a database is opened.

    `dimensions` is every embedding's, `language` the text search configuration of keyword search,
    `ef_search` the size of the candidate list of an HNSW scan. Where `row_level_security` holds,
    the server shows a transaction the rows of the tenant that was set in it and no others, so that
    every statement needs a transaction that begins as `driver.Connection.set_local_tenant` makes
    it.
    """

    dimensions: int
    language: str
    ef_search: int
    row_level_security: bool = False
