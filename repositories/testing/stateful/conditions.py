"""Random filters, with values that entities have or could have, and sometimes invalid ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

from domain import where
from domain.schema.columns import EmbeddingColumn
from domain.values.filter_rules import column_name
from domain.values.filters import AllOf, AnyOf

if TYPE_CHECKING:
    from domain.schema.base import Entity
    from domain.values.filters import Filter, Where
    from repositories.testing.stateful.world import World


def some_filter(world: World, kind: type[Entity]) -> Filter | None:
    """Return a filter over the columns of the class, or as often None."""
    return a_filter(world, kind) if world.choices.below(2) else None


def a_filter(world: World, kind: type[Entity], depth: int = 2) -> Filter:
    """Return a filter over the columns of the class."""
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
    values = [vars(world.existing(kind)).get(name) for _ in range(2)]
    if isinstance(kind.__table__.columns[column].type, EmbeddingColumn):
        return where(column).exists()
    present = [value for value in values if value is not None]
    if present and isinstance(present[0], Mapping) and choices.below(8):
        return _of_json(world, column, present[0])
    return _compared(world, where(column), present)


def _of_json(world: World, column: str, value: Mapping[str, Any]) -> Filter:
    path, inner = [world.choices.pick(("a", "b"))], value
    while isinstance(inner := inner.get(path[-1], None), Mapping):
        path.append("c")
    if isinstance(inner, Sequence) and not isinstance(inner, str):
        return _of_list(world, where(column, *path), tuple(inner))
    return _compared(
        world, where(column, *path), [inner if isinstance(inner, str | int | float) else 1]
    )


def _compared(world: World, key: Where, values: list[Any]) -> Filter:
    if not values or world.choices.one_in(6):
        return world.choices.pick((key.exists, key.is_null))()
    value = values[0]
    if isinstance(value, tuple):
        return _of_list(world, key, value)
    if isinstance(value, str) and not isinstance(value, Enum) and world.choices.one_in(3):
        return _of_text(world, key, value)
    comparisons = (
        key.equals,
        key.at_most,
        key.greater_than,
        key.less_than,
        key.at_least,
        key.not_equals,
    )
    return key.one_of(values) if world.choices.one_in(4) else world.choices.pick(comparisons)(value)


def _of_list(world: World, key: Where, values: Sequence[Any]) -> Filter:
    match world.choices.below(3):
        case 0 if values:
            return key.contains(world.choices.pick(values))
        case 1:
            return key.contains_any(values[:2])
        case _:
            return key.contains_all(values[:2])


def _of_text(world: World, key: Where, value: str) -> Filter:
    start = world.choices.below(3)
    part = value[start : start + 1 + world.choices.below(4)]
    match world.choices.below(3):
        case 0:
            return key.starts_with(part)
        case 1:
            return key.contains_text(part)
        case _:
            return key.matches_glob(world.choices.pick((value, f"{value[:2]}*", "**", "*.py")))
