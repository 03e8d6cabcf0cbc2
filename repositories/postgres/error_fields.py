"""The code of a server's error and the names in it: its fields, or on Citus its message.

A partition has names of its own, such as `telemetry_events_2026_11`. On Citus, a node reports the
names of a shard, such as `pk_reviews_102095` for `pk_reviews`. A shard of the node that the
connection is on has them in the fields. For errors of other nodes, Citus passes on the message
without the fields that contain names. An error during COPY has no code, either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    UniqueConstraint,
)

import domain
from domain.schema.constraints import constraint_name
from domain.schema.registries import application_metadata
from repositories.postgres.sqlstates import INTERNAL_ERROR

if TYPE_CHECKING:
    import asyncpg
    from sqlalchemy import Constraint, Table

COMMIT_FUNCTIONS: Final = frozenset({"ErrorIfPostCommitFailedShardPlacements"})
"""Citus's functions that report a COMMIT that failed on a worker, after it was sent there."""

_COPY_FUNCTION: Final = "ReportCopyError"
_SHARD_NAME: Final = re.compile(r"\b([^\W\d]\w*)_\d+\b")
_NUMBERED: Final = re.compile(r"(\w+)(_\d{6,})")
"""The name of a shard. The first shard of a database has the number 102008."""

_SHORTENED: Final = re.compile(r"(.+)_[0-9a-f]{8}")
_QUOTED: Final = re.compile(r"""["'«„“]\s?(\w+)\s?["'»“”]""")
_KEY: Final = re.compile(r"(\w+)_pkey")
_PARTITION: Final = re.compile(r"(\w+?)_(?:\d{4}_\d{2}(?:_\d+)?|default)")
"""The name of a partition, such as `telemetry_events_2026_11`, whose key is named after it."""
_NULL: Final = "23502"
_DUPLICATE: Final = "23505"
_STATES: Final[Mapping[type[Constraint | Index], str]] = {
    PrimaryKeyConstraint: _DUPLICATE,
    UniqueConstraint: _DUPLICATE,
    Index: _DUPLICATE,
    ForeignKeyConstraint: "23503",
    CheckConstraint: "23514",
}

# The messages of workers whose language is English. Only COPY needs them.
_COPY_MESSAGES: Final[Mapping[str, str]] = {
    "deadlock detected": "40P01",
    "could not serialize access": "40001",
    "canceling statement due to lock timeout": "55P03",
    "canceling statement due to statement timeout": "57014",
    "canceling the transaction since it was involved in a distributed deadlock": "40P01",
}


class ErrorFields(NamedTuple):
    """The code of an error, and the names that it mentions."""

    sqlstate: str
    constraint: str | None = None
    table: str | None = None
    column: str | None = None


def fields_of(error: asyncpg.PostgresError) -> ErrorFields:
    """Return the code and the names of an error; on Citus, without the numbers of shards.

    Partitions have names of their own. Their errors get the names of the partitioned table and of
    its primary key.

    The names in the message are looked up in the entities' tables, so that no value is taken for a
    name.
    """
    fields = ErrorFields(
        error.sqlstate or "", error.constraint_name, error.table_name, error.column_name
    )
    if any(fields[1:]):
        return _of_partitioned_table(_of_distributed_table(fields))
    if not _may_be_of_shard(fields.sqlstate, error.server_source_function):
        return fields
    message = str(error.args[0]) if error.args else ""
    return _of_partitioned_table(_from_message(fields.sqlstate, message) or fields)


def _of_distributed_table(fields: ErrorFields) -> ErrorFields:
    """Return the fields without the number of a shard, if they name one of an entity's table."""
    numbered = _NUMBERED.fullmatch(fields.table or "")
    names = {table.name for table in _tables()}
    if numbered is None or fields.table in names:
        return fields
    base, number = numbered.groups()
    constraint = None if fields.constraint is None else fields.constraint.removesuffix(number)
    if (rule := _rule(constraint or "")) is not None:
        return fields._replace(constraint=rule.name, table=rule.table)
    if base in names or _partitioned_table(base) is not None:
        return fields._replace(constraint=constraint, table=base)
    return fields


def _partitioned_table(name: str) -> Table | None:
    """Return the table that has a partition of this name."""
    partition = _PARTITION.fullmatch(name)
    return None if partition is None else domain.metadata.tables.get(partition[1])


def _of_partitioned_table(fields: ErrorFields) -> ErrorFields:
    table = _partitioned_table(fields.table or "")
    if table is None:
        return fields
    is_key = fields.constraint is not None and _KEY.fullmatch(fields.constraint)
    constraint = str(table.primary_key.name) if is_key else fields.constraint
    return fields._replace(constraint=constraint, table=table.name)


def _may_be_of_shard(sqlstate: str, function: str | None) -> bool:
    return sqlstate.startswith("23") or (sqlstate == INTERNAL_ERROR and function == _COPY_FUNCTION)


def _from_message(sqlstate: str, message: str) -> ErrorFields | None:
    state = None if sqlstate == INTERNAL_ERROR else sqlstate
    bases: list[str] = _SHARD_NAME.findall(message)
    # The name of a CHECK has no number.
    names = [*bases, *_QUOTED.findall(message)]
    for find in (_violated_rule, _violated_partition, _missing_value):
        fields = next(filter(None, (find(name, message, state) for name in names)), None)
        if fields is not None:
            return fields
    if state is None:
        for text, code in _COPY_MESSAGES.items():
            if message.startswith(text):
                return ErrorFields(code)
    return None


def _violated_rule(base: str, _: str, state: str | None) -> ErrorFields | None:
    rule = _rule(base)
    return None if rule is None else ErrorFields(state or rule.sqlstate, rule.name, rule.table)


def _missing_value(base: str, message: str, state: str | None) -> ErrorFields | None:
    # A partition has the columns of its table.
    named = [one for one in _tables() if base == one.name or base.startswith(f"{one.name}_")]
    table = max(named, key=lambda one: len(one.name), default=None)
    if table is None:
        return None
    column = next((name for name in _QUOTED.findall(message) if name in table.c), None)
    if state is None and column is None:
        return None
    return ErrorFields(state or _NULL, None, base, column)


def _violated_partition(base: str, _: str, state: str | None) -> ErrorFields | None:
    partition = _KEY.fullmatch(base)
    if partition is None or not any(base.startswith(f"{one.name}_") for one in _tables()):
        return None
    return ErrorFields(state or _DUPLICATE, base, partition[1])


def _tables() -> list[Table]:
    # `domain.metadata` imports every entity of the library.
    return [*domain.metadata.sorted_tables, *application_metadata.sorted_tables]


class _Rule(NamedTuple):
    name: str
    table: str
    sqlstate: str


def _rule(base: str) -> _Rule | None:
    rules = _rules(tuple(table.name for table in _tables()))
    if base in rules:
        return rules[base]
    # Citus cuts a name that would have more than 63 bytes, and adds a hash of it.
    shortened = _SHORTENED.fullmatch(base)
    if shortened is None:
        return None
    longer = [rule for name, rule in rules.items() if name.startswith(shortened[1])]
    return longer[0] if len(longer) == 1 else None


@cache
def _rules(names: tuple[str, ...]) -> dict[str, _Rule]:
    del names  # the key of the cache: an application can register more tables
    return {rule.name: rule for rule in _each_rule()}


def _each_rule() -> Iterator[_Rule]:
    for table in _tables():
        rules: list[Constraint | Index] = [*table.constraints, *table.indexes]
        for rule in rules:
            kind = next((each for each in _STATES if isinstance(rule, each)), None)
            name = constraint_name(rule)
            if kind is not None and name is not None:
                yield _Rule(str(name), table.name, _STATES[kind])
