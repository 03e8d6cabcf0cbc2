"""What repositories have to know of the database that they speak to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """Facts read once, when a database is opened.

    `dimensions` is every embedding's, `language` the text search configuration of keyword search, `ef_search` the size of the
    candidate list of an HNSW scan.
    """

    dimensions: int
    language: str
    ef_search: int
