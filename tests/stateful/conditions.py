"""Filters.

Of what entities hold, of what they might, and now and then of what no filter may ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from domain import where
from domain.schema.columns import EmbeddingColumn
from domain.values.filter_rules import column_name
from domain.values.filters import AllOf, AnyOf

if TYPE_CHECKING:
    from domain.schema.base import Entity
    from domain.values.filters import Filter, Where
    from tests.stateful.world import World


def some_filter(world: World, kind: type[Entity]) -> Filter | None:
    """Return a filter over the kind's columns, or None as often as one."""
    return a_filter(world, kind) if world.choices.below(2) else None


def a_filter(world: World, kind: type[Entity], depth: int = 2) -> Filter:
    """Return a filter over the kind's columns."""
    match world.choices.below(8) if depth else 0:
        case 1:
            return ~a_filter(world, kind, depth - 1)
        case 2:
            return a_filter(world, kind, depth - 1) & a_filter(world, kind, depth - 1)
        case 3:
            return a_filter(world, kind, depth - 1) | a_filter(world, kind, depth - 1)
        case _:
            return _condition(world, kind)


def _condition(world: World, kind: type[Entity]) -> Filter:
    choices = world.choices
    if choices.one_in(40):
        return choices.pick(
            (
                AllOf(),
                AnyOf(),
                where("nope").equals(1),
                where("id", "key").exists(),
                where("id").equals("no id"),
            )
        )
    fields = [name for name in kind.model_fields if name != "tenant"]
    name = choices.pick(fields)
    column = column_name(kind, name)
    values = [vars(one).get(name) for one in (world.known(kind), world.known(kind))]
    if isinstance(kind.__table__.columns[column].type, EmbeddingColumn):
        return where(column).exists()
    given = [value for value in values if value is not None]
    if given and isinstance(given[0], Mapping) and choices.below(8):
        return _of_json(world, column, given[0])
    return _compared(world, where(column), given)


def _of_json(world: World, column: str, value: Mapping[str, Any]) -> Filter:
    path, inner = [world.choices.pick(("a", "b"))], value
    while isinstance(inner := inner.get(path[-1], None), Mapping):
        path.append("c")
    return _compared(
        world, where(column, *path), [inner if isinstance(inner, str | int | float) else 1]
    )


def _compared(world: World, of: Where, values: list[Any]) -> Filter:
    if not values or world.choices.one_in(6):
        return of.exists()
    value = values[0]
    comparisons = (of.equals, of.at_most, of.greater_than, of.less_than, of.at_least)
    return of.one_of(values) if world.choices.one_in(4) else world.choices.pick(comparisons)(value)
