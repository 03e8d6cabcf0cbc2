"""JSON that no entity accepts: it ends a dump and a restore.

The server stores JSON that Python cannot read, such as numbers of 100,000 digits. Plain SQL can
write it, and a hostile file can have it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy import Text, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB

from domain.schema.registries import application_mappers, mappers
from domain.values.jsonb import MAX_CHARACTERS, MAX_DEPTH, MAX_VALUES
from domain.values.turns import slices
from repositories.backup.tables import TENANT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.ext.asyncio import AsyncConnection

    from repositories.backup.manifest import Manifest

_LONG_NUMBER: Final = "[0-9]{200}"
_ROWS: Final = 20
"""Rows that are read at once: each may have megabytes."""


@dataclass(frozen=True, slots=True)
class _JsonColumn:
    table: str
    name: str
    key: tuple[str, ...]
    field: TypeAdapter[Any]

    def accepts(self, value: object) -> bool:
        try:
            self.field.validate_python(value)
        except (ValueError, RecursionError):
            return False
        return True

    def accepts_text(self, text: str) -> bool:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return False
        return self.accepts(value)

    def suspects(self, tenant: str | None) -> sa.Select[str, str]:
        """Select the values as text that have to be read to be checked, with the keys of rows."""
        names: tuple[str, ...] = (TENANT, *self.key)
        rows = sa.table(self.table, sa.column(self.name, JSONB), *map(sa.column, names))
        value = rows.c[self.name]
        written = sa.cast(value, Text)
        key = sa.func.concat_ws(", ", *(sa.cast(rows.c[name], Text) for name in self.key))
        suspects = sa.select(written, key).where(value.is_not(None))
        if self.accepts({"any": "object"}):
            may_be_invalid = _may_be_large(written)
            if not self.accepts([]):
                may_be_invalid |= sa.func.jsonb_typeof(value) != "object"
            suspects = suspects.where(may_be_invalid)
        return suspects if tenant is None else suspects.where(rows.c.tenant == tenant)


async def find_invalid_json(connection: AsyncConnection, manifest: Manifest) -> str | None:
    """Return which row has JSON that no entity accepts, or None without such a row.

    The server finds the values that may be too large and those that are not objects. Only these
    are read.
    """
    for column in _json_columns(manifest):
        suspects = column.suspects(manifest.tenant)
        result = await connection.stream(suspects, execution_options={"yield_per": _ROWS})
        async for some in result.partitions(_ROWS):
            async for part in slices(some):
                for written, key in part:
                    if not column.accepts_text(written):
                        return (
                            f"{column.table} has JSON in {column.name} that is of another type,"
                            f" nested too deeply, or too large (more than {MAX_VALUES:,} values or"
                            f" {MAX_CHARACTERS:,} characters), in the row {key}"
                        )
    return None


def _json_columns(manifest: Manifest) -> Iterator[_JsonColumn]:
    restored = {table.name: table.columns for table in manifest.tables}
    for mapper in (*mappers.mappers, *application_mappers.mappers):
        name = str(mapper.class_.__tablename__)
        for column in mapper.columns:
            type_ = column.type.impl if isinstance(column.type, TypeDecorator) else column.type
            if isinstance(type_, JSONB) and column.name in restored.get(name, ()):
                info = mapper.class_.model_fields[mapper.get_property_by_column(column).key]
                field: Any = info.annotation
                if info.metadata:
                    field = Annotated[field, *info.metadata]
                key = [one.name for one in mapper.primary_key if one.name != TENANT]
                yield _JsonColumn(name, column.name, tuple(key), TypeAdapter(field))


def _may_be_large(written: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    length = sa.func.length(written)
    nested = length - sa.func.length(sa.func.translate(written, "[{", ""))
    values = length - sa.func.length(sa.func.translate(written, "[{,", ""))
    is_large = sa.or_(
        nested > MAX_DEPTH,
        values >= MAX_VALUES,
        length > MAX_CHARACTERS,
        written.regexp_match(_LONG_NUMBER),
    )
    return sa.case((length > MAX_DEPTH, is_large), else_=sa.false())
