"""Statements for `committed_operations`: look up an operation, and delete old ones."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Select, func, select, text, true
from sqlalchemy.dialects.postgresql import Insert, insert

from domain.entities.maintenance import CommittedOperation

# The index begins with the tenant, and PostgreSQL before 18 has no skip scan: one tenant at a time,
# the statement reads only old rows.
DELETE_OLD: Final = text("""
WITH RECURSIVE tenants AS (
    (SELECT tenant FROM committed_operations ORDER BY tenant LIMIT 1)
    UNION ALL
    SELECT following.tenant FROM tenants, LATERAL (
        SELECT tenant FROM committed_operations WHERE tenant > tenants.tenant
        ORDER BY tenant LIMIT 1
    ) AS following
)
DELETE FROM committed_operations WHERE ctid = ANY (ARRAY(
    SELECT old.row FROM tenants, LATERAL (
        SELECT ctid AS row FROM committed_operations
        WHERE tenant = tenants.tenant AND created_at < :before ORDER BY created_at LIMIT :size
    ) AS old LIMIT :size
))
""")
"""Delete the next `size` rows, of any tenant, whose transactions began before the moment.

Binds: `before`, `size`.
"""


def lock_timeout(limit: timedelta) -> Select[str]:
    """Set `lock_timeout` for the transaction."""
    return select(
        func.set_config("lock_timeout", str(round(limit.total_seconds() * 1000) or 1), true())
    )


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
