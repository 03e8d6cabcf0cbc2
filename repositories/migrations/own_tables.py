"""Tables of an application in the database: unregistered ones, and references of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import ARRAY, Text, bindparam, text

from domain import metadata
from domain.errors import MigrationFailed, NotRegistered
from domain.schema.registries import table_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

# The primary key identifies the table of an own entity: its base class defines name and columns.
_UNKNOWN: Final = text("""
SELECT c.relname FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
WHERE c.relnamespace = current_schema()::regnamespace AND NOT c.relispartition
AND k.contype = 'p' AND k.conname = 'pk_' || c.relname AND c.relname <> ALL (:known)
AND ARRAY['tenant', 'id'] = (
    SELECT array_agg(a.attname::text ORDER BY place)
    FROM unnest(k.conkey) WITH ORDINALITY AS key (number, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = key.number
)
ORDER BY c.relname
""").bindparams(bindparam("known", callable_=table_names, type_=ARRAY(Text)))

# A partition of a table has a constraint of its own, with a parent.
_REFERENCES: Final = text("""
SELECT r.conrelid::regclass::text AS table, r.confrelid::regclass::text AS referenced
FROM pg_constraint r
JOIN pg_class t ON t.oid = r.confrelid
JOIN pg_class c ON c.oid = r.conrelid
WHERE r.contype = 'f' AND r.conparentid = 0
  AND t.relnamespace = current_schema()::regnamespace AND t.relname = ANY(:names)
  AND NOT (c.relnamespace = current_schema()::regnamespace AND c.relname = ANY(:own))
ORDER BY 1, 2
""").bindparams(bindparam("names", type_=ARRAY(Text)), bindparam("own", type_=ARRAY(Text)))


def require_registered(connection: Connection) -> None:
    """Raise NotRegistered where the database has an own entity's table that is not registered.

    A backup would leave its rows out, and row-level security would leave them open.
    """
    if unknown := unregistered_tables(connection):
        raise NotRegistered(
            f"the database has the table {unknown[0]} of an entity that is not registered: name the"
            " modules of your entities in RECOLLECT_ENTITIES, or import them"
        )


def unregistered_tables(connection: Connection) -> list[str]:
    """Return the tables of own entities in the database that are not registered."""
    return list(connection.scalars(_UNKNOWN))


def references_of_others(
    connection: Connection, names: Iterable[str], own: Iterable[str]
) -> list[tuple[str, str]]:
    """Return each table outside of `own` that refers to one of `names`, with that one."""
    values = {"names": list(names), "own": list(own)}
    return [(table, referenced) for table, referenced in connection.execute(_REFERENCES, values)]


def require_no_references(connection: Connection) -> None:
    """Raise MigrationFailed where an application's tables refer to the library's.

    The server would refuse to drop these, after the later revisions are undone with their rows.
    """
    references = references_of_others(connection, metadata.tables, metadata.tables)
    if references:
        tables = ", ".join(f"{table} to {referenced}" for table, referenced in references)
        raise MigrationFailed(
            f"tables of your application refer to tables that would be dropped ({tables}): undo"
            " your application's revisions first, such as with `alembic downgrade base`"
        )
