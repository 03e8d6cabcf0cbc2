"""Indexes that are built while others write, those whose building was interrupted, and those that a first load left out."""

from __future__ import annotations

from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from sqlalchemy import ARRAY, BigInteger, Text, bindparam, text
from sqlalchemy.schema import CreateIndex

from repositories.migrations.target import table_of, vector_indexes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Index

    from repositories.migrations.options import SchemaOptions

LOAD_KEY: Final = int.from_bytes(sha256(b"recollect.initial_load").digest()[:8], signed=True)
"""Who holds this advisory lock fills a table, and builds its vector index afterwards."""

_LOAD: Final = bindparam("key", LOAD_KEY, BigInteger)
_TRY_LOAD: Final = text("SELECT pg_try_advisory_lock(:key)").bindparams(_LOAD)
_END_LOAD: Final = text("SELECT pg_advisory_unlock(:key)").bindparams(_LOAD)
_IS_LEFT_OUT: Final = text("SELECT to_regclass(:table) IS NOT NULL AND to_regclass(:name) IS NULL")

_WAIT: Final = text(
    "SELECT current_setting('lock_timeout'), set_config('lock_timeout', '0', false)"
)
_LIMIT: Final = text("SELECT set_config('lock_timeout', :limit, false)")
# One that is being built now is invalid as well, and somebody else's business.
_INTERRUPTED: Final = text("""
WITH ours AS (
    SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname = ANY(:tables)
    UNION SELECT inhrelid FROM pg_inherits
    WHERE inhparent IN (SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname = ANY(:tables))
)
SELECT c.oid::regclass::text, c.relname ~ '_cc(new|old)[0-9]*$'
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid IN (SELECT oid FROM ours) AND NOT i.indisvalid AND c.relkind = 'i'
AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
""").bindparams(bindparam("tables", type_=ARRAY(Text)))
_IS_INVALID: Final = text(
    "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(:name) AND NOT indisvalid)"
)


@contextmanager
def patient(connection: Connection) -> Iterator[None]:
    """Let the block wait for locks as long as statements may run.

    Building concurrently means to wait for the transactions of others while they need not wait:
    `lock_timeout` would end that in vain.
    """
    limit = connection.execute(_WAIT).scalar_one()
    yield
    connection.execute(_LIMIT, {"limit": limit})


def is_invalid(connection: Connection, name: str) -> bool:
    """Whether an index of this name is what an interrupted CREATE INDEX CONCURRENTLY left behind."""
    return bool(connection.scalar(_IS_INVALID, {"name": name}))


def rebuild_interrupted(connection: Connection, tables: Sequence[str]) -> None:
    """Rebuild the invalid indexes of these tables and of their partitions.

    The connection is in no transaction.
    """
    found = connection.execute(_INTERRUPTED, {"tables": list(tables)}).all()
    connection.rollback()
    if not found:
        return
    with outside_of_transactions(connection):
        for name, is_leftover in found:
            # A copy that an interrupted REINDEX CONCURRENTLY made stands beside the index itself.
            command = "DROP INDEX" if is_leftover else "REINDEX INDEX"
            connection.execute(text(f"{command} CONCURRENTLY {name}"))


def build_left_out(connection: Connection, options: SchemaOptions) -> None:
    """Build the vector indexes that an interrupted first load left out, unless one is under way.

    It builds its own.
    """
    left_out = [
        index for index in vector_indexes(options).values() if is_left_out(connection, index)
    ]
    if left_out and load_for_us(connection):
        try:
            for index in left_out:
                build(connection, index)
        finally:
            connection.execute(_END_LOAD)
    connection.rollback()


def load_for_us(connection: Connection) -> bool:
    """Take the lock of those who load, or say that another connection has it.

    It ends with the connection.
    """
    return bool(connection.scalar(_TRY_LOAD))


def is_left_out(connection: Connection, index: Index) -> bool:
    """Whether the index is missing although its table is there."""
    return bool(connection.scalar(_IS_LEFT_OUT, {"table": table_of(index), "name": index.name}))


def build(connection: Connection, index: Index) -> None:
    """Build an index while others write to its table."""
    index.dialect_options["postgresql"]["concurrently"] = True
    connection.rollback()
    with outside_of_transactions(connection):
        connection.execute(CreateIndex(index))


@contextmanager
def outside_of_transactions(connection: Connection) -> Iterator[None]:
    """Let each statement of the block be one of its own, which waits for locks as long as statements may run."""
    level = connection.get_isolation_level()
    connection.execution_options(isolation_level="AUTOCOMMIT")
    try:
        with patient(connection):
            yield
    finally:
        connection.rollback()
        connection.execution_options(isolation_level=level)
