"""Statistics of reviews and reactions.

Statements select sums and counts instead of means, so that the server rounds nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Date,
    DateTime,
    FromClause,
    Interval,
    Select,
    Subquery,
    and_,
    cast,
    column,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, aggregate_order_by, distinct_on

from domain.entities.reviews import FeedbackReaction, Finding, Reaction, Review
from domain.values.classification import Severity
from domain.values.insights import TOP_FILES

_REVIEWS = Review.__table__
_FINDINGS = Finding.__table__
_REACTIONS = FeedbackReaction.__table__


def repo_stats(tenant: str, repo: str, since: datetime | None) -> Select[*tuple[Any, ...]]:
    """Select one row with the figures of the repository's reviews.

    The files with most findings are unordered JSON.
    """
    columns = _REVIEWS.c
    conditions = [columns.tenant == tenant, columns.repo == repo]
    if since is not None:
        conditions.append(columns.created_at >= since)
    reviewed = select(columns.id, columns.findings_total).where(*conditions).cte("reviewed")
    of_review = and_(_FINDINGS.c.tenant == tenant, _FINDINGS.c.review_id == reviewed.c.id)
    facts = [_FINDINGS.c[name] for name in ("severity", "suppressed", "confidence", "file_path")]
    findings = select(*facts).join_from(reviewed, _FINDINGS, of_review).cte("found")
    by_severity = (
        func.count().filter(findings.c.severity == severity).label(severity.value)
        for severity in Severity
    )
    return select(
        select(func.count()).select_from(reviewed).scalar_subquery().label("reviews"),
        select(func.coalesce(func.sum(reviewed.c.findings_total), 0))
        .scalar_subquery()
        .label("declared"),
        func.count().label("findings"),
        *by_severity,
        func.count().filter(findings.c.suppressed).label("suppressed"),
        func.sum(findings.c.confidence).label("confidence"),
        _top_files(findings).label("top_files"),
    ).select_from(findings)


def _top_files(findings: FromClause) -> ColumnElement[Any]:
    counted = (
        select(findings.c.file_path, func.count().label("findings"))
        .group_by(findings.c.file_path)
        .subquery("counted")
    )
    # "C" is the order of code points, which is Python's.
    most_first = (counted.c.findings.desc(), counted.c.file_path.collate("C"))
    files = select(counted).order_by(*most_first).limit(TOP_FILES).subquery("files")
    pairs = func.json_agg(func.json_build_array(files.c.file_path, files.c.findings), type_=JSON)
    return select(pairs).scalar_subquery()


def daily_trends(tenant: str, repo: str, days: int) -> Select[*tuple[Any, ...]]:
    """Select one row for each of the last `days` UTC days, oldest first.

    Figures are NULL for a day without a review.
    """
    columns, findings = _REVIEWS.c, _FINDINGS.c
    today = func.date_trunc("day", func.timezone("UTC", func.now()))
    first = today - literal(timedelta(days=days - 1), Interval())
    series = func.generate_series(first, today, literal(timedelta(days=1), Interval()))
    calendar = series.table_valued(column("day", DateTime()), name="calendar").render_derived()
    of_review = and_(findings.tenant == columns.tenant, findings.review_id == columns.id)
    day = cast(func.timezone("UTC", columns.created_at), Date).label("day")
    figures = (
        select(
            day,
            func.count(columns.id.distinct()).label("reviews"),
            func.count(findings.id).label("findings"),
            func.count(findings.id).filter(findings.suppressed).label("suppressions"),
            func.sum(findings.confidence).label("confidence"),
        )
        .select_from(_REVIEWS.outerjoin(_FINDINGS, of_review))
        .where(
            columns.tenant == tenant,
            columns.repo == repo,
            columns.created_at >= func.timezone("UTC", first),
        )
        .group_by(day)
        .subquery("figures")
    )
    calendar_day = cast(calendar.c.day, Date)
    counts = (figures.c.reviews, figures.c.findings, figures.c.suppressions, figures.c.confidence)
    joined = calendar.outerjoin(figures, figures.c.day == calendar_day)
    return select(calendar_day.label("day"), *counts).select_from(joined).order_by(calendar.c.day)


def reactions_by_title(tenant: str, repo: str) -> Select[*tuple[Any, ...]]:
    """Select one row for each title with a reaction that counts.

    A person's newest reaction to a comment counts. The row has the people and pull requests of the
    thumbs-down, and the facts of the title's newest reaction.
    """
    counted, reviews = _counted_reactions(tenant, repo), _REVIEWS.c
    columns = counted.c
    disliked = columns.reaction_content == Reaction.THUMBS_DOWN
    newest_first = (columns.moment.desc(), columns.reaction_id.desc(), columns.id.desc())

    def of_newest(value: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.array_agg(aggregate_order_by(value, *newest_first), type_=ARRAY(value.type))[1]

    return (
        select(
            columns.title,
            func.count().filter(disliked).label("thumbs_down"),
            func.count().filter(~disliked).label("thumbs_up"),
            func.array_agg(columns.reactor_login.distinct()).filter(disliked).label("reactors"),
            func.array_agg(reviews.pr_number.distinct()).filter(disliked).label("pull_requests"),
            of_newest(columns.severity).label("severity"),
            of_newest(columns.category).label("category"),
            of_newest(columns.moment).label("newest_at"),
            of_newest(columns.reaction_id).label("newest_reaction_id"),
            of_newest(columns.id).label("newest_id"),
        )
        .join_from(
            counted, _REVIEWS, and_(reviews.tenant == tenant, reviews.id == columns.review_id)
        )
        .group_by(columns.title)
    )


def _counted_reactions(tenant: str, repo: str) -> Subquery:
    """Return the newest reaction of each person to each comment."""
    columns = _REACTIONS.c
    moment = func.coalesce(columns.reacted_at, columns.created_at)
    person = (columns.comment_id, columns.reactor_login)
    facts = ("id", "review_id", "reaction_id", "reaction_content", "severity", "category", "title")
    return (
        select(*(columns[name] for name in facts), columns.reactor_login, moment.label("moment"))
        .where(columns.tenant == tenant, columns.repo == repo)
        .order_by(*person, moment.desc(), columns.reaction_id.desc())
        .ext(distinct_on(*person))
        .subquery("counted")
    )
