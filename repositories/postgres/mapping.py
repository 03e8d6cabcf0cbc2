"""The writes of a flush: their order, and whether there is only one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Table
from sqlalchemy.orm import Mapper, Session, foreign, object_mapper, relationship, remote

from domain.schema.base import Entity, mappers

_MAPPER_EVENTS: Final = ("before_insert", "after_insert")
_SESSION_EVENTS: Final = ("before_commit", "before_flush", "after_flush", "after_flush_postexec")


def order_writes_by_foreign_keys(application: Iterable[type[Entity]] = ()) -> None:
    """Add a relationship for each foreign key, from which SQLAlchemy derives the order of writes.

    The relationship is internal: reading it raises, so that nothing is loaded implicitly. It joins
    on the id alone, because SQLAlchemy warns if several relationships of a table share the tenant's
    column.

    Args:
        application: The application's own entities; the library's are always included.
    """
    by_table: dict[Table, Mapper[Entity]] = {
        mapper.class_.__table__: mapper for mapper in mappers.mappers
    }
    by_table |= {entity.__table__: entity.__mapper__ for entity in application}
    for table, mapper in by_table.items():
        for key in table.foreign_key_constraints:
            parent = by_table[key.referred_table]
            column = next(element.parent for element in key.elements if element.column.name == "id")
            name = f"_{key.referred_table.name}"
            if name not in mapper.all_orm_descriptors:
                join = foreign(mapper.c[column.key]) == remote(parent.c.id)
                mapper.add_property(
                    name,
                    relationship(parent, primaryjoin=join, lazy="raise", cascade="", uselist=False),
                )


def inserts_one_row(session: Session) -> bool:
    """Return whether the next flush sends one INSERT and no other statement.

    A listener of an application can send more.
    """
    new = session.new
    if len(new) != 1 or session.dirty or session.deleted:
        return False
    (mapper,) = map(object_mapper, new)
    return len(mapper.tables) == 1 and not (
        any(getattr(mapper.dispatch, event) for event in _MAPPER_EVENTS)
        or any(getattr(session.dispatch, event) for event in _SESSION_EVENTS)
    )
