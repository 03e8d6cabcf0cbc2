"""The replacement of the HNSW index that all tenants share by a covering index."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Text, bindparam, text
from sqlalchemy.schema import CreateIndex

from repositories.migrations import indexes, tenant_indexes
from repositories.sql.large_tenants import TENANT_INDEXES
from repositories.sql.vector_index import covering_index, is_covered, vector_index_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Column, Connection

    from repositories.migrations.options import SchemaOptions

_logger: Final = logging.getLogger("recollect.migrations")

_TUPLE_BYTES: Final = 120
"""The bytes of a tuple of the covering index beside the embedding: key, id, hash and header."""

_FILLED: Final = 0.85
"""The share of a page that tuples of this size fill."""

_INDEX: Final = text("""
SELECT m.amname AS method, pg_relation_size(c.oid) AS bytes
FROM pg_class c JOIN pg_am m ON m.oid = c.relam WHERE c.oid = to_regclass(:name)
""").bindparams(bindparam("name", type_=Text))
_ROWS: Final = text(
    "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = to_regclass(:table)"
).bindparams(bindparam("table", type_=Text))


def cover(connection: Connection, column: Column[Any], options: SchemaOptions) -> None:
    """Build the covering index of a table, then those of large tenants, and drop the shared index.

    The connection is in autocommit mode. Until the last step searches use the shared index.
    """
    table, name = column.table.name, vector_index_name(column)
    new = f"{name}_new"
    shared = connection.execute(_INDEX, {"name": name}).mappings().one_or_none()
    if not is_covered(options.dimensions) or (shared is not None and shared["method"] == "btree"):
        return
    large = tenant_indexes.large_tenants(connection, column, options)
    _report_space(connection, table, options, sum(one.embeddings for one in large), shared)
    if indexes.is_invalid(connection, new):
        connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {new}"))
    steps = 3 + len(large)
    with _step(table, 1, steps, "build the covering index of embeddings"):
        index = covering_index(column, new)
        column.table.indexes.discard(index)
        index.dialect_options["postgresql"]["concurrently"] = True
        connection.execute(CreateIndex(index, if_not_exists=True))
    with _step(table, 2, steps, "update the visibility map and the statistics"):
        connection.execute(text(f"VACUUM (ANALYZE) {table}"))
    for number, one in enumerate(large, start=3):
        with _step(table, number, steps, f"build the HNSW index of a tenant of {one.embeddings:,}"):
            tenant_indexes.build_concurrently(
                connection, column, one.tenant, options, one.embeddings
            )
    with _step(table, steps, steps, "drop the HNSW index that all tenants share"):
        connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))
        connection.execute(text(f"ALTER INDEX {new} RENAME TO {name}"))


def uncover(connection: Connection, table: str) -> bool:
    """Drop the covering index of a table and the indexes of single tenants.

    Returns:
        Whether the table had a covering index.
    """
    for row in connection.execute(TENANT_INDEXES).mappings().all():
        if row["table"] == table:
            connection.execute(text(f"DROP INDEX {row['name']}"))
    name = f"ix_{table}_embedding"
    index = connection.execute(_INDEX, {"name": name}).mappings().one_or_none()
    if index is None or index["method"] != "btree":
        return False
    connection.execute(text(f"DROP INDEX {name}"))
    return True


def covering_bytes(rows: int, dimensions: int) -> int:
    """Return the size of a covering index of this number of embeddings."""
    return round(rows * (4 * dimensions + _TUPLE_BYTES) / _FILLED)


def _report_space(
    connection: Connection, table: str, options: SchemaOptions, indexed: int, shared: Any
) -> None:
    rows = connection.execute(_ROWS, {"table": table}).scalar_one()
    graph_bytes = indexed * (2 * 4 * options.dimensions + 20 * options.hnsw_m)
    needed = covering_bytes(rows, options.dimensions) + graph_bytes
    freed = 0 if shared is None else shared["bytes"]
    _logger.info(
        "%s, about %s rows: the new indexes need about %s MB of disk space, and the old one frees"
        " %s MB at the end",
        table,
        f"{rows:,}",
        f"{needed / 1e6:,.0f}",
        f"{freed / 1e6:,.0f}",
    )


@contextmanager
def _step(table: str, number: int, steps: int, doing: str) -> Iterator[None]:
    _logger.info("%s, step %d of %d: %s", table, number, steps, doing)
    started = time.monotonic()
    yield
    _logger.info("%s: done after %.1f s", table, time.monotonic() - started)
