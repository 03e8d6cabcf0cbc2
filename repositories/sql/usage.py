"""Sums of tokens, cost and duration of model runs: exact sums, never floating point."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, func, select

from domain.entities.telemetry import TIMEOUT_CONCLUSIONS, TelemetryEvent
from domain.values.usage import UsageBy
from repositories.sql.retention import ago

_COLUMNS = TelemetryEvent.__table__.c
_SUMMED = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_creation_tokens",
    "duration_ms",
    "cost_usd",
)


def usage(
    tenant: str, by: UsageBy, *, repo: str | None, since: datetime | None, until: datetime | None
) -> Select[*tuple[Any, ...]]:
    """Select the number of runs and the sums of each group, in the order of its key."""
    key = _key(by)
    sums = (func.sum(_COLUMNS[name]).label(name) for name in _SUMMED)
    statement = select(key.label("key"), func.count().label("runs"), *sums).where(
        _COLUMNS.tenant == tenant
    )
    if repo is not None:
        statement = statement.where(_COLUMNS.repo == repo)
    if since is not None:
        statement = statement.where(_COLUMNS.created_at >= since)
    if until is not None:
        statement = statement.where(_COLUMNS.created_at < until)
    return statement.group_by(key).order_by(key.collate("C"))


def count_timeouts(tenant: str, repo: str, author: str, age: timedelta) -> Select[int]:
    """Count the author's runs within `age` that ended with a timeout or a partial timeout."""
    conditions = (_COLUMNS.tenant == tenant, _COLUMNS.repo == repo, _COLUMNS.pr_author == author)
    lately = _COLUMNS.created_at >= ago(age)
    return (
        select(func.count())
        .select_from(TelemetryEvent.__table__)
        .where(*conditions, _COLUMNS.conclusion.in_(TIMEOUT_CONCLUSIONS), lately)
    )


def _key(by: UsageBy) -> ColumnElement[str]:
    match by:
        case UsageBy.DAY:
            return func.to_char(
                func.timezone("UTC", _COLUMNS.created_at), "YYYY-MM-DD", type_=Text()
            )
        case UsageBy.MODEL | UsageBy.REPO | UsageBy.EVENT_TYPE:
            return _COLUMNS[by.value]
