"""Statements on the driver's own connection: compiled once, executed in SQLAlchemy's transaction.

To read one row by its key, SQLAlchemy's cursors and rows take two and a half times as long as the
driver, and an entity of the ORM more than five times. The engine's logger, and therefore `echo`,
shows these statements. SQLAlchemy's cursor events do not fire for them; the driver's
`add_query_logger` does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import CompoundSelect, Select, exc
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.sql.dml import Insert, UpdateBase
from sqlalchemy.sql.selectable import ForUpdateArg
from sqlalchemy.types import Float, Numeric
from sqlmodel.sql.sqltypes import UTCDateTime

from domain.schema.columns import FrozenJsonb
from domain.values.jsonb import dumps, freeze
from domain.values.turns import slices
from repositories.postgres.engine import outdates_pool
from repositories.postgres.errors import Phase
from repositories.postgres.pool import GuardedPool
from repositories.sql.traversal import parts

if TYPE_CHECKING:
    from asyncpg import Record
    from sqlalchemy import Connection, Dialect, Executable, RowMapping
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session
    from sqlalchemy.types import TypeEngine

Row = dict[str, Any]
Process = Callable[[Any], Any]

_dialect: Final[Callable[..., Dialect]] = PGDialect_asyncpg  # its constructor has no annotations
_import_dbapi: Final[Callable[[], Any]] = PGDialect_asyncpg.import_dbapi  # nor has this method
DIALECT: Final = _dialect(
    dbapi=_import_dbapi(), json_serializer=dumps, json_deserializer=json.loads
)
"""The dialect of every engine; the SQL of a statement does not depend on the connection."""

_FLOATS: Final = 1022
"""PostgreSQL's type id of `double precision[]`, the only array of numbers that is selected here."""

_prepared: Final[WeakKeyDictionary[Executable, Prepared | None]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A compiled statement.

    Attributes:
        sql: The text of the statement.
        values: The driver's arguments, in order, with None in place of named parameters.
        binds: The position, name and converter of each named parameter.
        decoders: For each column, the function that converts the driver's value, or None.
        reads: Whether it only reads: it locks no rows, and no part of it writes.
    """

    sql: str
    values: Sequence[Any]
    binds: Sequence[tuple[int, str, Process | None]]
    decoders: Sequence[Process | None]
    reads: bool

    def arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        """Return the driver's arguments, in order."""
        arguments = list(self.values)
        for position, name, encode in self.binds:
            arguments[position] = _processed(parameters[name], encode)
        return arguments

    def rows(self, records: Sequence[Record]) -> list[Row]:
        """Return the records as dictionaries by the names of the columns."""
        names = records[0].keys() if records else ()
        return self.decoded(names, [dict(record.items()) for record in records])

    def decoded(self, names: Iterable[str], rows: list[Row]) -> list[Row]:
        """Convert the driver's values in place, and return the rows with these columns."""
        if rows:
            for name, decode in zip(names, self.decoders, strict=True):
                if decode is not None:
                    for row in rows:
                        row[name] = decode(row[name])
        return rows


async def fetch(
    session: AsyncSession,
    connection: Connection,
    statement: Executable,
    values: Mapping[str, Any],
    *,
    commits_itself: bool = False,
) -> list[Row]:
    """Execute the statement on the session's connection, and return its rows.

    A transaction begins before the first statement that writes, unless it `commits_itself`.

    It raises errors that `repositories.postgres.errors.translate` accepts. A connection that was
    lost or interrupted during a statement is invalidated, as SQLAlchemy does.
    """
    prepared, arguments = _with_arguments(statement, values)
    if prepared is None:
        return [dict(row) for row in (await session.execute(statement, values)).mappings()]
    if not (prepared.reads or commits_itself or has_begun(connection)):
        return await begin_and_fetch(session, connection, statement, values)
    driver: Any = connection.connection.driver_connection
    connection.engine.logger.info(prepared.sql)
    try:
        records = await driver.fetch(prepared.sql, *arguments)
    except BaseException as error:
        lost = driver.is_closed() or not isinstance(error, Exception)
        if lost or outdates_pool(error, connection):
            await session.run_sync(_invalidate, connection, error)
        if not isinstance(error, Exception):
            raise
        raise exc.DBAPIError(
            prepared.sql, tuple(arguments), error, hide_parameters=True, connection_invalidated=lost
        ) from error
    return [row async for part in slices(records) for row in prepared.rows(part)]


async def begin_and_fetch(
    session: AsyncSession,
    connection: Connection,
    statement: Executable,
    values: Mapping[str, Any],
) -> list[Row]:
    """Do the same for the first statement of a transaction, before which SQLAlchemy sends BEGIN.

    SQLAlchemy sends the text of the statement: its own statements take 0.2 ms longer.
    """
    prepared, arguments = _with_arguments(statement, values)
    if prepared is None:
        return [dict(row) for row in (await session.execute(statement, values)).mappings()]

    def send(_: Session) -> tuple[Iterable[str], Sequence[RowMapping]]:
        result = connection.exec_driver_sql(prepared.sql, tuple(arguments))
        return result.keys(), result.mappings().all()

    names, sent = await session.run_sync(send)
    return [
        row async for part in slices(sent) for row in prepared.decoded(names, [*map(dict, part)])
    ]


def _with_arguments(
    statement: Executable, values: Mapping[str, Any]
) -> tuple[Prepared | None, list[Any]]:
    try:
        prepared = prepare(statement)
        return prepared, [] if prepared is None else prepared.arguments(values)
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


def prepare(statement: Executable) -> Prepared | None:
    """Return the compiled statement.

    It is None for text, and if the SQL depends on the values, as with IN.
    """
    try:
        return _prepared[statement]
    except KeyError:
        is_known = isinstance(statement, Select | CompoundSelect | Insert)
        prepared = _compile(statement) if is_known else None
        _prepared[statement] = prepared
        return prepared


def _compile(statement: Any) -> Prepared | None:
    compiled = statement.compile(dialect=DIALECT)
    if compiled.post_compile_params:
        return None
    order = compiled.positiontup or []
    # A parameter without a value has an explicit name; SQLAlchemy generates the other names.
    named = {name for name in order if not compiled.binds[name].unique}
    values = compiled.construct_params(dict.fromkeys(named))
    encoders = {
        name: compiled.binds[name].type.dialect_impl(DIALECT).bind_processor(DIALECT)
        for name in order
    }
    return Prepared(
        sql=str(compiled),
        values=[
            None if name in named else _processed(values[name], encoders[name]) for name in order
        ],
        binds=[
            (position, name, encoders[name]) for position, name in enumerate(order) if name in named
        ],
        decoders=[_decoder(column.type) for column in statement.exported_columns],
        reads=not any(isinstance(part, ForUpdateArg | UpdateBase) for part in parts(statement)),
    )


def _processed(value: Any, process: Process | None) -> Any:
    return value if process is None else process(value)


def _decoder(column_type: TypeEngine[Any]) -> Process | None:
    implementation = column_type.dialect_impl(DIALECT)
    if isinstance(implementation, Float):
        return _to_float
    if isinstance(column_type, UTCDateTime):
        return _to_utc
    if isinstance(column_type, FrozenJsonb):
        return freeze  # the driver has parsed the JSON
    # For other numbers, the driver's decimals need no conversion.
    return (
        None
        if isinstance(implementation, Numeric)
        else implementation.result_processor(DIALECT, _FLOATS)
    )


def _to_float(value: Any) -> float | None:
    return None if value is None else float(value)


def _to_utc(value: datetime | None) -> datetime | None:
    # The driver returns the first and the last datetime of Python without a time zone.
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value
