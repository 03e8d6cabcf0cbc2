"""The order of writes in a flush: the ORM writes parents before their children."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Table
from sqlalchemy.orm import Mapper, foreign, relationship, remote

from domain.schema.base import Entity
from domain.schema.registries import mappers


def order_writes_by_foreign_keys(application: Iterable[type[Entity]] = ()) -> None:
    """Add a relationship for each foreign key, from which SQLAlchemy derives the order of writes.

    The relationship is internal: reading it raises, so that nothing is loaded implicitly. It joins
    on the id alone, because SQLAlchemy warns if several relationships of a table share the tenant's
    column.

    Args:
        application: the application's own entities; the library's are always included.
    """
    by_table: dict[Table, Mapper[Entity]] = {
        mapper.class_.__table__: mapper for mapper in mappers.mappers
    }
    by_table |= {entity.__table__: entity.__mapper__ for entity in application}
    for table, mapper in by_table.items():
        for key in table.foreign_key_constraints:
            parent = by_table[key.referred_table]
            column = next(element.parent for element in key.elements if element.column.name == "id")
            name = _name(key.referred_table)
            if name not in mapper.all_orm_descriptors:
                join = foreign(mapper.c[column.key]) == remote(parent.c.id)
                mapper.add_property(
                    name,
                    relationship(parent, primaryjoin=join, lazy="raise", cascade="", uselist=False),
                )


def has_own_relationships(mapper: Mapper[Entity]) -> bool:
    """Whether the entity has relationships of its own, from which a flush takes values of columns.

    The internal ones are never assigned.
    """
    return any(one.key != _name(one.mapper.class_.__table__) for one in mapper.relationships)


def _name(parent: Table) -> str:
    return f"_{parent.name}"
