"""Entities that stand for a stored row, because they were read or committed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy.orm.attributes import instance_state

from domain.schema.base import Entity

_MARK: Final = "_stored"
"""Key in the entity's dictionary. Copies, JSON and comparisons leave it out: it is not a field."""


class CommitMark:
    """Mark of the entities that one transaction writes in bulk."""

    __slots__ = ("committed",)

    def __init__(self) -> None:
        self.committed = False


def mark_stored(entity: Entity) -> None:
    """Record that the entity was read or committed."""
    vars(entity)[_MARK] = True


def mark_new(entity: Entity) -> None:
    """Record that the entity has no row: the statement that wrote it was undone."""
    vars(entity).pop(_MARK, None)


def mark_written(entities: Iterable[Entity], mark: CommitMark) -> None:
    """Record that the entities are stored once the transaction of the mark is committed."""
    for values in map(vars, entities):
        values.setdefault(_MARK, mark)


def is_stored(entity: Entity) -> bool:
    """Whether the entity was read or committed before."""
    mark = vars(entity).get(_MARK, False)
    return mark.committed if isinstance(mark, CommitMark) else bool(mark)


def has_row(entity: Entity) -> bool:
    """Whether the entity was read or committed before, or a unit of work tracks its row."""
    return is_stored(entity) or instance_state(entity).key is not None


def rewritten_fields(entity: Entity) -> list[str]:
    """Return the fields that are written if the stored entity is added to a unit of work.

    Not written are the primary key, fields that only operations change, an embedding that was not
    loaded, and missing values for which the server has a default.
    """
    values, kind = vars(entity), type(entity)
    return [
        attribute.key
        for attribute in kind.__mapper__.column_attrs
        if attribute.key in values
        and attribute.key not in kind.managed_fields
        and not attribute.columns[0].primary_key
        and (values[attribute.key] is not None or attribute.columns[0].server_default is None)
    ]
