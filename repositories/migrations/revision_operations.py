"""What revisions say besides Alembic's own `op`."""

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
from repositories.migrations import indexes, partitions, requirements, target
from repositories.migrations.session import STATEMENT_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement

    from repositories.migrations.options import SchemaOptions

OPTIONS: Final = "schema_options"
"""Under this key of Alembic's configuration a revision finds the options."""

_logger: Final = logging.getLogger("recollect.migrations")
_ROWS: Final = text("SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(:table)")


def options() -> SchemaOptions:
    """Return what the database that is being migrated was, or is to be, created with.

    Raises:
        MigrationFailed: the revision was not run by `repositories.migrations`.
    """
    config = op.get_context().config
    if config is None:
        raise MigrationFailed("revisions are run by repositories.migrations")
    found: SchemaOptions = config.attributes[OPTIONS]
    return found


def create_extension() -> None:
    """Create pgvector's extension where it is missing.

    Raises MigrationFailed where that takes an administrator.
    """
    requirements.create_extension(op.get_bind())


def generated(expression: str) -> Computed:
    """Return a stored generated column's expression, with the language of this database in place of English."""
    # Not text, which would take the classes of a regular expression for bind parameters.
    return Computed(
        literal_column(target.in_language(expression, options().language)), persisted=True
    )


def lexemes(column: str, characters: int, weight: str) -> str:
    """Return the weighted lexemes of a column as the first revisions made them.

    Another form needs another function.
    """
    inner = (
        "([[:lower:][:digit:]])([[:upper:]])|([[:upper:]])([[:upper:]][[:lower:]])"
        r"|([[:alnum:]]{2})[_/.\\]([[:alpha:]])|[_/.\\]([[:alpha:]]{2})"
    )
    hyphened = f"regexp_replace(left(coalesce({column}, ''), {characters}), '{inner}', '\\1\\3\\5-\\2\\4\\6\\7', 'g')"
    numbered = f"regexp_replace({hyphened}, '[/\\\\]([[:digit:]])', ' \\1', 'g')"
    return f"setweight(to_tsvector('english', left(replace({numbered}, '_', ' '), {characters})), '{weight}')"


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
    """Create the HNSW index of a column of embeddings, in the form that fits the dimension of this database."""
    embedding: Column[Any] = Column(column, EmbeddingColumn(options().dimensions))
    Table(table, MetaData(), embedding)
    op.get_bind().execute(CreateIndex(target.vector_index(embedding, options())))


def create_month_partitions(ahead: int) -> None:
    """Make partitions of telemetry for this month and the next `ahead`.

    What the default one holds of them is moved.
    """
    connection = op.get_bind()
    until = time.monotonic() + STATEMENT_TIMEOUT.total_seconds()
    for month in partitions.missing_ahead(
        connection, partitions.partitions(connection), ahead=ahead
    ):
        partitions.create_partition(connection, month, until=until)


def drop_month_partitions() -> None:
    """Bring the events of every month back into the default partition."""
    partitions.merge_into_default(op.get_bind())


def create_index_concurrently(
    name: str,
    table: str,
    columns: Sequence[str | ColumnElement[Any]],
    *,
    unique: bool = False,
    **dialect_options: Any,
) -> None:
    """Create an index while others write to the table; what an interrupted attempt left behind is
    dropped first.

    For a table that is big and in use, in place of a generated `op.create_index`, which keeps
    writers out. It cannot be part of a transaction: what the revision did before is committed, so
    let it do nothing else, and take it back with `op.drop_index(..., if_exists=True)`.
    `dialect_options` are those of `op.create_index`.
    """
    with op.get_context().autocommit_block(), indexes.patient(op.get_bind()):
        if indexes.is_invalid(op.get_bind(), name):
            op.drop_index(name, table, postgresql_concurrently=True)
        op.create_index(
            name,
            table,
            list(columns),
            unique=unique,
            postgresql_concurrently=True,
            if_not_exists=True,
            **dialect_options,
        )
