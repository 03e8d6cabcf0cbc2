"""Statements on the driver's own connection: compiled once, sent in SQLAlchemy's transaction.

SQLAlchemy's cursors and rows take two and a half times as long as the driver for one row by its
key, an entity of the ORM more than five times. The engine's logger, and with it `echo`, shows these
statements. SQLAlchemy's cursor events do not see them; the driver's `add_query_logger` does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import CompoundSelect, Select, exc
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.types import Float, Numeric
from sqlmodel.sql.sqltypes import UTCDateTime

from domain.schema.columns import FrozenJsonb
from domain.values.jsonb import dumps, freeze
from repositories.postgres.engine import outdates_pool
from repositories.postgres.errors import Phase
from repositories.postgres.pool import GuardedPool

if TYPE_CHECKING:
    from asyncpg import Record
    from sqlalchemy import Executable
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.types import TypeEngine

Row = dict[str, Any]
Process = Callable[[Any], Any]

DIALECT: Final = PGDialect_asyncpg(json_serializer=dumps, json_deserializer=json.loads)  # type: ignore[no-untyped-call]
"""As the engine's; what a statement is to the driver does not depend on the connection."""

_FLOATS: Final = 1022
"""PostgreSQL's number for an array of double precision, the one kind of array of numbers that is selected here."""

_prepared: Final[WeakKeyDictionary[Executable, Prepared | None]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A compiled statement.

    `values` are its own, in their places; `binds` are the named ones, with a value for each
    execution.
    """

    sql: str
    values: Sequence[Any]
    binds: Sequence[tuple[int, str, Process | None]]
    decoders: Sequence[Process | None]
    """For each column, what converts the driver's value; None where nothing has to be converted."""

    def arguments(self, given: Mapping[str, Any]) -> list[Any]:
        """Return the driver's arguments, in order."""
        arguments = list(self.values)
        for place, name, encode in self.binds:
            arguments[place] = _processed(given[name], encode)
        return arguments

    def rows(self, records: Sequence[Record]) -> list[Row]:
        """Return the records as dictionaries by the names of the columns."""
        rows: list[Row] = [dict(record.items()) for record in records]
        if records:
            for name, decode in zip(records[0].keys(), self.decoders, strict=True):
                if decode is not None:
                    for row in rows:
                        row[name] = decode(row[name])
        return rows


async def fetch(
    connection: AsyncConnection, statement: Executable, values: Mapping[str, Any]
) -> list[Row]:
    """Execute the statement in whatever transaction there is, and return its rows.

    Raises what `repositories.postgres.errors.translate` knows. A connection that was lost, or left
    in the middle of a statement, is marked for the pool as SQLAlchemy would.
    """
    try:
        prepared = prepare(statement)
        arguments = [] if prepared is None else prepared.arguments(values)
    except (ValueError, TypeError, OverflowError, LookupError, RecursionError) as error:
        raise exc.StatementError(
            "a value does not fit its type", None, None, error, hide_parameters=True
        ) from error
    if prepared is None:
        return [dict(row) for row in (await connection.execute(statement, values)).mappings()]
    sync: Any = connection.sync_connection
    driver = sync.connection.driver_connection
    sync.engine.logger.info(prepared.sql)
    try:
        records = await driver.fetch(prepared.sql, *arguments)
    except BaseException as error:
        lost = driver.is_closed() or not isinstance(error, Exception)
        await _invalidate(connection, error, lost=lost)
        if not isinstance(error, Exception):
            raise
        raise exc.DBAPIError(
            prepared.sql, tuple(arguments), error, hide_parameters=True, connection_invalidated=lost
        ) from error
    return prepared.rows(records)


async def _invalidate(connection: AsyncConnection, error: BaseException, *, lost: bool) -> None:
    """Close a connection that cannot be used any more.

    After a failure of the server, the pool replaces its other connections too.
    """
    sync: Any = connection.sync_connection
    if not (lost or outdates_pool(error, sync)):
        return
    pool = sync.engine.pool
    if isinstance(error, Exception) and isinstance(pool, GuardedPool):
        pool.renew()
    await connection.invalidate(error)


def commit_phase(connection: AsyncConnection) -> Phase:
    """Return the phase of a COMMIT that comes next.

    On a connection that is known to be closed, COMMIT is never sent, so that nothing is unknown.
    """
    sync: Any = connection.sync_connection
    lost = sync.invalidated or sync.connection.driver_connection.is_closed()
    return Phase.WORK if lost else Phase.COMMIT


def has_begun(connection: AsyncConnection) -> bool:
    """Whether the server is inside a transaction.

    SQLAlchemy sends BEGIN with the first statement of its own.
    """
    sync: Any = connection.sync_connection
    return bool(sync.connection.driver_connection.is_in_transaction())


def prepare(statement: Executable) -> Prepared | None:
    """Return the compiled statement.

    None for text, and where the SQL depends on the values, as that of IN does.
    """
    try:
        return _prepared[statement]
    except KeyError:
        prepared = _compile(statement) if isinstance(statement, Select | CompoundSelect) else None
        _prepared[statement] = prepared
        return prepared


def _compile(statement: Select[Any] | CompoundSelect[Any]) -> Prepared | None:
    compiled = statement.compile(dialect=DIALECT)
    if compiled.post_compile_params:
        return None
    order = compiled.positiontup or []
    # A bind without a value of its own has a name that was given to it; every other's is made up.
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
        binds=[(place, name, encoders[name]) for place, name in enumerate(order) if name in named],
        decoders=[_decoder(column.type) for column in statement.exported_columns],
    )


def _processed(value: Any, process: Process | None) -> Any:
    return value if process is None else process(value)


def _decoder(kind: TypeEngine[Any]) -> Process | None:
    implementation = kind.dialect_impl(DIALECT)
    if isinstance(implementation, Float):
        return _to_float
    if isinstance(kind, UTCDateTime):
        return _to_utc
    if isinstance(kind, FrozenJsonb):
        return freeze  # what the driver has parsed
    # The driver's decimals are what is wanted of other numbers.
    return (
        None
        if isinstance(implementation, Numeric)
        else implementation.result_processor(DIALECT, _FLOATS)
    )


def _to_float(value: Any) -> float | None:
    return None if value is None else float(value)


def _to_utc(value: datetime | None) -> datetime | None:
    # The driver's moments are in UTC, but for the first and the last that Python has: those come
    # without a zone.
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value
