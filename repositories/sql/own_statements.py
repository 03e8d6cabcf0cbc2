"""Statements of an application: checks of them, and the tables that they change."""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy import CompoundSelect, Dialect, Executable, Select, Table, TextClause
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.expression import ClauseElement, Delete, UpdateBase

from domain.errors import InvalidInput
from repositories.sql.traversal import parts

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
    """Raise InvalidInput unless it is a statement that does not control the transaction."""
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
    if not isinstance(statement, Select | CompoundSelect | UpdateBase):
        return frozenset() if _first_word(statement) in _READS else None
    writes = [node for node in parts(statement) if isinstance(node, UpdateBase)]
    # Deleting a row also deletes the rows that refer to it.
    if any(isinstance(node, Delete) for node in writes):
        return None
    return frozenset(node.entity_description["table"] for node in writes)


def _first_word(statement: Executable) -> str:
    sql = (
        statement.text
        if isinstance(statement, TextClause)
        else str(_clause(statement).compile(dialect=_DIALECT()))
    )
    match = _FIRST_WORD.match(sql)
    return "" if match is None else match[1].lower()


def _clause(statement: Executable) -> ClauseElement:
    if not isinstance(statement, ClauseElement):
        raise InvalidInput("a statement of SQLAlchemy or SQLModel is needed", field="statement")
    return statement
