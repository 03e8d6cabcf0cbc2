"""Claims of runs: each statement is one step, and locks what the next one changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Select,
    Text,
    Update,
    and_,
    any_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from domain.entities.runs import STALE_RUN_AFTER, UNFINISHED, RunState, RunStatus
from repositories.sql.retention import ago

_TABLE = RunState.__table__
_COLUMNS = _TABLE.c
_IS_UNFINISHED = _COLUMNS.status.in_(sorted(UNFINISHED))


def runs_in_the_way(run: RunState) -> Select[str, datetime, bool]:
    """Select and lock the run with this key and the unfinished run of its pull request, and whether it was pending too long."""
    same_pull_request = and_(_COLUMNS.repo == run.repo, _COLUMNS.pr_number == run.pr_number)
    is_stale = and_(
        _COLUMNS.status == RunStatus.PENDING, _COLUMNS.claimed_at < ago(STALE_RUN_AFTER)
    )
    return (
        select(_COLUMNS.run_key, _COLUMNS.claimed_at, is_stale.label("stale"))
        .where(
            _COLUMNS.tenant == run.tenant,
            or_(_COLUMNS.run_key == run.run_key, and_(same_pull_request, _IS_UNFINISHED)),
        )
        .order_by(_COLUMNS.id)
        .with_for_update()
    )


def server_clock() -> Select[datetime]:
    """Select what time it is, unlike `now()` also in the middle of a transaction."""
    return select(func.clock_timestamp())


def claim_again(run: RunState) -> Update:
    """Give the run with this key to this delivery, and start its clock anew."""
    given = {
        "delivery_id": run.delivery_id,
        "action": run.action,
        "claimed_at": func.statement_timestamp(),
    }
    return (
        update(_TABLE)
        .where(_COLUMNS.tenant == run.tenant, _COLUMNS.run_key == run.run_key)
        .values(given)
    )


def supersede(run: RunState, run_keys: Sequence[str]) -> Update:
    """Let this run take the place of the unfinished runs with these keys."""
    theirs = (
        _COLUMNS.tenant == run.tenant,
        _COLUMNS.run_key == any_(cast(list(run_keys), ARRAY(Text))),
        _IS_UNFINISHED,
    )
    return (
        update(_TABLE).where(*theirs).values(status=RunStatus.SUPERSEDED, superseded_by=run.run_key)
    )


def insert_claimed(run: RunState) -> ReturningInsert[Any]:
    """Insert the run and return its id, unless its key exists or its pull request has an unfinished
    run.

    It waits for whoever is about to insert such a run, and inserts nothing if he commits.
    """
    given = {**run.model_dump(exclude_none=True), "claimed_at": func.statement_timestamp()}
    return insert(_TABLE).values(given).on_conflict_do_nothing().returning(_COLUMNS.id)


def complete(tenant: str, run_key: str) -> ReturningUpdate[RunStatus]:
    """Complete the run if it is unfinished, and return what it is then."""
    completed = {
        "status": case(
            (_IS_UNFINISHED, literal(RunStatus.COMPLETED, _COLUMNS.status.type)),
            else_=_COLUMNS.status,
        ),
        "completed_at": case((_IS_UNFINISHED, func.now()), else_=_COLUMNS.completed_at),
    }
    statement = (
        update(_TABLE)
        .where(_COLUMNS.tenant == tenant, _COLUMNS.run_key == run_key)
        .values(completed)
    )
    return statement.returning(_COLUMNS.status)


def last_reviewed_head(tenant: str, repo: str, pr_number: int) -> Select[str]:
    """Select the head of the pull request's newest completed run."""
    of_pull_request = (
        _COLUMNS.tenant == tenant,
        _COLUMNS.repo == repo,
        _COLUMNS.pr_number == pr_number,
    )
    return (
        select(_COLUMNS.head_sha)
        .where(*of_pull_request, _COLUMNS.status == RunStatus.COMPLETED)
        .order_by(_COLUMNS.completed_at.desc().nulls_last(), _COLUMNS.id.desc())
        .limit(1)
    )
