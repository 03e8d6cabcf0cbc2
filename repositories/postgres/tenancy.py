"""The tenant of a unit of work: assigned to the entities that it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.errors import InvalidEmbedding, TenantMismatch
from domain.schema.stored import has_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domain.schema.base import Entity
    from repositories.postgres.database_info import Schema


class Tenancy:
    """Assigns the tenant of a unit of work to entities, and refuses those of another tenant."""

    def __init__(self, tenant: str, schema: Schema) -> None:
        self.tenant = tenant
        self.schema = schema

    def assign_tenants(self, entities: Sequence[Entity]) -> None:
        """Assign the tenant to the entities, as `assign_tenant` does to each."""
        # A call for each of many rows that are ready would take as long as reading them.
        kinds: set[type[Entity]] = set(map(type, entities))
        tenants = {vars(entity).get("tenant") for entity in entities}
        if tenants != {self.tenant} or any(kind.embedding_fields() for kind in kinds):
            for entity in entities:
                self.assign_tenant(entity)

    def assign_tenant(self, entity: Entity) -> None:
        """Assign the tenant to the entity, or raise TenantMismatch if it has another."""
        values = vars(entity)
        if values.get("embedding") is not None:
            self.require_dimensions(entity)
        if values.get("tenant") == self.tenant or "tenant" not in type(entity).model_fields:
            return
        # An entity that was read, or that was committed, has the tenant of its row.
        if "tenant" in entity.model_fields_set or has_row(entity):
            raise TenantMismatch(
                f"a {type(entity).__name__} of another tenant was passed to this unit of work"
            )
        values["tenant"] = self.tenant

    def require_dimensions(self, entity: Entity) -> None:
        """Raise InvalidEmbedding for an embedding that has not the dimension of this database.

        Validation accepts the dimension of every open database.
        """
        embedding = vars(entity).get("embedding")
        if embedding is not None and embedding.dimensions() != self.schema.dimensions:
            raise InvalidEmbedding(
                f"the embedding has {embedding.dimensions()} dimensions,"
                f" not {self.schema.dimensions}",
                field="embedding",
            )
