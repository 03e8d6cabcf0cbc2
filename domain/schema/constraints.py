"""Constraints and indexes that begin with the tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import (
    CheckConstraint,
    Constraint,
    ForeignKeyConstraint,
    Index,
    TextClause,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import postgresql

from domain.errors import InvalidEntity
from domain.values.embedding import MAX_NORM, MIN_NORM

if TYPE_CHECKING:
    from sqlalchemy import Dialect

    from domain.schema.base import Entity


NAMING_CONVENTION = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(referred_table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}


def unique(*columns: str) -> UniqueConstraint:
    """Return a unique constraint of the columns within a tenant.

    Raises:
        InvalidEntity: no column is named.
    """
    if not columns:
        raise InvalidEntity('unique() names no column: write `unique("column", …)`')
    return UniqueConstraint("tenant", *columns)


def references(
    parent: str | type[Entity], column: str, *, name: str | None = None
) -> ForeignKeyConstraint:
    """Return the composite foreign key from `(tenant, column)` to a parent's `(tenant, id)`.

    Deleting the parent deletes the row.

    Args:
        parent: the entity, or the name of a table of the same application.
        column: the column that holds the parent's id.
        name: the name of the constraint, which a second foreign key to the same parent needs. By
            default, it consists of the names of both tables.

    Raises:
        InvalidEntity: the parent is neither an entity with a table nor the name of a table.
    """
    if not isinstance(parent, str) and "__table__" not in vars(parent):
        raise InvalidEntity(
            f"references() needs an entity with a table, not {getattr(parent, '__name__', parent)}:"
            ' write `references(Parent, "column")`'
        )
    key = (
        [f"{parent}.tenant", f"{parent}.id"]
        if isinstance(parent, str)
        else [parent.__table__.c.tenant, parent.__table__.c.id]
    )
    return ForeignKeyConstraint(["tenant", column], key, name=name, ondelete="CASCADE")


def index(*columns: str) -> Index:
    """Return an index of the tenant and the columns."""
    return Index(None, "tenant", *columns)


def named_index(name: str, *columns: str | TextClause, where: str | None = None) -> Index:
    """Return an index with a name of its own, for an order, an expression or some of the rows.

    Args:
        name: the name, which begins with `ix_` and the table.
        columns: the columns and expressions after the tenant.
        where: the condition that the indexed rows meet, as SQL.
    """
    condition = None if where is None else text(where)
    return Index(name, "tenant", *columns, postgresql_where=condition)


def unique_where_not_null(column: str, *others: str) -> Index:
    """Return a unique index, within a tenant, of the rows in which `column` has a value."""
    return Index(
        None, "tenant", column, *others, unique=True, postgresql_where=text(f"{column} IS NOT NULL")
    )


def constraint_name(constraint: Constraint | Index) -> str:
    """Return the constraint's or index's name in the database.

    SQLAlchemy shortens a name that is longer than PostgreSQL allows.
    """
    dialect: type[Dialect] = postgresql.dialect
    preparer = dialect().identifier_preparer
    name = (
        preparer.format_index(constraint)
        if isinstance(constraint, Index)
        else preparer.format_constraint(constraint)
    )
    return str(name)


def embedding_check() -> CheckConstraint:
    """Return the CHECK constraint that excludes zero vectors, as the entity's validation does.

    The cosine distance of a zero vector is NaN, which passes every threshold.
    """
    return CheckConstraint(
        f"vector_norm(embedding) BETWEEN {MIN_NORM} AND {MAX_NORM}", name="embedding_norm"
    )


def repair_indexes(table: str) -> tuple[Index, Index]:
    """Return the indexes of a table with embeddings that find the rows to embed again.

    The first finds the rows of another model, the second those that are stale or have no embedding.
    """
    return (
        named_index(f"ix_{table}_embedding_model", "embedding_model", where="stale IS FALSE"),
        named_index(f"ix_{table}_to_embed", "id", where="stale OR embedding IS NULL"),
    )
