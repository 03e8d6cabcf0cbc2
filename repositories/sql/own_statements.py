"""Statements of an application: which of them are refused, and which tables they change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import CompoundSelect, Dialect, Executable, Select, Table, TextClause
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql import visitors
from sqlalchemy.sql.expression import ClauseElement, Delete, UpdateBase

from domain.errors import InvalidInput
from domain.schema.base import mappers

_FIRST_WORD: Final = re.compile(r"(?:\s|\(|;|--[^\n]*(?:\n|$)|/\*.*?\*/)*(\w+)", re.DOTALL)

_CONTROLS: Final = {
    **dict.fromkeys(("begin", "start", "commit", "end", "prepare"), "use `commit`"),
    **dict.fromkeys(("rollback", "abort"), "use `rollback`"),
    **dict.fromkeys(("savepoint", "release"), "use `savepoint`"),
    **dict.fromkeys(
        ("set", "reset", "discard"), "a unit of work sets its own tenant, role and time limits"
    ),
}

_DIALECT: Final[type[Dialect]] = postgresql.dialect

_READS: Final = frozenset({"select", "values", "table", "show"})


def require_statement(statement: object) -> None:
    """Raise InvalidInput for what is not a statement, or controls the transaction."""
    if not isinstance(statement, Executable):
        raise InvalidInput(
            "a statement is needed, such as `select(Review)`; wrap SQL in `sqlalchemy.text(…)`",
            field="statement",
        )
    if isinstance(statement, Select | CompoundSelect | UpdateBase):
        return
    word = _first_word(statement)
    if word in _CONTROLS:
        raise InvalidInput(
            f"{word.upper()} controls the transaction, which belongs to the unit of work:"
            f" {_CONTROLS[word]}",
            field="statement",
        )


def changed_tables(statement: Executable) -> frozenset[Table] | None:
    """Return the tables whose rows the statement may change; None stands for any table."""
    if isinstance(statement, Select | CompoundSelect | UpdateBase):
        return frozenset(_written(statement))
    return frozenset() if _first_word(statement) in _READS else None


def _first_word(statement: Executable) -> str:
    sql = (
        statement.text
        if isinstance(statement, TextClause)
        else str(_clause(statement).compile(dialect=_DIALECT()))
    )
    match = _FIRST_WORD.match(sql)
    return "" if match is None else match[1].lower()


def _written(statement: Any) -> Iterator[Table]:
    for node in visitors.iterate(statement):
        if isinstance(node, UpdateBase):
            table = node.entity_description["table"]
            yield table
            if isinstance(node, Delete):
                yield from _children(table)


def _children(table: Any) -> set[Table]:
    """Return the tables whose rows are deleted with a row of the table."""
    tables = {mapper.local_table for mapper in mappers.mappers}
    parents, children = {table}, set[Table]()
    while parents:
        parents = {
            child
            for child in tables
            if isinstance(child, Table)
            and child not in children
            and any(key.referred_table in parents for key in child.foreign_key_constraints)
        }
        children |= parents
    return children


def _clause(statement: Executable) -> ClauseElement:
    if not isinstance(statement, ClauseElement):
        raise InvalidInput("a statement of SQLAlchemy or SQLModel is needed", field="statement")
    return statement
