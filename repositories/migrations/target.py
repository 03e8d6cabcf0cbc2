"""The schema of the entities for one database, with its dimension, language and vector indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ARRAY, Column, Computed, Index, MetaData, Table, literal_column
from sqlalchemy.types import TypeDecorator

from domain import metadata
from domain.schema.columns import EmbeddingColumn
from repositories.sql.vector_index import (
    SEARCHED_LIVE,
    VECTOR_INDEXES,
    IndexForm,
    covering_index,
    is_covered,
    tenant_index_name,
    vector_index_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.types import TypeEngine

    from repositories.migrations.options import SchemaOptions


TEMPLATE_LANGUAGE: Final = "english"
"""The language in the entities, in place of which each database has its own."""


def target_metadata(
    options: SchemaOptions, entities: MetaData = metadata, application: Iterable[Table] = ()
) -> MetaData:
    """Return a copy of the entities' tables, with the dimension, language and indexes of `options`.

    `application` are tables of an application's own entities, parents first.
    """
    return _copy((*entities.sorted_tables, *application), options)


def embedding_columns(
    options: SchemaOptions, application: Iterable[Table] = ()
) -> Mapping[str, Column[Any]]:
    """Return the column of embeddings of each table that has one, by the table's name.

    Each belongs to a copy of its table, with the dimension and index of `options`.
    """
    tables = [table for table in (*metadata.sorted_tables, *application) if _has_embeddings(table)]
    return {
        table.name: column
        for table in _copy(tables, options).tables.values()
        for column in table.columns
        if isinstance(column.type, EmbeddingColumn)
    }


def in_language(expression: str, language: str, *, of: str = TEMPLATE_LANGUAGE) -> str:
    """Return a generated column's expression with its text search configuration replaced.

    Args:
        expression: the expression.
        language: the new text search configuration.
        of: the text search configuration in the expression.
    """
    return expression.replace(f"to_tsvector('{of}',", f"to_tsvector('{language}',")


def vector_indexes(options: SchemaOptions) -> Mapping[str, Index]:
    """Return the index of each table with a column of embeddings, by the table's name."""
    tables = (column.table for column in embedding_columns(options).values())
    indexes = (index for table in tables for index in table.indexes)
    return {table_of(index): index for index in indexes if index.name in VECTOR_INDEXES}


def table_of(index: Index) -> str:
    """Return the name of the table that an index is of."""
    if index.table is None:
        raise TypeError("this index belongs to no table")
    return index.table.name


def vector_index(column: Column[Any], options: SchemaOptions) -> Index:
    """Return the index of a column of embeddings: covering if the embeddings fit, or else HNSW."""
    return covering_index(column) if is_covered(options.dimensions) else hnsw_index(column, options)


def hnsw_index(column: Column[Any], options: SchemaOptions) -> Index:
    """Return the HNSW index of all tenants' embeddings, in the form that fits the dimension."""
    return _hnsw(vector_index_name(column), column, options)


def tenant_index(column: Column[Any], tenant: str, options: SchemaOptions) -> Index:
    """Return the HNSW index of the embeddings of one tenant."""
    index = _hnsw(tenant_index_name(column.table.name, tenant), column, options)
    # The predicate is part of a definition, which takes no parameters.
    name = tenant.replace("'", "''")
    rows = f"tenant = '{name}'"
    if column.table.name in SEARCHED_LIVE:
        rows = f"{rows} AND stale IS FALSE"
    index.dialect_options["postgresql"]["where"] = literal_column(rows)
    return index


def _hnsw(name: str, column: Column[Any], options: SchemaOptions) -> Index:
    form = IndexForm.for_dimensions(options.dimensions)
    return Index(
        name,
        form.indexed(column, options.dimensions).label(column.name),
        postgresql_using="hnsw",
        postgresql_ops={column.name: form.opclass},
        postgresql_with={"m": options.hnsw_m, "ef_construction": options.hnsw_ef_construction},
    )


def _has_embeddings(table: Table) -> bool:
    return any(isinstance(column.type, EmbeddingColumn) for column in table.columns)


def _copy(tables: Iterable[Table], options: SchemaOptions) -> MetaData:
    target = MetaData(naming_convention=metadata.naming_convention)
    for table in tables:
        for column in table.to_metadata(target).columns:
            _complete(column, options)
    return target


def _complete(column: Column[Any], options: SchemaOptions) -> None:
    if isinstance(column.type, EmbeddingColumn):
        column.type = EmbeddingColumn(options.dimensions)
        vector_index(column, options)
    else:
        column.type = _undecorated(column.type)
    if isinstance(column.computed, Computed):
        column.computed.sqltext = literal_column(
            in_language(str(column.computed.sqltext), options.language)
        )


def _undecorated(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return SQLAlchemy's type under a decorator, also of the items of an array."""
    if isinstance(kind, TypeDecorator):
        return kind.impl_instance
    if isinstance(kind, ARRAY):
        return ARRAY(_undecorated(kind.item_type), dimensions=kind.dimensions)
    return kind
