"""Readers of entities with an embedding: passages, and an application's searchable entities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from domain import ports
from domain.ports.implementing import implements
from domain.schema.base import Entity
from repositories.common_search.vector import KeywordSearches, VectorSearches
from repositories.fakes.search import FakeSearchRepository
from repositories.fakes.writes import Condition

if TYPE_CHECKING:
    from repositories.fakes.transaction import Transaction

E = TypeVar("E", bound=Entity)


@implements(ports.VectorReader)
class FakeVectorReader(FakeSearchRepository[E], VectorSearches[E, Condition]):
    """Searches entities by vector, and by vector and words."""


@implements(ports.SearchableReader)
class FakeSearchableReader(FakeVectorReader[E], KeywordSearches[E, Condition]):
    """Reads and searches a searchable entity."""

    def __init__(self, transaction: Transaction, entity: type[E]) -> None:
        super().__init__(transaction, entity)
        weights: Any = entity
        self.searched = tuple(weights.search_weights().items())
        self.text = weights.search_text()
