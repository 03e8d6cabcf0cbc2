"""Bounds on the work that a filter can cause, checked before any other work starts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from domain.errors import InvalidFilter
from domain.values.filters import (
    MAX_CHOICES,
    MAX_CONDITIONS,
    AllOf,
    AnyOf,
    Compare,
    Contains,
    Exists,
    Filter,
    IsNull,
    Not,
    OneOf,
    Operator,
    Scalar,
    TextMatch,
    leaves,
    not_a_filter,
)

MAX_NESTING: Final = 50
"""Levels of and, or and not inside each other."""

MAX_NODES: Final = 1_000
"""Conditions and combinations in one filter, however they are nested."""

MAX_CHARACTERS: Final = 1_000_000
"""Characters of all paths and values in one filter, digits and the JSON around keys included.

A path counts once for each of its values, up to `FEW_VALUES`.
"""

FEW_VALUES: Final = 100
"""Up to this many values in JSON are looked up in an index, each with its path; more are hashed."""

_AROUND_KEY: Final = len('{"":}')
"""Characters of JSON around each key of a path, which count as well."""

MAX_KEYS: Final = 50
"""Keys in the paths into JSON that SQL follows key by key: those of all conditions but equality."""

_LEAST_BYTES: Final = sys.getsizeof(Decimal())

MAX_NAME_CHARACTERS: Final = MAX_CHARACTERS // 2
"""Characters of names that one condition of a delete by names has."""


def require_bounded(condition: Filter) -> Filter:
    """Return `condition` if the work that it causes is within all bounds.

    Raises:
        InvalidFilter: it has too many nodes, levels, conditions, choices, characters or keys, or
            a part is not a filter.
    """
    measure(condition)
    return condition


def measure(condition: Filter) -> Work:
    """Return the work that a filter causes.

    The filter is never copied or written out here, so a filter beyond a bound costs little.

    Raises:
        InvalidFilter: it has too many nodes, levels, conditions, choices, characters or keys, or
            a part is not a filter.
    """
    work, nodes = Work(), 0
    parts: list[tuple[Filter, int]] = [(condition, 0)]
    while parts:
        part, depth = parts.pop()
        nodes += 1
        if depth > MAX_NESTING:
            raise _too_large("is nested", MAX_NESTING, "levels deep", depth)
        inner = _inner(part)
        if (total := nodes + len(parts) + len(inner)) > MAX_NODES:
            raise _too_large("has", MAX_NODES, "nodes", total)
        parts += [(one, depth + 1) for one in inner]
        work.add(part)
    return work


def _inner(part: Filter) -> Sequence[Filter]:
    match part:
        case AllOf(parts) | AnyOf(parts):
            return parts
        case Not(one):
            return (one,)
        case _:
            return ()


@dataclass(slots=True)
class Work:
    """The conditions, choices, characters and keys of the parts of one filter."""

    conditions: int = 0
    choices: int = 0
    characters: int = 0
    keys: int = 0

    def add(self, part: Filter) -> None:
        """Count one part, without the parts inside it."""
        match part:
            case AllOf() | AnyOf() | Not():
                return
            case Compare(path, _, value) | TextMatch(path, _, value):
                values: tuple[object, ...] = (value,)
            case OneOf(path, choices) | Contains(path, choices):
                self._add_choices(path, choices)
                values = choices
            case Exists(path) | IsNull(path):
                values = ()
            case _:
                raise not_a_filter(part)
        self.conditions += 1
        written = min(max(len(values), 1), FEW_VALUES)
        self.characters += (_size(path) + _AROUND_KEY * len(path[1:])) * written + _size(values)
        if not isinstance(part, OneOf | Contains) and not _is_equality(part):
            self.keys += len(path) - 1
        if self.keys > MAX_KEYS:
            raise _too_large("has", MAX_KEYS, "keys in the paths of its comparisons", self.keys)
        if self.conditions > MAX_CONDITIONS:
            raise _too_large("has", MAX_CONDITIONS, "conditions", self.conditions)
        if self.characters > MAX_CHARACTERS:
            unit = "characters in its paths and values"
            raise _too_large("has", MAX_CHARACTERS, unit, self.characters)

    def _add_choices(self, path: tuple[str, ...], choices: tuple[Scalar, ...]) -> None:
        self.choices += len(choices)
        if self.choices > MAX_CHOICES:
            field = path[0] if path else ""
            raise _too_large("has", MAX_CHOICES, "values", self.choices, field=field)


def require_selective(condition: Filter | None) -> Filter:
    """Return `condition` if it names at least one column; a delete requires that.

    Raises:
        InvalidFilter: it is None or has no condition, so that it would match every row.
    """
    if condition is None or next(leaves(require_bounded(condition)), None) is None:
        raise InvalidFilter(
            "an empty filter would match every row: name a column, or use `knowledge.reset` to"
            " delete all chunks",
            field="where",
        )
    return condition


def _is_equality(part: Filter) -> bool:
    return isinstance(part, Compare) and part.operator is Operator.EQUAL


def _size(values: tuple[object, ...]) -> int:
    return sum(map(_characters, values))


def _characters(value: object) -> int:
    match value:
        case str():
            return len(value)
        case int():
            return value.bit_length() // 3 + 1
        case Decimal():
            # Eight bytes hold 19 digits; the digits of most numbers need no further memory.
            return (sys.getsizeof(value) - _LEAST_BYTES) * 19 // 8 + 20
        case _:
            return sys.getsizeof(value) // 8


def _too_large(
    verb: str, limit: int, unit: str, count: int, *, field: str = "where"
) -> InvalidFilter:
    # The rest of the filter is not counted.
    return InvalidFilter(
        f"a filter {verb} at most {limit:,} {unit}, and this one at least {count:,}", field=field
    )
