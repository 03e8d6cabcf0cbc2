"""Isolation levels of transactions, and the messages of conflicts on every store."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

OPERATION_KEY: Final = "pk_committed_operations"
"""The constraint that admits one committed unit of work per operation id."""

ROWS_GONE: Final = "another transaction changed or deleted the same rows"
"""The message of `Conflict` if a changed row no longer exists."""

TRACKED_ELSEWHERE: Final = (
    "another open unit of work tracks this entity: end it first, or add a copy of the entity"
)
TRACKED_TWICE: Final = (
    "this unit of work tracks another object of the same row: change that object instead"
)


class Isolation(StrEnum):
    """PostgreSQL's isolation levels: which commits of others a unit of work sees.

    Above READ COMMITTED, any statement and the commit may raise `Conflict`: use `Database.run`.
    """

    READ_COMMITTED = "read committed"
    """Each statement sees what is committed when it begins."""

    REPEATABLE_READ = "repeatable read"
    """All statements see what was committed when the first one began.

    Changing a row that another transaction changed since then raises `Conflict`.
    """

    SERIALIZABLE = "serializable"
    """As if units of work ran one after the other; not available on a standby."""
