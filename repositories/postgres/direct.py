"""Statements on the driver's own connection: compiled once, executed inside SQLAlchemy's
transaction, without its rows.

By SQLAlchemy's own path one row by its key costs two and a half times what the driver takes, an
entity of the ORM more than five times. Whoever listens to the engine's `before_cursor_execute` and
`after_cursor_execute` hears of these statements too, with None for the cursor; `echo` logs them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import starmap
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import WeakKeyDictionary

from sqlalchemy import exc
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import Float, Numeric
from sqlalchemy.util import LRUCache
from sqlmodel.sql.sqltypes import UTCDateTime

from domain.schema.columns import FrozenJsonb
from domain.values.jsonb import dumps, freeze

if TYPE_CHECKING:
    from sqlalchemy import Executable
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.sql import ClauseElement
    from sqlalchemy.types import TypeEngine

Row = dict[str, Any]
Process = Callable[[Any], Any]

DIALECT: Final = PGDialect_asyncpg(json_serializer=dumps, json_deserializer=json.loads)  # type: ignore[no-untyped-call]
"""As the engine's; what a statement is to the driver does not depend on the connection."""

_FLOATS: Final = 1022
"""PostgreSQL's number for an array of double precision, the one kind of array of numbers that is selected here."""

_INTERNAL_ERROR: Final = "XX000"
_READ_ONLY: Final = "25006"

_KEPT: Final = 512
_shapes: Final = LRUCache[Any, Any](_KEPT)
_prepared: Final[WeakKeyDictionary[Executable, Prepared | None]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement in the driver's words.

    `values` are its own, in their places; `binds` are given when it is executed.
    """

    sql: str
    values: Sequence[Any]
    binds: Sequence[tuple[int, str, Process | None]]
    row: Callable[..., Row]
    """Takes a record's values, and returns them by the names of the columns, as their types have them in Python."""

    def arguments(self, given: Mapping[str, Any]) -> list[Any]:
        """Return the driver's arguments, in order."""
        arguments = list(self.values)
        for place, name, encode in self.binds:
            value = given[name]
            arguments[place] = value if encode is None else encode(value)
        return arguments


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
    driver: Any = connection.sync_connection.connection.driver_connection  # type: ignore[union-attr]  # it was connected
    try:
        told = _tell(connection, prepared.sql, arguments)
        records = await driver.fetch(prepared.sql, *arguments)
        if told is not None:
            _tell_after(connection, told)
    except BaseException as error:
        lost = await _given_up(connection, driver, error)
        if not isinstance(error, Exception):
            raise
        raise exc.DBAPIError(
            prepared.sql, None, error, hide_parameters=True, connection_invalidated=lost
        ) from error
    return list(starmap(prepared.row, records))


async def _given_up(connection: AsyncConnection, driver: Any, error: BaseException) -> bool:
    """Take a connection that cannot go on from the pool, and others that may be as broken.

    Say whether it is lost.
    """
    interrupted = not isinstance(error, Exception)
    # Of types that are gone, such as those of an extension that was created anew, every connection
    # remembers the old ones.
    outdated = getattr(error, "sqlstate", None) == _INTERNAL_ERROR
    # A server that turned out to be read-only is no primary: there may be another by now. Who asked
    # for a reader has got one.
    declared = connection.sync_connection.get_execution_options().get("postgresql_readonly", False)  # type: ignore[union-attr]
    demoted = getattr(error, "sqlstate", None) == _READ_ONLY and not declared
    lost = driver.is_closed() or outdated or demoted or interrupted
    if lost and not interrupted:
        sync: Any = connection.sync_connection
        sync.engine.pool._invalidate(sync.connection, error)
    if lost:
        await connection.invalidate(error)
    return lost and not outdated and not demoted


def has_begun(connection: AsyncConnection) -> bool:
    """Whether the server is inside a transaction.

    SQLAlchemy sends BEGIN with the first statement of its own.
    """
    driver: Any = connection.sync_connection.connection.driver_connection  # type: ignore[union-attr]  # it was connected
    return bool(driver.is_in_transaction())


def prepare(statement: Executable) -> Prepared | None:
    """Return the statement in the driver's words, or None for text, and where the words depend on the values, as those of IN do."""
    try:
        return _prepared[statement]
    except KeyError:
        pass
    # Statements that differ in their values alone share what is compiled, by SQLAlchemy's own key
    # for them.
    compiled, own, *_ = cast("ClauseElement", statement)._compile_w_cache(
        DIALECT, compiled_cache=_shapes, column_keys=[]
    )
    prepared = None
    if (
        isinstance(compiled, SQLCompiler)
        and compiled._result_columns
        and not compiled.post_compile_params
    ):
        prepared = _describe(compiled, own)
    _prepared[statement] = prepared
    return prepared


def _describe(compiled: SQLCompiler, own: Any) -> Prepared:
    order = compiled.positiontup or []
    # A bind without a value of its own has a name that was given to it; every other's is made up.
    named = {name for name in order if not compiled.binds[name].unique}
    values = compiled.construct_params(dict.fromkeys(named), extracted_parameters=own)
    encoders = {
        name: compiled.binds[name].type.dialect_impl(DIALECT).bind_processor(DIALECT)
        for name in order
    }
    columns = [(column.keyname, _decoder(column.type)) for column in compiled._result_columns]
    return Prepared(
        sql=str(compiled),
        values=[
            _encoded(values[name], None if name in named else encoders[name]) for name in order
        ],
        binds=[(place, name, encoders[name]) for place, name in enumerate(order) if name in named],
        row=_row_of(columns),
    )


def _row_of(columns: Sequence[tuple[str, Process | None]]) -> Callable[..., Row]:
    # SavepointLog out as a function of so many values: a dictionary that is zipped and then corrected
    # takes twice as long.
    decoders = {
        f"decode_{place}": decode for place, (_, decode) in enumerate(columns) if decode is not None
    }
    values = [f"value_{place}" for place in range(len(columns))]
    items = (
        f"{name!r}: {value}" if decode is None else f"{name!r}: decode_{place}({value})"
        for place, ((name, decode), value) in enumerate(zip(columns, values, strict=True))
    )
    made: Callable[..., Row] = eval(f"lambda {', '.join(values)}: {{{', '.join(items)}}}", decoders)  # noqa: S307 -- our own words
    return made


def _encoded(value: Any, encode: Process | None) -> Any:
    return value if encode is None else encode(value)


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


def _tell(
    connection: AsyncConnection, sql: str, arguments: Sequence[Any]
) -> tuple[Any, ...] | None:
    """Tell who listens to the engine, as SQLAlchemy does before a statement of its own.

    Return what they heard, or None.
    """
    sync: Any = connection.sync_connection
    if sync.engine.echo:
        sync.engine.logger.info(sql)
    listeners = sync.dispatch
    if not (listeners.before_cursor_execute or listeners.after_cursor_execute):
        return None
    context, executemany = SimpleNamespace(), False
    told = (sync, None, sql, tuple(arguments), context, executemany)
    for hears in listeners.before_cursor_execute:
        hears(*told)
    return told


def _tell_after(connection: AsyncConnection, told: tuple[Any, ...]) -> None:
    sync: Any = connection.sync_connection
    for hears in sync.dispatch.after_cursor_execute:
        hears(*told)
