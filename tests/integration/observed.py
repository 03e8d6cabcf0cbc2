"""Record the statements that a database receives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from repositories import Database
from repositories.postgres.connection import Connection


@contextmanager
def statements_of(database: Database) -> Iterator[list[str]]:
    """Note every statement that is sent meanwhile.

    By SQLAlchemy's cursors, and on the driver's own connection.
    """
    statements: list[str] = []
    fetch = Connection.fetch

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    async def noted(connection: Connection, query: str, *arguments: Any, **options: Any) -> Any:
        statements.append(query)
        return await fetch(connection, query, *arguments, **options)

    engines = (database.engine.sync_engine, database.read_engine.sync_engine)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Connection, "fetch", noted)
            yield statements
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
