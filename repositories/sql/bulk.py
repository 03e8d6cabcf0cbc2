"""Many rows in one statement: from arrays, or from a staging table."""

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
from repositories.sql.upsert import or_default, parameter_name, written_columns

STAGING_SCHEMA: Final = "pg_temp"
"""Schema of staging tables. Statements always name it, because the search path ends with it."""

POSITION: Final = "recollect_position"
"""Column with the position of a row in the input."""

SORT_MEMORY: Final = "64MB"
"""Memory for sorting staged rows; the rest is sorted on disk."""

_LIMITS: Final = ("work_mem", "statement_timeout")


class PackedArray(TypeDecorator[Any]):
    """An array as JSON, because the rows of a PostgreSQL array of arrays have one length."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[object] | None, dialect: object) -> str | None:
        """Return the values as the driver's array."""
        return (
            None
            if value is None
            else json.dumps([None if item is None else str(item) for item in value])
        )


@cached_statement
def insert_arrays(entity: type[Entity]) -> Insert:
    """Return the statement that inserts rows from one array per column, in their order.

    `upsert.parameter_name` names the parameters.
    """
    columns = written_columns(entity)
    arrays = (
        bindparam(parameter_name(column), type_=ARRAY(_packed(column), dimensions=1))
        for column in columns
    )
    rows = (
        func.unnest(*arrays)
        .table_valued(*(_named(column) for column in columns))
        .render_derived(name="new_rows")
    )
    values = [or_default(column, _unpacked(column, rows.c[column.name])) for column in columns]
    return insert(entity.__table__).from_select(
        [column.name for column in columns], select(*values)
    )


@cached_statement
def insert_staged(entity: type[Entity], key: tuple[str, ...], *, latest: bool) -> Insert:
    """Return the statement that inserts the staged rows, ordered by key and position.

    With `latest`, of rows with equal keys only the last is inserted.
    """
    columns = written_columns(entity)
    staged = (*(Column(column.name, column.type) for column in columns), column(POSITION))
    stage = table(staging_table_name(entity), *staged, schema=STAGING_SCHEMA)
    order = [_bytewise(stage.c[name]) for name in key]
    position = stage.c[POSITION]
    rows = select(*(or_default(column, stage.c[column.name]) for column in columns))
    rows = rows.order_by(*order, position.desc() if latest else position)
    if latest:
        rows = rows.ext(only_the_first(*order))
    return insert(entity.__table__).from_select([column.name for column in columns], rows)


def staging_table_name(entity: type[Entity]) -> str:
    """Return the name of the entity's staging table."""
    return f"recollect_staging_{entity.__tablename__}"


def create_staging_table(entity: type[Entity]) -> TextClause:
    """Return the statement that creates the entity's staging table.

    The table has no constraints, and stores rows of up to a page without TOAST.
    """
    columns = ", ".join(f'"{column.name}"' for column in written_columns(entity))
    table = staging_table_name(entity)
    return text(
        f"CREATE TEMPORARY TABLE {table} WITH (toast_tuple_target = 8160) ON COMMIT DROP AS "  # noqa: S608 -- our own names
        f"SELECT {columns}, 0::bigint AS {POSITION} FROM {entity.__tablename__} WITH NO DATA"
    )


def drop_staging_table(entity: type[Entity]) -> TextClause:
    """Return the statement that drops the entity's staging table."""
    return text(f"DROP TABLE {STAGING_SCHEMA}.{staging_table_name(entity)}")


def permissions(entity: type[Entity]) -> Select[bool, bool]:
    """Select whether the role can COPY into the table and create temporary tables.

    The columns are `may_copy` and `may_stage`. PostgreSQL refuses COPY
    into a table with an active row-level security policy.
    """
    return select(
        ~func.row_security_active(entity.__tablename__).label("may_copy"),
        func.has_database_privilege(func.current_database(), "TEMPORARY").label("may_stage"),
    )


def limits() -> Select[str, str]:
    """Select the settings `work_mem` and `statement_timeout`."""
    return select(*(func.current_setting(name).label(name) for name in _LIMITS))


def set_limits(**limits: str) -> Select[str, str]:
    """Set `work_mem` and `statement_timeout` for the rest of the transaction."""
    return select(*(func.set_config(name, limits[name], true()) for name in _LIMITS))


def raise_limits(statements: int) -> Select[str, str, int]:
    """Raise `work_mem` to `SORT_MEMORY` and multiply the statement timeout.

    It selects the new timeout as `milliseconds`; 0 stands for no limit.

    Args:
        statements: number of ordinary statements whose work the next statement does.
    """
    settings = table("pg_settings", column("name"), column("setting"))
    together = func.least(cast(settings.c.setting, BigInteger) * statements, INT32_MAX)
    raised = (
        func.set_config("work_mem", SORT_MEMORY, true()),
        func.set_config("statement_timeout", cast(together, Text), true()),
        together.label("milliseconds"),
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
    # The order of strings in Python: writers that lock the same rows in another order deadlock.
    return collate(column, "C") if isinstance(column.type, (Text, EnumText)) else column
