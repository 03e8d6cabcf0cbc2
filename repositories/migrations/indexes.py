"""Indexes: build concurrently, rebuild after an interruption, complete after an initial load."""

from __future__ import annotations

from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ARRAY, BigInteger, Text, bindparam, text
from sqlalchemy.schema import CreateIndex

from repositories.migrations import distribution
from repositories.migrations.target import table_of, vector_indexes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Index, Row

    from repositories.migrations.options import SchemaOptions

LOAD_KEY: Final = int.from_bytes(sha256(b"recollect.initial_load").digest()[:8], signed=True)
"""The advisory lock of an initial load, which fills a table and then builds its vector index."""

_LOAD: Final = bindparam("key", LOAD_KEY, BigInteger)
_TRY_LOAD: Final = text("SELECT pg_try_advisory_lock(:key)").bindparams(_LOAD)
_END_LOAD: Final = text("SELECT pg_advisory_unlock(:key)").bindparams(_LOAD)
_IS_LEFT_OUT: Final = text("SELECT to_regclass(:table) IS NOT NULL AND to_regclass(:name) IS NULL")

_WAIT: Final = text(
    "SELECT current_setting('lock_timeout'), set_config('lock_timeout', '0', false)"
)
_LIMIT: Final = text("SELECT set_config('lock_timeout', :limit, false)")
# An index that another session builds now is invalid as well, and is left out.
_INTERRUPTED: Final = text("""
WITH ours AS (
    SELECT oid FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relname = ANY(:tables)
    UNION SELECT inhrelid FROM pg_inherits
    WHERE inhparent IN (
        SELECT oid FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relname = ANY(:tables)
    )
)
SELECT c.oid::regclass::text AS name, pg_get_indexdef(c.oid) AS definition,
       c.relname ~ '_cc(new|old)[0-9]*$' AS is_leftover
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

    CREATE INDEX CONCURRENTLY waits for the transactions of others without blocking them, and
    `lock_timeout` would end that wait.
    """
    limit = connection.execute(_WAIT).scalar_one()
    yield
    connection.execute(_LIMIT, {"limit": limit})


def is_invalid(connection: Connection, name: str) -> bool:
    """Return whether an interrupted CREATE INDEX CONCURRENTLY left an index of this name.

    Drop it with IF EXISTS: on Citus, the workers may lack it.
    """
    return bool(connection.scalar(_IS_INVALID, {"name": name}))


def rebuild_interrupted(connection: Connection, tables: Sequence[str]) -> None:
    """Rebuild the invalid indexes of these tables and of their partitions.

    The connection must not be in a transaction. On Citus, an index that its workers build now looks
    interrupted on the coordinator: while they build any, none is rebuilt.
    """
    invalid = connection.execute(_INTERRUPTED, {"tables": list(tables)}).all()
    distributed = bool(invalid) and distribution.is_distributed(connection)
    is_left = distributed and distribution.builds_index(connection)
    connection.rollback()
    if not invalid or is_left:
        return
    with outside_of_transactions(connection):
        for row in invalid:
            for command in _rebuilding(row, distributed=distributed):
                connection.exec_driver_sql(command)


def _rebuilding(interrupted: Row[Any], *, distributed: bool) -> Iterator[str]:
    name = interrupted.name
    if interrupted.is_leftover or distributed:
        # A copy that an interrupted REINDEX CONCURRENTLY made stands beside the index itself.
        yield f"DROP INDEX CONCURRENTLY IF EXISTS {name}"
    if interrupted.is_leftover:
        return
    if distributed:
        # Citus fails to reindex what a worker lacks, but the coordinator's index is valid then.
        yield interrupted.definition.replace("INDEX", "INDEX CONCURRENTLY", 1)
    else:
        yield f"REINDEX INDEX CONCURRENTLY {name}"


def build_left_out(connection: Connection, options: SchemaOptions) -> None:
    """Build the vector indexes that an interrupted initial load left out.

    An initial load that is under way builds its own.
    """
    left_out = [
        index for index in vector_indexes(options).values() if is_left_out(connection, index)
    ]
    if left_out and load_for_us(connection):
        try:
            for index in left_out:
                build(connection, index)
        finally:
            end_load(connection)
    connection.rollback()


def load_for_us(connection: Connection) -> bool:
    """Take the lock of initial loads, and return whether it was free.

    Closing the connection releases it.
    """
    return bool(connection.scalar(_TRY_LOAD))


def end_load(connection: Connection) -> None:
    """Release the lock of initial loads."""
    connection.execute(_END_LOAD)


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
    """Run each statement of the block in autocommit mode, without `lock_timeout`."""
    level = connection.get_isolation_level()
    connection.execution_options(isolation_level="AUTOCOMMIT")
    try:
        with patient(connection):
            yield
    finally:
        connection.rollback()
        connection.execution_options(isolation_level=level)
