"""Tables of an application's own entities that are not registered in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import ARRAY, Text, bindparam, text

from domain.errors import NotRegistered
from domain.schema.registries import table_names

if TYPE_CHECKING:
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
