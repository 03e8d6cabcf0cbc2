"""Statements compiled once, with the functions that convert their parameters and their rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import CompoundSelect, Select
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.sql.dml import Insert, UpdateBase
from sqlalchemy.sql.selectable import ForUpdateArg
from sqlmodel.sql.sqltypes import UTCDateTime

from domain.schema.columns import FrozenJsonb
from domain.values.jsonb import dumps, freeze
from repositories.sql.traversal import parts

if TYPE_CHECKING:
    from asyncpg import Record
    from sqlalchemy import Dialect, Executable
    from sqlalchemy.types import TypeEngine

Row = dict[str, Any]
Process = Callable[[Any], Any]

_dialect: Final[Callable[..., Dialect]] = PGDialect_asyncpg  # its constructor has no annotations
_import_dbapi: Final[Callable[[], Any]] = PGDialect_asyncpg.import_dbapi  # nor has this method
DIALECT: Final = _dialect(
    dbapi=_import_dbapi(), json_serializer=dumps, json_deserializer=json.loads
)
"""The dialect of every engine; the SQL of a statement does not depend on the connection."""

_NUMERIC: Final = 1700
"""PostgreSQL's type id of `numeric`.

For it, SQLAlchemy keeps the driver's decimals and converts to float in a column of floats. For a
type of floats it would round decimals to ten digits.
"""

_compiled_statements: Final[WeakKeyDictionary[Executable, CompiledStatement | None]] = (
    WeakKeyDictionary()
)


@dataclass(frozen=True, slots=True)
class CompiledStatement:
    """A compiled statement.

    Attributes:
        sql: the text of the statement.
        values: the driver's arguments, in order, with None in place of named parameters.
        binds: the position, name and converter of each named parameter.
        decoders: for each column, the function that converts the driver's value, or None.
        reads: whether it only reads: it locks no rows, and no part of it writes.
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


def compiled_statement(statement: Executable) -> CompiledStatement | None:
    """Return the compiled statement.

    It is None for text, and if the SQL depends on the values, as with IN.
    """
    try:
        return _compiled_statements[statement]
    except KeyError:
        is_known = isinstance(statement, Select | CompoundSelect | Insert)
        compiled = _compile(statement) if is_known else None
        _compiled_statements[statement] = compiled
        return compiled


def _compile(statement: Any) -> CompiledStatement | None:
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
    return CompiledStatement(
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
    if isinstance(column_type, UTCDateTime):
        return _to_utc
    if isinstance(column_type, FrozenJsonb):
        return freeze  # the driver has parsed the JSON
    return implementation.result_processor(DIALECT, _NUMERIC)


def _to_utc(value: datetime | None) -> datetime | None:
    # The driver returns the first and the last datetime of Python without a time zone.
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value
