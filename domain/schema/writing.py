"""Rules of bulk writes on every store: types of the rows and sizes of batches."""

from __future__ import annotations

from collections.abc import AsyncIterable, Collection, Iterable, Sequence
from typing import Any, Final, TypeVar

from domain.errors import InvalidInput
from domain.schema.base import Entity
from domain.values.shown import kind_of

E = TypeVar("E", bound=Entity)

BATCH_SIZE: Final = 5_000
"""Rows of a bulk write that are in memory and sorted at a time."""

COPY_ROWS: Final = 50_000
"""Rows of one COPY if they are in memory already and every index of the table is a B-tree.

One COPY takes about one second; the timeout of a statement is thirty. Between two of them, client
and server wait for each other.
"""


def require_entity(value: object, entity: type[E]) -> E:
    """Return `value` if it is an entity of this kind.

    Raises:
        InvalidInput: it is not.
    """
    if not isinstance(value, entity):
        raise _wrong_item(value, entity)
    return value


def require_entities(values: Sequence[Any], entity: type[E]) -> Sequence[E]:
    """Return `values` if all of them are entities of this kind.

    Raises:
        InvalidInput: one of them is not.
    """
    for kind in set(map(type, values)):
        if not issubclass(kind, entity):
            raise _wrong_item(next(v for v in values if type(v) is kind), entity)
    return values


def require_rows(values: object, entity: type[Entity]) -> None:
    """Return if `values` can be iterated.

    Raises:
        InvalidInput: it cannot, or it is one entity.
    """
    if isinstance(values, Entity) or not isinstance(values, Iterable | AsyncIterable):
        raise InvalidInput(
            f"expected an iterable of {entity.__name__}, not {kind_of(values)}:"
            " pass a list or an iterator",
            field="entities",
        )


def _wrong_item(value: object, entity: type[Entity]) -> InvalidInput:
    name = entity.__name__
    return InvalidInput(
        f"expected {name}, not {kind_of(value)}: pass entities made with {name}(…)",
        field="entities",
    )


def has_only_b_trees(entity: type[Entity]) -> bool:
    """Whether every index of the entity's table is a B-tree, which takes microseconds per row."""
    kinds: Collection[Any] = [
        index.dialect_options["postgresql"]["using"] for index in entity.__table__.indexes
    ]
    return not entity.embedding_fields() and not any(kinds)
