"""Claims of runs: each statement is one step, and locks the rows that the next step changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Delete,
    Interval,
    Select,
    Text,
    Update,
    and_,
    any_,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from domain.entities.runs import RunState
from domain.values.claims import STALE_RUN_AFTER, UNFINISHED, RunStatus
from repositories.sql.retention import ago
from repositories.sql.rows import delete_rows

_TABLE = RunState.__table__
_COLUMNS = _TABLE.c
_IS_UNFINISHED = _COLUMNS.status.in_(sorted(UNFINISHED))


def has_expired() -> ColumnElement[bool]:
    """Return the condition that the lease of an unfinished run has expired.

    A run that was inserted without a lease has the one of a claim. In a DELETE, Citus refuses the
    sum of a column and an interval, which depends on the time zone.
    """
    has_no_lease = or_(_COLUMNS.lease_expires_at.is_(None), _COLUMNS.status == RunStatus.PENDING)
    return or_(
        _COLUMNS.lease_expires_at < func.now(),
        and_(has_no_lease, _COLUMNS.claimed_at < ago(STALE_RUN_AFTER)),
    )


def competing_runs(run: RunState) -> Select[*tuple[Any, ...]]:
    """Select and lock the run with this key and the unfinished run of its pull request."""
    same_pull_request = and_(_COLUMNS.repo == run.repo, _COLUMNS.pr_number == run.pr_number)
    columns = (
        _COLUMNS.run_key,
        _COLUMNS.status,
        _COLUMNS.delivery_id,
        _COLUMNS.claimed_at,
        _COLUMNS.occurred_at,
        has_expired().label("is_expired"),
    )
    return (
        select(*columns)
        .where(
            _COLUMNS.tenant == run.tenant,
            or_(_COLUMNS.run_key == run.run_key, and_(same_pull_request, _IS_UNFINISHED)),
        )
        .order_by(_COLUMNS.id)
        .with_for_update()
    )


def server_clock() -> Select[datetime]:
    """Select the current time; unlike `now()`, it advances within a transaction."""
    return select(func.clock_timestamp())


def claim_again(run: RunState, lease: timedelta) -> Update:
    """Return the statement that gives the run with this key to this attempt, as pending."""
    values = {
        "status": RunStatus.PENDING,
        "attempt": run.attempt,
        "delivery_id": run.delivery_id,
        "action": run.action,
        "superseded_by": null(),
        "occurred_at": func.coalesce(run.occurred_at, _COLUMNS.occurred_at),
        **_claimed_now(lease),
    }
    return (
        update(_TABLE)
        .where(_COLUMNS.tenant == run.tenant, _COLUMNS.run_key == run.run_key)
        .values(values)
    )


def supersede(run: RunState, run_keys: Sequence[str]) -> Update:
    """Return the statement by which this run supersedes the unfinished runs with these keys."""
    conditions = (
        _COLUMNS.tenant == run.tenant,
        _COLUMNS.run_key == any_(cast(list(run_keys), ARRAY(Text))),
        _IS_UNFINISHED,
    )
    return (
        update(_TABLE)
        .where(*conditions)
        .values(status=RunStatus.SUPERSEDED, superseded_by=run.run_key, lease_expires_at=null())
    )


def insert_claimed(run: RunState, lease: timedelta) -> ReturningInsert[Any]:
    """Insert the run and return its id, unless the run conflicts with another.

    It conflicts if its key exists, or if its pull request has an unfinished run. The statement
    waits for a transaction that is inserting such a run, and inserts nothing if that transaction
    commits.
    """
    values = {**run.model_dump(exclude_none=True), **_claimed_now(lease)}
    return insert(_TABLE).values(values).on_conflict_do_nothing().returning(_COLUMNS.id)


def _claimed_now(lease: timedelta) -> dict[str, Any]:
    return {
        "claimed_at": func.statement_timestamp(),
        "lease_expires_at": func.statement_timestamp() + literal(lease, Interval()),
    }


def heartbeat(
    tenant: str, run_key: str, attempt: UUID, lease: timedelta
) -> ReturningUpdate[RunStatus, UUID]:
    """Extend the lease if this attempt has the unfinished run; return its status and attempt."""
    expires = func.statement_timestamp() + literal(lease, Interval())
    return _change_unfinished(
        tenant, run_key, attempt, status=RunStatus.RUNNING, lease_expires_at=expires
    )


def complete(tenant: str, run_key: str, attempt: UUID) -> ReturningUpdate[RunStatus, UUID]:
    """Complete the run if this attempt has it unfinished; return its status and attempt."""
    return _change_unfinished(
        tenant,
        run_key,
        attempt,
        status=RunStatus.COMPLETED,
        completed_at=func.now(),
        lease_expires_at=null(),
    )


def _change_unfinished(
    tenant: str, run_key: str, attempt: UUID, *, status: RunStatus, **values: Any
) -> ReturningUpdate[RunStatus, UUID]:
    is_held = and_(_IS_UNFINISHED, _COLUMNS.attempt == attempt)
    changes = {"status": literal(status, _COLUMNS.status.type), **values}
    # Citus refuses a clock in CASE, but not in a subquery.
    new = {
        name: select(case((is_held, value), else_=_COLUMNS[name]))
        .correlate(_TABLE)
        .scalar_subquery()
        for name, value in changes.items()
    }
    statement = (
        update(_TABLE).where(_COLUMNS.tenant == tenant, _COLUMNS.run_key == run_key).values(new)
    )
    return statement.returning(_COLUMNS.status, _COLUMNS.attempt)


def last_reviewed_head(tenant: str, repo: str, pr_number: int) -> Select[str]:
    """Select the head of the pull request whose review was completed last.

    A completed run that was claimed again counts by its `completed_at`.
    """
    conditions = (
        _COLUMNS.tenant == tenant,
        _COLUMNS.repo == repo,
        _COLUMNS.pr_number == pr_number,
        or_(_COLUMNS.status == RunStatus.COMPLETED, _COLUMNS.completed_at.is_not(None)),
    )
    return (
        select(_COLUMNS.head_sha)
        .where(*conditions)
        .order_by(_COLUMNS.completed_at.desc().nulls_last(), _COLUMNS.id.desc())
        .limit(1)
    )


def delete_old(
    tenant: str,
    *,
    completed: timedelta,
    superseded: timedelta,
    unfinished: timedelta,
    at_most: int | None,
) -> Delete:
    """Delete old runs: completed ones, superseded ones, and unfinished ones without a live lease.

    A run whose head was reviewed before is kept until that review is old enough, too.
    """
    review_is_old = _COLUMNS.completed_at < ago(completed)
    never_reviewed_or_old = or_(_COLUMNS.completed_at.is_(None), review_is_old)
    is_superseded = and_(
        _COLUMNS.status == RunStatus.SUPERSEDED, _COLUMNS.claimed_at < ago(superseded)
    )
    is_abandoned = and_(_IS_UNFINISHED, has_expired(), _COLUMNS.claimed_at < ago(unfinished))
    is_old = or_(
        and_(_COLUMNS.status == RunStatus.COMPLETED, review_is_old),
        and_(or_(is_superseded, is_abandoned), never_reviewed_or_old),
    )
    return delete_rows(RunState, tenant, is_old, at_most=at_most)
