"""Statistics of reviews and reactions.

Statements select sums and counts instead of means, so that the server rounds nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    DateTime,
    FromClause,
    Interval,
    Label,
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
    figures = _figures_of_findings()
    # One pass over the findings, which parallel workers can share; the sums are those of the files.
    by_file = (
        select(_FINDINGS.c.file_path, *figures)
        .join_from(reviewed, _FINDINGS, of_review)
        .group_by(_FINDINGS.c.file_path)
        .cte("by_file")
    )
    totals = (
        func.coalesce(_whole_sum(by_file.c[figure.name]), 0).label(figure.name)
        for figure in figures
        if figure.name != "confidence"
    )
    return select(
        select(func.count()).select_from(reviewed).scalar_subquery().label("reviews"),
        select(func.coalesce(func.sum(reviewed.c.findings_total), 0))
        .scalar_subquery()
        .label("declared"),
        *totals,
        _whole_sum(by_file.c.confidence).label("confidence"),
        _top_files(by_file).label("top_files"),
    ).select_from(by_file)


def _figures_of_findings() -> list[Label[Any]]:
    columns = _FINDINGS.c
    return [
        func.count().label("findings"),
        *(
            func.count().filter(columns.severity == severity).label(severity.value)
            for severity in Severity
        ),
        func.count().filter(columns.suppressed).label("suppressed"),
        func.sum(columns.confidence).label("confidence"),
    ]


def _whole_sum(counts: ColumnElement[Any]) -> ColumnElement[int]:
    # The server's sum of bigints is numeric.
    return cast(func.sum(counts), BigInteger)


def _top_files(by_file: FromClause) -> ColumnElement[Any]:
    # "C" is the order of code points, which is Python's.
    most_first = (by_file.c.findings.desc(), by_file.c.file_path.collate("C"))
    counted = select(by_file.c.file_path, by_file.c.findings)
    files = counted.order_by(*most_first).limit(TOP_FILES).subquery("files")
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
    reviewed = (
        select(columns.id, cast(func.timezone("UTC", columns.created_at), Date).label("day"))
        .where(
            columns.tenant == tenant,
            columns.repo == repo,
            columns.created_at >= func.timezone("UTC", first),
        )
        .cte("reviewed")
    )
    # A count of distinct reviews would sort every finding, and no parallel worker could help.
    reviews = (
        select(reviewed.c.day, func.count().label("reviews"))
        .group_by(reviewed.c.day)
        .subquery("reviews_of_day")
    )
    findings_of_day = (
        select(
            reviewed.c.day,
            func.count().label("findings"),
            func.count().filter(findings.suppressed).label("suppressions"),
            func.sum(findings.confidence).label("confidence"),
        )
        .join_from(
            reviewed,
            _FINDINGS,
            and_(findings.tenant == tenant, findings.review_id == reviewed.c.id),
        )
        .group_by(reviewed.c.day)
        .subquery("findings_of_day")
    )
    calendar_day = cast(calendar.c.day, Date)
    counts = (
        reviews.c.reviews,
        findings_of_day.c.findings,
        findings_of_day.c.suppressions,
        findings_of_day.c.confidence,
    )
    joined = calendar.outerjoin(reviews, reviews.c.day == calendar_day).outerjoin(
        findings_of_day, findings_of_day.c.day == calendar_day
    )
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
