"""The ledger of operations: whether a row of one can still be written."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import Select, func, select, true
from sqlalchemy.dialects.postgresql import Insert, insert

from domain.maintenance import Operation


def lock_timeout(limit: timedelta) -> Select[str]:
    """Let no lock be waited for longer than this in the transaction."""
    return select(func.set_config("lock_timeout", str(round(limit.total_seconds() * 1000) or 1), true()))


def take_operation(tenant: str, operation_id: UUID) -> Insert:
    """Insert the operation's row unless there is one; a transaction that has inserted it and not ended is waited for."""
    return insert(Operation.__table__).values(tenant=tenant, operation_id=operation_id).on_conflict_do_nothing()
