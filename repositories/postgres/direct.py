"""Sends compiled statements on the driver's own connection, in SQLAlchemy's transaction.

To read one row by its key, SQLAlchemy's cursors and rows take two and a half times as long as the
driver, and an entity of the ORM more than five times. The engine's logger, and therefore `echo`,
shows these statements. SQLAlchemy's cursor events do not fire for them; the driver's
`add_query_logger` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import exc

from domain.values.turns import slices
from repositories.postgres.compiled_statements import CompiledStatement, Row, compiled_statement
from repositories.postgres.engine import outdates_pool
from repositories.postgres.errors import Phase
from repositories.postgres.pool import GuardedPool

if TYPE_CHECKING:
    from asyncpg import Record
    from sqlalchemy import Connection, Executable, RowMapping
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session


async def fetch(
    session: AsyncSession,
    connection: Connection,
    statement: Executable,
    values: Mapping[str, Any],
    *,
    needs_begin: bool = False,
    commits_itself: bool = False,
) -> list[Row]:
    """Execute the statement on the session's connection, and return its rows.

    It raises errors that `repositories.postgres.errors.translate` accepts. A connection that was
    lost or interrupted during a statement is invalidated, as SQLAlchemy does.

    Args:
        session: the session.
        connection: its connection.
        statement: the statement.
        values: the values of its named parameters.
        needs_begin: whether a transaction begins before it even if it only reads.
        commits_itself: whether it is sent outside of a transaction even if it writes.
    """
    compiled, arguments = _with_arguments(statement, values)
    if compiled is None:
        return [dict(row) for row in (await session.execute(statement, values)).mappings()]
    in_transaction = needs_begin or not (compiled.reads or commits_itself)
    if in_transaction and not has_begun(connection):
        return await _begin_and_fetch(session, connection, compiled, arguments)
    records = await _send(session, connection, compiled.sql, arguments)
    return [row async for part in slices(records) for row in compiled.rows(part)]


async def _send(
    session: AsyncSession, connection: Connection, sql: str, arguments: Sequence[Any]
) -> Sequence[Record]:
    driver: Any = connection.connection.driver_connection
    connection.engine.logger.info(sql)
    try:
        records: Sequence[Record] = await driver.fetch(sql, *arguments)
    except BaseException as error:
        lost = driver.is_closed() or not isinstance(error, Exception)
        if lost or outdates_pool(error, connection):
            await session.run_sync(_invalidate, connection, error)
        if not isinstance(error, Exception):
            raise
        raise exc.DBAPIError(
            sql, tuple(arguments), error, hide_parameters=True, connection_invalidated=lost
        ) from error
    return records


async def _begin_and_fetch(
    session: AsyncSession,
    connection: Connection,
    compiled: CompiledStatement,
    arguments: Sequence[Any],
) -> list[Row]:
    """Execute the first statement of a transaction, before which SQLAlchemy sends BEGIN.

    SQLAlchemy sends the text of the statement: its own statements take 0.2 ms longer.
    """

    def send(_: Session) -> tuple[Iterable[str], Sequence[RowMapping]]:
        result = connection.exec_driver_sql(compiled.sql, tuple(arguments))
        return result.keys(), result.mappings().all()

    names, sent = await session.run_sync(send)
    return [
        row async for part in slices(sent) for row in compiled.decoded(names, [*map(dict, part)])
    ]


def _with_arguments(
    statement: Executable, values: Mapping[str, Any]
) -> tuple[CompiledStatement | None, list[Any]]:
    try:
        compiled = compiled_statement(statement)
        return compiled, [] if compiled is None else compiled.arguments(values)
    except (ValueError, TypeError, OverflowError, LookupError, RecursionError) as error:
        raise exc.StatementError(
            "a value does not fit its type", None, None, error, hide_parameters=True
        ) from error


def _invalidate(_: Session, connection: Connection, error: BaseException) -> None:
    """Close a connection that is no longer usable.

    If the error concerns the server, the pool replaces its other connections too.
    """
    pool = connection.engine.pool
    if isinstance(error, Exception) and isinstance(pool, GuardedPool):
        pool.renew()
    connection.invalidate(error)


def commit_phase(connection: Connection) -> Phase:
    """Return the phase of the COMMIT that follows.

    On a closed connection, COMMIT is not sent, so the outcome is not unknown.
    """
    driver: Any = None if connection.invalidated else connection.connection.driver_connection
    lost = driver is None or driver.is_closed()
    return Phase.WORK if lost else Phase.COMMIT


def has_begun(connection: Connection) -> bool:
    """Return whether the server is in a transaction.

    SQLAlchemy sends BEGIN with its own first statement.
    """
    driver: Any = connection.connection.driver_connection
    return bool(driver.is_in_transaction())
