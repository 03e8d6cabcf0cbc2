"""Indexes that are built while others write, and those whose building was interrupted."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sqlalchemy import ARRAY, Text, bindparam, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

_WAIT: Final = text("SELECT current_setting('lock_timeout'), set_config('lock_timeout', '0', false)")
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
_IS_INVALID: Final = text("SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(:name) AND NOT indisvalid)")


@contextmanager
def patient(connection: Connection) -> Iterator[None]:
    """Let the block wait for locks as long as statements may run.

    Building concurrently means to wait for the transactions of others while they need not wait: `lock_timeout` would end that
    in vain.
    """
    limit = connection.execute(_WAIT).scalar_one()
    yield
    connection.execute(_LIMIT, {"limit": limit})


def is_invalid(connection: Connection, name: str) -> bool:
    """Whether an index of this name is what an interrupted CREATE INDEX CONCURRENTLY left behind."""
    return bool(connection.scalar(_IS_INVALID, {"name": name}))


def rebuild_interrupted(connection: Connection, tables: Sequence[str]) -> None:
    """Rebuild the invalid indexes of these tables and of their partitions; the connection is in no transaction."""
    found = connection.execute(_INTERRUPTED, {"tables": list(tables)}).all()
    connection.rollback()
    if not found:
        return
    level = connection.get_isolation_level()
    connection.execution_options(isolation_level="AUTOCOMMIT")
    try:
        with patient(connection):
            for name, is_leftover in found:
                # A copy that an interrupted REINDEX CONCURRENTLY made stands beside the index itself.
                command = "DROP INDEX" if is_leftover else "REINDEX INDEX"
                connection.execute(text(f"{command} CONCURRENTLY {name}"))
    finally:
        connection.rollback()
        connection.execution_options(isolation_level=level)
