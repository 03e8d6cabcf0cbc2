"""A schema as PostgreSQL itself describes it: every fact in which two schemas can differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import ARRAY, BigInteger, Text, bindparam, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection


@dataclass(frozen=True, order=True)
class Item:
    """A table, or a column, constraint, index or trigger of one."""

    kind: str
    table: str
    name: str

    def __str__(self) -> str:
        match self.kind:
            case "table":
                return f"table {self.table}"
            case "column":
                return f"column {self.table}.{self.name}"
            case kind:
                return f"{kind} {self.name} of {self.table}"


# PostgreSQL prints names in the search path without their schema, so each schema is read with
# itself at the front of the path. Left out on purpose: the order of columns, partitions, indexes
# that serve a constraint (the constraint itself is compared), and not-null constraints, which are
# rows of pg_constraint from PostgreSQL 18 on and repeat the nullability.
_FACTS: Final = text("""
WITH ours AS (
    SELECT oid, relname::text AS "table", relkind FROM pg_class
    WHERE relnamespace = :schema AND relname = ANY(:tables) AND relkind IN ('r', 'p')
)
SELECT 'table' AS kind, "table", '' AS name, fact, value
FROM ours, LATERAL (VALUES
    ('comment', obj_description(oid, 'pg_class')),
    ('partition key', pg_get_partkeydef(oid)),
    ('default partition', CASE relkind WHEN 'p' THEN
        (SELECT CASE partdefid WHEN 0 THEN 'missing' ELSE 'present' END
         FROM pg_partitioned_table WHERE partrelid = oid)
    END)
) AS facts(fact, value)
UNION ALL
SELECT 'column', "table", attname, fact, value
FROM ours JOIN pg_attribute ON attrelid = oid AND attnum > 0 AND NOT attisdropped
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum,
LATERAL (VALUES
    ('type', format_type(atttypid, atttypmod)),
    ('nullability', CASE WHEN attnotnull THEN 'not null' ELSE 'nullable' END),
    (CASE attgenerated WHEN '' THEN 'default' ELSE 'generated value' END,
     pg_get_expr(adbin, adrelid)),
    ('identity', nullif(attidentity::text, '')),
    ('collation', (SELECT collname::text FROM pg_collation c JOIN pg_type t ON t.oid = atttypid
                   WHERE c.oid = attcollation AND attcollation <> typcollation)),
    ('comment', col_description(attrelid, attnum))
) AS facts(fact, value)
UNION ALL
SELECT 'constraint', "table", conname, 'definition', pg_get_constraintdef(c.oid, true)
FROM ours JOIN pg_constraint c ON conrelid = ours.oid AND contype <> 'n'
UNION ALL
SELECT 'index', "table", relname, fact, value
FROM ours JOIN pg_index ON indrelid = ours.oid JOIN pg_class c ON c.oid = indexrelid,
LATERAL (VALUES
    ('definition', pg_get_indexdef(indexrelid, 0, true)),
    ('state', CASE WHEN indisvalid THEN 'valid' ELSE 'invalid' END)
) AS facts(fact, value)
WHERE NOT EXISTS (
    SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x')
)
UNION ALL
SELECT 'trigger', "table", tgname, 'definition', pg_get_triggerdef(t.oid, true)
FROM ours JOIN pg_trigger t ON tgrelid = ours.oid AND NOT tgisinternal
""").bindparams(bindparam("schema", type_=BigInteger), bindparam("tables", type_=ARRAY(Text)))


def describe(
    connection: Connection, schema: int, tables: Iterable[str]
) -> dict[Item, dict[str, str | None]]:
    """Return the facts about the named tables of the schema with this oid, by item."""
    facts: dict[Item, dict[str, str | None]] = {}
    for kind, table, name, fact, value in connection.execute(
        _FACTS, {"schema": schema, "tables": list(tables)}
    ):
        facts.setdefault(Item(kind, table, name), {})[fact] = value
    return facts
