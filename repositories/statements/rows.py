"""Rows of one tenant: by id, by filter, by page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Delete,
    Label,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    inspect,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import defer

from domain.entity import Entity
from domain.filters import Filter
from repositories.statements.filters import filter_condition
from repositories.statements.keeping import kept


def of_tenant(entity: type[Entity], tenant: str) -> ColumnElement[bool]:
    """Return the condition that every statement carries; entities that no tenant owns have none."""
    columns = entity.__table__.c
    return columns.tenant == tenant if "tenant" in columns else true()


def the_tenants(entity: type[Entity]) -> ColumnElement[bool]:
    """Return the same condition for a statement that is kept: the tenant is bound, as `tenant`, when it is executed."""
    columns = entity.__table__.c
    return columns.tenant == bindparam("tenant", type_=Text()) if "tenant" in columns else true()


def select_entities(entity: type[Entity], tenant: str, *, with_embedding: bool = False) -> Select[Any]:
    """Select the tenant's entities through the ORM, their embeddings only if asked for: 4 kB that few readers want."""
    left_out = [] if with_embedding else entity.embedding_fields()
    statement = select(entity).where(of_tenant(entity, tenant)).options(*(defer(getattr(entity, name)) for name in left_out))
    # Statements change rows that are tracked already: what is read again is brought up to date.
    return statement.execution_options(populate_existing=True)


def select_fields(entity: type[Entity], tenant: str, *, with_embedding: bool = False) -> Select[Any]:
    """Select the columns of the tenant's entities, labelled with the names of their fields, for `hydrate`."""
    return select(*fields(entity, with_embedding=with_embedding)).where(of_tenant(entity, tenant))


@kept
def fields(entity: type[Entity], *, with_embedding: bool = False) -> tuple[Label[Any], ...]:
    """Return the entity's columns, labelled with the names of their fields."""
    left_out = () if with_embedding else entity.embedding_fields()
    return tuple(
        attribute.columns[0].label(attribute.key)
        for attribute in inspect(entity).column_attrs
        if attribute.key not in left_out and isinstance(attribute.columns[0], Column)
    )


def by_ids(statement: Select[Any], entity: type[Entity], ids: Sequence[UUID]) -> Select[Any]:
    """Keep the rows with these ids; one bound array, so that the statement is the same for any number of them."""
    return statement.where(id_column(entity) == any_(cast(list(ids), ARRAY(Uuid()))))


def id_column(entity: type[Entity]) -> ColumnElement[UUID]:
    """Return the column that tells the tenant's rows apart and orders a listing."""
    column: ColumnElement[UUID] = entity.__table__.c.id
    return column


def page_of(
    statement: Select[Any],
    entity: type[Entity],
    where: Filter | None,
    *,
    after: UUID | None = None,
    limit: int | None = None,
    descending: bool = False,
) -> Select[Any]:
    """Keep the rows that meet the filter and come after an id, in the order of ids."""
    key = id_column(entity)
    statement = statement.where(filter_condition(entity, where)).order_by(key.desc() if descending else key.asc())
    if after is not None:
        statement = statement.where(key < after if descending else key > after)
    return statement if limit is None else statement.limit(limit)


def count_rows(entity: type[Entity], tenant: str, where: Filter | None) -> Select[int]:
    """Count the tenant's rows that meet the filter."""
    return select(func.count()).select_from(entity.__table__).where(of_tenant(entity, tenant), filter_condition(entity, where))


def any_rows(entity: type[Entity], tenant: str, *conditions: ColumnElement[bool]) -> Select[bool]:
    """Ask whether the tenant has a row that meets the conditions."""
    return select(exists().select_from(entity.__table__).where(of_tenant(entity, tenant), *conditions))


def delete_rows(entity: type[Entity], tenant: str, *conditions: ColumnElement[Any]) -> Delete:
    """Delete the tenant's rows that meet the conditions."""
    return delete(entity).where(of_tenant(entity, tenant), *conditions).execution_options(synchronize_session=False)
