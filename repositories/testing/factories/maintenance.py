"""Factories of the library's own records."""

from __future__ import annotations

from typing import Any

from factory.declarations import LazyFunction, Sequence

from domain.entities.maintenance import CommittedOperation, EmbeddingRepair
from repositories.testing.factories.base import EntityFactory, new_id
from repositories.testing.factories.knowledge import MODEL


class CommittedOperationFactory(EntityFactory[CommittedOperation]):
    """A unit of work that was remembered."""

    operation_id: Any = LazyFunction(new_id)
    attempt_id: Any = LazyFunction(new_id)


class EmbeddingRepairFactory(EntityFactory[EmbeddingRepair]):
    """A job that has just begun to embed again."""

    corpus: Any = "knowledge"
    key: Any = Sequence(lambda n: f"repair-{n}")
    target_model: Any = MODEL
