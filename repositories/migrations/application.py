"""An application's own Alembic next to the library's.

The library migrates its tables with `recollect db migrate`. An application migrates its own tables
with an Alembic environment of its own, whose `env.py` passes `application_migrations(connection)`
to `context.configure`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from pgvector.sqlalchemy import VECTOR
from sqlalchemy import ARRAY, Computed, Index, MetaData, Text, bindparam, text
from sqlalchemy.sql.elements import ColumnElement

from domain import metadata
from domain.errors import SchemaOutdated
from domain.schema.application import SERVER_ONLY
from repositories.migrations.environment import current_revision
from repositories.migrations.options import SchemaOptions, read_recorded
from repositories.migrations.requirements import VERSION_TABLE
from repositories.migrations.runner import head
from repositories.migrations.target import target_metadata
from repositories.registry import registry_for
from repositories.sql.vector_index import TENANT_INDEX

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alembic.autogenerate.api import AutogenContext
    from sqlalchemy import Connection

    from domain.schema.base import Entity
    from repositories.registry import Registration

_PARTITIONS: Final = text("""
SELECT c.relname FROM pg_catalog.pg_inherits JOIN pg_catalog.pg_class c ON c.oid = inhrelid
WHERE inhparent IN (
    SELECT oid FROM pg_catalog.pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relname = ANY(:tables)
)
""").bindparams(bindparam("tables", list(metadata.tables), ARRAY(Text)))


def application_migrations(
    connection: Connection, *, entities: Iterable[type[Entity] | Registration] | None = None
) -> dict[str, Any]:
    """Return the arguments of `context.configure` for an application's Alembic environment.

    Autogenerate then proposes the tables of the application's own entities. It proposes nothing for
    the library's tables, their partitions, their indexes and their version table, and drops no
    table: one without an entity can belong to another service. Write `op.drop_table` for the table
    of an entity that you delete.

    Args:
        connection: a connection to a database that the library has migrated.
        entities: the own entities, by default all that are registered.

    Raises:
        SchemaOutdated: the library's revisions are missing: run `recollect db migrate` first.
    """
    options = _options(connection)
    connection.rollback()
    target = _target(options, entities)
    theirs = {*metadata.tables, *connection.scalars(_PARTITIONS), VERSION_TABLE}
    connection.rollback()
    rules = _Rules(frozenset(theirs), connection.dialect.default_schema_name)
    return {
        "connection": connection,
        "target_metadata": target,
        "include_object": rules.include_object,
        "render_item": rules.render_item,
    }


def create_application_tables(connection: Connection, entities: Sequence[type[Entity]]) -> None:
    """Create those tables of an application's own entities that are missing, for tests."""
    target = _target(_options(connection), entities)
    names = {entity.__tablename__ for entity in entities}
    tables = [table for table in target.sorted_tables if table.name in names]
    target.create_all(connection, tables=tables)


def _options(connection: Connection) -> SchemaOptions:
    current, expected = current_revision(connection), head()
    if current != expected:
        raise SchemaOutdated(current=current, expected=expected)
    return read_recorded(connection) or SchemaOptions()


def _target(
    options: SchemaOptions, entities: Iterable[type[Entity] | Registration] | None
) -> MetaData:
    own = registry_for(entities).application_entities
    return target_metadata(options, application=[entity.__table__ for entity in own])


@dataclass(frozen=True)
class _Rules:
    """Rules of what autogenerate compares and renders.

    `theirs` are the tables of the library, which are in `schema`.
    """

    theirs: frozenset[str]
    schema: str | None

    def include_object(
        self,
        thing: Any,
        name: str | None,
        kind: str,
        reflected: bool,  # noqa: FBT001 -- Alembic's
        compared_to: Any,
    ) -> bool:
        table = thing if kind == "table" else thing.table
        # A table of the application in another schema can have the name of one of the library's.
        if table.name in self.theirs and table.schema in {None, self.schema}:
            return False
        # A table without an entity can be another service's: nothing proposes to drop it.
        if kind == "table" and reflected and compared_to is None:
            return False
        if kind == "index" and name is not None and re.match(TENANT_INDEX, name):
            return False
        # PostgreSQL rewrites the expressions of generated columns and of indexes over them, so
        # that text cannot be compared: what exists under the name is taken for equal.
        if compared_to is not None and kind == "column" and name in SERVER_ONLY:
            return False
        return not (kind == "index" and _is_equal_by_name(thing, compared_to))

    def render_item(self, kind: str, thing: Any, context: AutogenContext) -> str | Literal[False]:
        if kind == "type" and isinstance(thing, VECTOR):
            context.imports.add("import pgvector.sqlalchemy")
            return f"pgvector.sqlalchemy.VECTOR({thing.dim})"
        if kind == "server_default" and isinstance(thing, Computed):
            return f"sa.Computed(sa.literal_column({str(thing.sqltext)!r}), persisted=True)"
        return False


def _is_equal_by_name(one: Any, other: Any) -> bool:
    """Return whether both are indexes of one access method, over an expression."""
    if not (isinstance(one, Index) and isinstance(other, Index)):
        return False
    methods = {index.dialect_options["postgresql"]["using"] or "btree" for index in (one, other)}
    return len(methods) == 1 and (methods == {"hnsw"} or _is_over_expression(one))


def _is_over_expression(index: Index) -> bool:
    return any(
        isinstance(expression, ColumnElement) and not hasattr(expression, "table")
        for expression in index.expressions
    )
