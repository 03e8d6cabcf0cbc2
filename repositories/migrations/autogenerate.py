"""The configuration of Alembic's autogenerate, extended by CHECKs and generated columns.

Autogenerate does not compare those. `drift` finds the differences from PostgreSQL's own
descriptions; autogenerate only writes the operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from alembic.autogenerate import Rewriter, renderers
from alembic.operations import ops
from alembic.runtime.plugins import Plugin
from alembic.util import PriorityDispatchResult
from pgvector.sqlalchemy import VECTOR
from sqlalchemy import CheckConstraint, Column, Computed, Table

from repositories.migrations.catalog import Item
from repositories.migrations.target import TEMPLATE_LANGUAGE, in_language

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alembic.autogenerate.api import AutogenContext
    from sqlalchemy import MetaData

    from repositories.migrations.drift import Difference
    from repositories.migrations.options import SchemaOptions

_KINDS: Final = {
    "column": "column",
    "index": "index",
    "unique_constraint": "constraint",
    "foreign_key_constraint": "constraint",
}
_DRIFT: Final = "recollect_drift"


@dataclass(frozen=True)
class Autogenerate:
    """The generator for one database, limited to its differences from the target."""

    target: MetaData
    drift: tuple[Difference, ...]
    options: SchemaOptions

    def configuration(self) -> dict[str, Any]:
        """Return the arguments of `EnvironmentContext.configure`."""
        return {
            "target_metadata": self.target,
            "include_name": self._is_our_table,
            "include_object": self._differs,
            "compare_server_default": self._default_differs,
            "render_item": self._render,
            "process_revision_directives": vector_indexes,
            "autogenerate_plugins": ["alembic.autogenerate.*", PLUGIN.name],
            _DRIFT: self.drift,
        }

    def _is_our_table(self, name: str | None, kind: str, _: Mapping[str, str | None]) -> bool:
        return kind != "table" or name in self.target.tables

    def _differs(
        self,
        thing: Any,
        name: str | None,
        kind: str,
        _reflected: bool,  # noqa: FBT001 -- Alembic's
        _compared_to: Any,
    ) -> bool:
        if kind not in _KINDS or name is None:
            return True
        facts = self._facts(Item(_KINDS[kind], thing.table.name, name)) | self._facts(
            Item("table", thing.table.name, "")
        ) & {None}
        return bool(facts) and "generated value" not in facts

    def _default_differs(
        self, _context: object, _inspected: object, column: Column[Any], *_: object
    ) -> bool:
        return "default" in self._facts(Item("column", column.table.name, column.name))

    def _facts(self, item: Item) -> set[str | None]:
        return {difference.fact for difference in self.drift if difference.item == item}

    def _render(self, kind: str, thing: Any, _: AutogenContext) -> str | Literal[False]:
        if kind == "type" and isinstance(thing, VECTOR):
            is_default = thing.dim == self.options.dimensions
            dimensions = "operations.options().dimensions" if is_default else thing.dim
            return f"pgvector.sqlalchemy.VECTOR({dimensions})"
        if kind == "server_default" and isinstance(thing, Computed):
            language = self.options.language
            expression = in_language(str(thing.sqltext), TEMPLATE_LANGUAGE, of=language)
            return f"operations.generated({expression!r})"
        return False


def _compare_definitions(
    context: AutogenContext,
    operations: ops.ModifyTableOps,
    _schema: str | None,
    name: str,
    actual: Table | None,
    target: Table | None,
) -> PriorityDispatchResult:
    if actual is not None and target is not None:
        drift: tuple[Difference, ...] = context.opts[_DRIFT]
        for difference in drift:
            if difference.item.table == name and difference.item.kind == "constraint":
                operations.ops.extend(_replace_check(context, difference.item.name, actual, target))
            elif difference.item.table == name and difference.fact == "generated value":
                operations.ops.extend(_replace_column(difference.item.name, actual, target))
    return PriorityDispatchResult.CONTINUE


def _replace_check(
    context: AutogenContext, name: str, actual: Table, target: Table
) -> Iterator[ops.MigrateOperation]:
    inspector = context.inspector
    for check in inspector.get_check_constraints(actual.name):
        if check["name"] == name:
            yield ops.DropConstraintOp.from_constraint(
                CheckConstraint(check["sqltext"], name=name, table=actual)
            )
    for constraint in target.constraints:
        if isinstance(constraint, CheckConstraint) and constraint.name == name:
            yield ops.AddConstraintOp.from_constraint(constraint)


def _replace_column(name: str, actual: Table, target: Table) -> Iterator[ops.MigrateOperation]:
    # The expression of a generated column cannot be changed; its indexes go with it and come back.
    column: Column[Any] = target.c[name]
    indexes = [index for index in target.indexes if name in index.columns]
    for index in indexes:
        yield ops.DropIndexOp.from_index(index)
    yield ops.DropColumnOp.from_column_and_tablename(None, actual.name, actual.c[name])
    yield ops.AddColumnOp.from_column_and_tablename(None, target.name, column)
    for index in indexes:
        yield ops.CreateIndexOp.from_index(index)


PLUGIN: Final = Plugin("recollect.definitions")
PLUGIN.add_autogenerate_comparator(_compare_definitions, "table", "definitions")


class CreateVectorIndexOp(ops.MigrateOperation):
    """An index of embeddings, whose form depends on the dimension of the database."""

    def __init__(self, table: str, column: str) -> None:
        self.table = table
        self.column = column


vector_indexes: Final = Rewriter()


@vector_indexes.rewrites(ops.CreateIndexOp)
def _by_dimension(
    _context: object, _revision: object, created: ops.CreateIndexOp
) -> ops.MigrateOperation:
    # An HNSW index has the embedding as its only column, and a covering index includes it last.
    using = created.kw.get("postgresql_using")
    columns = created.columns if using == "hnsw" else created.kw.get("postgresql_include") or [""]
    column = getattr(columns[-1], "name", columns[-1])
    if created.index_name != f"ix_{created.table_name}_{column}":
        return created
    return CreateVectorIndexOp(created.table_name, str(column))


@renderers.dispatch_for(CreateVectorIndexOp)
def _render_vector_index(_: AutogenContext, created: CreateVectorIndexOp) -> str:
    return f"operations.create_embedding_index({created.table!r}, {created.column!r})"
