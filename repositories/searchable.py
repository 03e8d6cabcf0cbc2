"""Readers of entities with an embedding: passages, and an application's searchable entities."""

from __future__ import annotations

from typing import TypeVar

from domain import ports
from domain.ports.implementing import implements
from domain.schema.base import Entity
from repositories.common_search.vector import KeywordSearches, VectorSearches
from repositories.search import SearchRepository
from repositories.sql.filters import FilterKey

E = TypeVar("E", bound=Entity)


@implements(ports.VectorReader)
class VectorReader(SearchRepository[E], VectorSearches[E, FilterKey]):
    """Searches entities by vector, and by vector and words."""


@implements(ports.SearchableReader)
class SearchableReader(VectorReader[E], KeywordSearches[E, FilterKey]):
    """Reads and searches a searchable entity."""
