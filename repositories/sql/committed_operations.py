"""Statements for `committed_operations`: look up an operation, and delete old ones."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Select, TextClause, select, text
from sqlalchemy.dialects.postgresql import Insert, insert

from domain.entities.maintenance import CommittedOperation


def lock_timeout(limit: timedelta) -> TextClause:
    """Set `lock_timeout` for the transaction; Citus sends SET LOCAL to its workers."""
    return text(f"SET LOCAL lock_timeout = {round(limit.total_seconds() * 1000) or 1}")


NEXT_TENANT: Final = text("SELECT min(tenant) FROM committed_operations WHERE tenant > :after")
"""Select the next tenant that has operations, or NULL. Bind: `after`, of the previous one."""

DELETE_OLD: Final = text("""
DELETE FROM committed_operations WHERE tenant = :tenant AND operation_id IN (
    SELECT operation_id FROM committed_operations
    WHERE tenant = :tenant AND created_at < :before ORDER BY created_at LIMIT :size
)
""")
"""Delete the next `size` rows of the tenant whose transactions began before the moment.

The index begins with the tenant, and PostgreSQL before 18 has no skip scan: one tenant at a time,
the statement reads only old rows. On Citus, it runs on the shard of the tenant.

Binds: `tenant`, `before`, `size`.
"""


def insert_operation(tenant: str, operation_id: UUID) -> Insert:
    """Insert the operation's row unless it exists.

    PostgreSQL waits for the end of a transaction that inserted the same row and is still open.
    """
    return (
        insert(CommittedOperation.__table__)
        .values(tenant=tenant, operation_id=operation_id)
        .on_conflict_do_nothing()
    )


def select_attempt(tenant: str, operation_id: UUID) -> Select[UUID | None]:
    """Select the attempt that committed the operation; no row if none did."""
    columns = CommittedOperation.__table__.c
    return select(columns.attempt_id).where(
        columns.tenant == tenant, columns.operation_id == operation_id
    )
