"""Requirements of an application's own entities, so that both stores can hold them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import Index, Text, UniqueConstraint
from sqlalchemy.exc import NoReferencedTableError

from domain.errors import InvalidEntity
from domain.schema.base import ApplicationEntity, Entity
from domain.schema.constraints import constraint_name
from domain.schema.declared_types import require_type_of_rows
from domain.schema.searchable import Searchable
from domain.values.shown import kind_of

if TYPE_CHECKING:
    from sqlalchemy import Column, ForeignKeyConstraint

KEY = ["tenant", "id"]
_KNOWN_RULES = frozenset(
    {
        "check_constraint",
        "table_or_column_check_constraint",
        "column_check_constraint",
        "foreign_key_constraint",
        "primary_key_constraint",
        "unique_constraint",
    }
)
SERVER_ONLY = frozenset({"search_vector", "text_hash"})
"""Columns of `searchable`: the server fills them in, and the fake computes them in a search."""


def require_application_entity(entity: object) -> type[ApplicationEntity]:
    """Return the entity if it can be registered.

    Raises:
        InvalidEntity: it has no table or tenant, or a key, a column or a rule that cannot be kept.
    """
    if not isinstance(entity, type):
        raise InvalidEntity(
            f"an entity is a class, and this is {kind_of(entity)}: pass the class that derives from"
            " ApplicationEntity"
        )
    if not issubclass(entity, ApplicationEntity):
        raise InvalidEntity(f"{entity.__name__} has no tenant: derive it from ApplicationEntity")
    if "__table__" not in vars(entity):
        raise InvalidEntity(f"{entity.__name__} has no table: add `table=True` to its class line")
    _require_known_rules(entity)
    _require_keys(entity)
    _require_searchable(entity)
    for column in entity.__table__.columns:
        _require_column(entity, column)
    return entity


def _require_known_rules(entity: type[Entity]) -> None:
    table, name = entity.__table__, entity.__name__
    if table.schema is not None:
        raise InvalidEntity(
            f"{name} names the schema {table.schema}, and its table is created next to the"
            " library's: remove `schema`"
        )
    for rule in table.constraints:
        if rule.__visit_name__ not in _KNOWN_RULES:
            raise InvalidEntity(
                f"the fake cannot evaluate the {type(rule).__name__} of {name}: write"
                ' `unique("column", …)` in `__table_args__`, or check it in a pydantic validator'
            )


def _require_keys(entity: type[Entity]) -> None:
    table, name = entity.__table__, entity.__name__
    if [column.name for column in table.primary_key] != KEY:
        raise InvalidEntity(f"the primary key of {name} is not (tenant, id): remove `primary_key`")
    rules: list[UniqueConstraint | Index] = [
        *(rule for rule in table.constraints if isinstance(rule, UniqueConstraint)),
        *(index for index in table.indexes if index.unique),
    ]
    for rule in rules:
        columns = [column.name for column in rule.columns]
        whole = not isinstance(rule, Index) or len(rule.expressions) == len(columns)
        if columns[:1] != ["tenant"] or not whole:
            raise InvalidEntity(
                f"{rule.name} of {name} does not begin with the tenant: write"
                ' `unique("column", …)` in `__table_args__`'
            )
    for key in table.foreign_key_constraints:
        try:
            _require_reference(name, key)
        except NoReferencedTableError as error:
            raise InvalidEntity(
                f"{name} refers to the table {error.table_name}, which does not exist: import the"
                ' module of the parent, or write `references(Parent, "column")`'
            ) from None
    names = Counter(
        [*map(constraint_name, table.constraints), *map(constraint_name, table.indexes)]
    )
    if twice := [rule for rule, count in names.items() if count > 1]:
        raise InvalidEntity(
            f"{name} has two rules named {twice[0]}: give one another name, such as"
            f' `references(Parent, "column", name="fk_{table.name}_column")`'
        )


def _require_reference(name: str, key: ForeignKeyConstraint) -> None:
    parents = [element.column.name for element in key.elements]
    if parents != KEY or key.ondelete != "CASCADE" or len(key.columns) != len(KEY):
        raise InvalidEntity(
            f"the foreign key {key.name} of {name} is not (tenant, column) to (tenant, id) with"
            ' ON DELETE CASCADE: write `references(Parent, "column")` in `__table_args__`'
        )


def _require_searchable(entity: type[Entity]) -> None:
    name, table = entity.__name__, entity.__table__
    if issubclass(entity, Searchable) is not ("search_vector" in table.c):
        raise InvalidEntity(
            f"{name} needs both `Searchable` before `ApplicationEntity`, and"
            ' `*searchable("text", column="A")` in `__table_args__`'
        )
    if not issubclass(entity, Searchable):
        return
    for column in (entity.search_text(), *entity.search_weights()):
        if column not in table.c or not isinstance(table.c[column].type, Text):
            raise InvalidEntity(
                f"searchable() of {name} names {column}, which is not a field with text"
            )


def _require_column(entity: type[Entity], column: Column[object]) -> None:
    name = f"{entity.__name__}.{column.name}"
    if column.name in SERVER_ONLY:
        return
    if column.computed is not None or column.identity is not None:
        raise InvalidEntity(
            f"{name} is computed by the server, which the fake cannot do: compute it in a"
            " pydantic validator"
        )
    field = next(
        (
            entity.model_fields[attribute.key]
            for attribute in entity.__mapper__.column_attrs
            if column in attribute.columns and attribute.key in entity.model_fields
        ),
        None,
    )
    if field is None:
        raise InvalidEntity(f"{name} is not a field: declare it as a field of the class")
    require_type_of_rows(name, column.type, field.annotation)
    default = getattr(column.server_default, "arg", None)
    if default is not None and str(default) != "now()" and field.is_required():
        raise InvalidEntity(
            f"{name} has a default of the server alone, which the fake cannot evaluate: give the"
            " field the same default"
        )
