"""Rows of one tenant: by id, by filter, by page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Delete,
    Integer,
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

from domain.schema.base import Entity
from repositories.sql.caching import cached_statement
from repositories.sql.filters import FilterKey


def tenant_equals(entity: type[Entity], tenant: str) -> ColumnElement[bool]:
    """Return the condition that every statement needs, such as `tenant_equals(Review, uow.tenant)`.

    It is always true for entities that belong to no tenant.
    """
    columns = entity.__table__.c
    return columns.tenant == tenant if "tenant" in columns else true()


def tenant_bind(entity: type[Entity]) -> ColumnElement[bool]:
    """Return the same condition for a cached statement.

    The tenant is bound, as `tenant`, when the statement is executed.
    """
    columns = entity.__table__.c
    return columns.tenant == bindparam("tenant", type_=Text()) if "tenant" in columns else true()


@cached_statement
def by_id(entity: type[Entity], *, with_embedding: bool) -> Select[Any]:
    """Select the tenant's row with an id. Binds: `tenant`, `id`."""
    return selected(entity, with_embedding=with_embedding).where(
        id_column(entity) == bindparam("id", type_=Uuid())
    )


@cached_statement
def many_by_id(entity: type[Entity], *, with_embedding: bool) -> Select[Any]:
    """Select the tenant's rows with any of these ids. Binds: `tenant`, `ids`."""
    has_id = id_column(entity) == any_(bindparam("ids", type_=ARRAY(Uuid())))
    return selected(entity, with_embedding=with_embedding).where(has_id)


@cached_statement
def listed(
    entity: type[Entity],
    where: FilterKey,
    *,
    with_embedding: bool,
    descending: bool,
    continued: bool,
    limited: bool,
) -> Select[Any]:
    """Select the tenant's rows that meet the filter, in the order of ids.

    Binds: `tenant`; `after`, an id, if the listing is `continued`; `limit`, if it is `limited`.
    """
    key = id_column(entity)
    statement = selected(entity, with_embedding=with_embedding).where(where.met_by(entity))
    if continued:
        after = bindparam("after", type_=Uuid())
        statement = statement.where(key < after if descending else key > after)
    statement = statement.order_by(key.desc() if descending else key.asc())
    return statement.limit(bindparam("limit", type_=Integer())) if limited else statement


@cached_statement
def selected(entity: type[Entity], *, with_embedding: bool) -> Select[Any]:
    """Select the tenant's rows, without embeddings by default: few readers need the 4 kB.

    The columns have the names of the fields. Binds: `tenant`.
    """
    return select(*fields(entity, with_embedding=with_embedding)).where(tenant_bind(entity))


@cached_statement
def fields(entity: type[Entity], *, with_embedding: bool = False) -> tuple[Label[Any], ...]:
    """Return the entity's columns, labelled with the names of their fields."""
    left_out = () if with_embedding else entity.embedding_fields()
    return tuple(
        attribute.columns[0].label(attribute.key)
        for attribute in inspect(entity).column_attrs
        if attribute.key not in left_out and isinstance(attribute.columns[0], Column)
    )


def by_ids(statement: Select[Any], entity: type[Entity], ids: Sequence[UUID]) -> Select[Any]:
    """Restrict the statement to the rows with these ids.

    The ids are one bound array, so that the statement is the same for any number of them.
    """
    return statement.where(
        id_column(entity) == any_(cast(list(ids), ARRAY(id_column(entity).type)))
    )


def id_column(entity: type[Entity]) -> ColumnElement[UUID]:
    """Return the column that tells the tenant's rows apart and orders a listing."""
    column: ColumnElement[UUID] = entity.__table__.c.id
    return column


@cached_statement
def count_rows(entity: type[Entity], where: FilterKey) -> Select[int]:
    """Count the tenant's rows that meet the filter. Binds: `tenant`."""
    return (
        select(func.count())
        .select_from(entity.__table__)
        .where(tenant_bind(entity), where.met_by(entity))
    )


@cached_statement
def any_that_meets(entity: type[Entity], where: FilterKey) -> Select[bool]:
    """Ask whether the tenant has a row that meets the filter. Binds: `tenant`."""
    return select(
        exists().select_from(entity.__table__).where(tenant_bind(entity), where.met_by(entity))
    )


def any_rows(entity: type[Entity], tenant: str, *conditions: ColumnElement[bool]) -> Select[bool]:
    """Ask whether the tenant has a row that meets the conditions."""
    return select(
        exists().select_from(entity.__table__).where(tenant_equals(entity, tenant), *conditions)
    )


def delete_rows(
    entity: type[Entity], tenant: str, *conditions: ColumnElement[Any], at_most: int | None = None
) -> Delete:
    """Delete the tenant's rows that meet the conditions, or the first of them by id."""
    chosen = first_rows(entity, at_most, tenant_equals(entity, tenant), *conditions)
    return delete(entity).where(*chosen).execution_options(synchronize_session=False)


def first_rows(
    entity: type[Entity], at_most: int | None, *conditions: ColumnElement[bool]
) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions; with `at_most`, only the first rows by id that meet them."""
    if at_most is None:
        return conditions
    key = id_column(entity)
    first = select(key).where(*conditions).order_by(key).limit(at_most).correlate(None)
    return (*conditions, key.in_(first))
