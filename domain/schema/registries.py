"""The tables and mappers of the library's entities, and of an application's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import MetaData
from sqlalchemy.orm import registry
from sqlalchemy.schema import sort_tables

from domain.schema.constraints import NAMING_CONVENTION

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Table

    from domain.schema.base import Entity

metadata = MetaData(naming_convention=NAMING_CONVENTION)
"""The tables of the library's entities."""

application_metadata = MetaData(naming_convention=NAMING_CONVENTION)
"""The tables of an application's own entities."""

mappers = registry(metadata=metadata)
"""The mappers of the library's entities."""

application_mappers = registry(metadata=application_metadata)
"""The mappers of an application's own entities. A class that fails to be mapped stays in it."""


def in_order(entities: Collection[type[Entity]]) -> Sequence[type[Entity]]:
    """Return the entities, parents before the entities that refer to them."""
    by_table = {entity.__table__: entity for entity in entities}
    return [by_table[table] for table in sort_tables(by_table)]


def all_tables() -> Sequence[Table]:
    """Return the tables of the library, and those of own entities, parents first.

    Operations treat both alike. An entity is known when its module has been imported.
    """
    return [*metadata.sorted_tables, *sort_tables(application_metadata.tables.values())]


def table_names() -> list[str]:
    """Return the names of `all_tables`."""
    return [table.name for table in all_tables()]


def tenant_table_names() -> list[str]:
    """Return the names of those of `all_tables` whose rows belong to tenants."""
    return [table.name for table in all_tables() if "tenant" in table.c]
