"""Many rows in one statement: out of arrays, or out of a table in which they were laid ready."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    Select,
    Text,
    TextClause,
    bindparam,
    case,
    cast,
    collate,
    column,
    func,
    literal_column,
    select,
    table,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB, Insert, insert
from sqlalchemy.dialects.postgresql import distinct_on as only_the_first
from sqlalchemy.types import TypeDecorator

from domain.schema.base import Entity
from domain.schema.columns import EnumText
from domain.values.numbers import INT32_MAX
from repositories.sql.caching import cached_statement
from repositories.sql.upsert import given, or_default, written_columns

STAGE_SCHEMA: Final = "pg_temp"
"""Where rows are laid ready. It is always named: the search path looks there last."""

POSITION: Final = "recollect_position"
"""The column with the place of a row among those that were given."""

SORT_MEMORY: Final = "64MB"
"""For putting them in order; what does not fit is sorted on disk."""

_LIMITS: Final = ("work_mem", "statement_timeout")


class PackedArray(TypeDecorator[Any]):
    """An array as JSON.

    PostgreSQL's arrays of arrays are matrices, whose rows are all of one length.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[object] | None, dialect: object) -> str | None:
        return (
            None
            if value is None
            else json.dumps([None if item is None else str(item) for item in value])
        )


@cached_statement
def insert_arrays(entity: type[Entity]) -> Insert:
    """Insert rows out of one array for each column, in the order of the arrays.

    The parameters are named as in `upsert`.
    """
    columns = written_columns(entity)
    arrays = (
        bindparam(given(column), type_=ARRAY(_packed(column), dimensions=1)) for column in columns
    )
    rows = (
        func.unnest(*arrays)
        .table_valued(*(_named(column) for column in columns))
        .render_derived(name="given")
    )
    values = [or_default(column, _unpacked(column, rows.c[column.name])) for column in columns]
    return insert(entity.__table__).from_select(
        [column.name for column in columns], select(*values)
    )


@cached_statement
def insert_staged(entity: type[Entity], key: tuple[str, ...], *, latest: bool) -> Insert:
    """Insert the rows that lie ready, in the order of their key and then of their place.

    With `latest` the last of equal ones stands for all of them.
    """
    columns = written_columns(entity)
    kept_there = (*(Column(column.name, column.type) for column in columns), column(POSITION))
    stage = table(stage_of(entity), *kept_there, schema=STAGE_SCHEMA)
    order = [_bytewise(stage.c[name]) for name in key]
    place = stage.c[POSITION]
    rows = select(*(or_default(column, stage.c[column.name]) for column in columns))
    rows = rows.order_by(*order, place.desc() if latest else place)
    if latest:
        rows = rows.ext(only_the_first(*order))
    return insert(entity.__table__).from_select([column.name for column in columns], rows)


def stage_of(entity: type[Entity]) -> str:
    """Return the name of the temporary table in which rows of an entity are laid ready."""
    return f"recollect_stage_{entity.__tablename__}"


def create_stage(entity: type[Entity]) -> TextClause:
    """Create the temporary table for the rows of an entity.

    Without rules, and rows of up to a page are kept in one piece.
    """
    columns = ", ".join(f'"{column.name}"' for column in written_columns(entity))
    return text(
        f"CREATE TEMPORARY TABLE {stage_of(entity)} WITH (toast_tuple_target = 8160) ON COMMIT DROP AS "  # noqa: S608 -- our own names
        f"SELECT {columns}, 0::bigint AS {POSITION} FROM {entity.__tablename__} WITH NO DATA"
    )


def drop_stage(entity: type[Entity]) -> TextClause:
    """Drop that table before the transaction ends."""
    return text(f"DROP TABLE {STAGE_SCHEMA}.{stage_of(entity)}")


def allowances(entity: type[Entity]) -> Select[bool, bool]:
    """Ask whether the role may fill the table by COPY, as `may_copy`, and create temporary tables,
    as `may_stage`.

    PostgreSQL refuses COPY where a policy decides which rows may be written.
    """
    return select(
        ~func.row_security_active(entity.__tablename__).label("may_copy"),
        func.has_database_privilege(func.current_database(), "TEMPORARY").label("may_stage"),
    )


def limits() -> Select[str, str]:
    """Ask in how much memory a statement may sort, as `work_mem`, and how long it may take, as `statement_timeout`."""
    return select(*(func.current_setting(name).label(name) for name in _LIMITS))


def set_limits(**limits: str) -> Select[str, str]:
    """Set them for the rest of the transaction."""
    return select(*(func.set_config(name, limits[name], true()) for name in _LIMITS))


def raise_limits(statements: int) -> Select[str, str]:
    """Let one statement do the work of so many.

    It may sort in `SORT_MEMORY`, and take the time of all of them.
    """
    settings = table("pg_settings", column("name"), column("setting"))
    together = func.least(cast(settings.c.setting, BigInteger) * statements, INT32_MAX)
    raised = (
        func.set_config("work_mem", SORT_MEMORY, true()),
        func.set_config("statement_timeout", cast(together, Text), true()),
    )
    return select(*raised).where(settings.c.name == "statement_timeout")


def _named(column: Column[Any]) -> ColumnElement[Any]:
    name: ColumnElement[Any] = Column(column.name, _packed(column))
    return name


def _packed(column: Column[Any]) -> Any:
    return PackedArray() if isinstance(column.type, ARRAY) else column.type


def _unpacked(column: Column[Any], value: ColumnElement[Any]) -> ColumnElement[Any]:
    if not isinstance(column.type, ARRAY):
        return value
    items = func.jsonb_array_elements_text(cast(value, JSONB)).column_valued("item")
    array = func.array(
        select(cast(items, column.type.item_type)).scalar_subquery(), type_=column.type
    )
    return case((value.is_not(None), array), else_=literal_column("NULL"))


def _bytewise(column: ColumnElement[Any]) -> ColumnElement[Any]:
    # As Python orders strings: writers that lock the same rows in another order deadlock.
    return collate(column, "C") if isinstance(column.type, (Text, EnumText)) else column
