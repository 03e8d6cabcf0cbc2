"""Operations for revisions, in addition to those of Alembic's `op`."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from alembic import op
from sqlalchemy import Column, Computed, MetaData, Table, literal_column, text
from sqlalchemy.schema import CreateIndex

from domain.errors import MigrationFailed
from domain.schema.columns import EmbeddingColumn
from repositories.migrations import covering, indexes, partitions, requirements, target
from repositories.migrations.options import OPTIONS
from repositories.migrations.session import STATEMENT_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement, TextClause

    from repositories.migrations.options import SchemaOptions

_logger: Final = logging.getLogger("recollect.migrations")
_ROWS: Final = text("SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(:table)")
_COLUMN_NAMES: Final = text(
    "SELECT attname::text FROM pg_attribute"
    " WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
)


def options() -> SchemaOptions:
    """Return the options of the database that is being migrated.

    Raises:
        MigrationFailed: the revision is not run by `repositories.migrations`.
    """
    config = op.get_context().config
    if config is None:
        raise MigrationFailed("revisions are run by repositories.migrations")
    schema_options: SchemaOptions = config.attributes[OPTIONS]
    return schema_options


def create_extension() -> None:
    """Create the extension `vector` if it is missing.

    Raises:
        MigrationFailed: only an administrator can create it.
    """
    requirements.create_extension(op.get_bind())


def generated(expression: str) -> Computed:
    """Return the expression of a stored generated column, in the language of this database."""
    # Not text(), which reads `[:alpha:]` of a regular expression as a bind parameter.
    return Computed(
        literal_column(target.in_language(expression, options().language)), persisted=True
    )


def lexemes(column: str, characters: int, weight: str) -> str:
    """Return the SQL of a column's weighted lexemes, in the form of the first revisions.

    Do not change it: a later form needs a function of its own.
    """
    inner = (
        "([[:lower:][:digit:]])([[:upper:]])|([[:upper:]])([[:upper:]][[:lower:]])"
        r"|([[:alnum:]]{2})[_/.\\]([[:alpha:]])|[_/.\\]([[:alpha:]]{2})"
    )
    hyphened = (
        f"regexp_replace(left(coalesce({column}, ''), {characters}),"
        f" '{inner}', '\\1\\3\\5-\\2\\4\\6\\7', 'g')"
    )
    numbered = f"regexp_replace({hyphened}, '[/\\\\]([[:digit:]])', ' \\1', 'g')"
    return (
        f"setweight(to_tsvector('english', left(replace({numbered}, '_', ' '), {characters})),"
        f" '{weight}')"
    )


@contextmanager
def timed(table: str, doing: str) -> Iterator[None]:
    """Log what a slow step does to a table and, after it, how long it took."""
    rows = op.get_bind().scalar(_ROWS, {"table": table})
    size = "an unknown number of" if rows is None or rows < 0 else f"about {rows:,}"
    _logger.info("%s, %s rows: %s", table, size, doing)
    started = time.monotonic()
    yield
    _logger.info("%s: done after %.1f s", table, time.monotonic() - started)


def create_vector_index(table: str, column: str) -> None:
    """Create the HNSW index of an embedding column, in the form for this database's dimension.

    The first revisions use it. Later ones use `create_embedding_index`.
    """
    embedding: Column[Any] = Column(column, EmbeddingColumn(options().dimensions))
    Table(table, MetaData(), embedding)
    op.get_bind().execute(CreateIndex(target.hnsw_index(embedding, options())))


def create_embedding_index(table: str, column: str = "embedding") -> None:
    """Create the index of a column of embeddings, covering or HNSW, for this database's dimension.

    Args:
        table: the name of the table.
        column: the name of the column.
    """
    names = op.get_bind().scalars(_COLUMN_NAMES, {"table": table})
    others: list[Column[Any]] = [Column(name) for name in names if name != column]
    embedding: Column[Any] = Column(column, EmbeddingColumn(options().dimensions))
    Table(table, MetaData(), *others, embedding)
    op.get_bind().execute(CreateIndex(target.vector_index(embedding, options())))


def create_month_partitions(ahead: int) -> None:
    """Create partitions of telemetry for this month and the next `ahead`.

    The months' rows in the default partition are moved.
    """
    connection = op.get_bind()
    until = time.monotonic() + STATEMENT_TIMEOUT.total_seconds()
    for month in partitions.missing_ahead(
        connection, partitions.partitions(connection), ahead=ahead
    ):
        partitions.create_partition(connection, partitions.Span.whole(month), until=until)


def drop_month_partitions() -> None:
    """Move the events of every month to the default partition, and drop the others."""
    partitions.merge_into_default(op.get_bind())


def create_index_concurrently(
    name: str,
    table: str,
    columns: Sequence[str | ColumnElement[Any] | TextClause],
    *,
    unique: bool = False,
    **dialect_options: Any,
) -> None:
    """Create an index without blocking writes to the table.

    Use it for a big table in place of the generated `op.create_index`, which blocks writers. An
    invalid index of an interrupted attempt is dropped first. The statement cannot be part of a
    transaction: earlier operations of the revision are committed, so give it a revision of its own,
    with `op.drop_index(..., if_exists=True)` for the downgrade.

    Args:
        name: the name of the index.
        table: the name of the table.
        columns: the columns or expressions.
        unique: whether the index is unique.
        dialect_options: options of `op.create_index`, such as `postgresql_using`.
    """
    with op.get_context().autocommit_block(), indexes.patient(op.get_bind()):
        if indexes.is_invalid(op.get_bind(), name):
            op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)
        op.create_index(
            name,
            table,
            list(columns),
            unique=unique,
            postgresql_concurrently=True,
            if_not_exists=True,
            **dialect_options,
        )


def drop_index_concurrently(name: str, table: str) -> None:
    """Drop an index, if it exists, without blocking reads and writes of the table.

    As with `create_index_concurrently`, earlier operations of the revision are committed.
    """
    with op.get_context().autocommit_block(), indexes.patient(op.get_bind()):
        op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)


def cover_embeddings(tables: Sequence[str]) -> None:
    """Replace the HNSW index that all tenants share by a covering index, where embeddings fit.

    Others read and write meanwhile. Each step of a table is complete or is repeated by the next
    migration. The earlier operations of the revision are committed.
    """
    connection = op.get_bind()
    entities = target.embedding_columns(options())
    columns = [entities[table] for table in tables]
    with op.get_context().autocommit_block(), indexes.patient(connection):
        for column in columns:
            covering.cover(connection, column, options())


def uncover_embeddings(tables: Sequence[str]) -> None:
    """Drop the covering indexes and those of single tenants, and build the shared HNSW indexes."""
    for table in tables:
        if covering.uncover(op.get_bind(), table):
            create_vector_index(table, "embedding")
