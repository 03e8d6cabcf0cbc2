"""Reviews, findings, suppressions and reactions on PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from domain import (
    Category,
    FeedbackReaction,
    FileCount,
    Finding,
    InvalidInput,
    Reaction,
    ReferenceViolated,
    Review,
    Severity,
    SuppressionLogEntry,
    TransactionPoisoned,
    title_fingerprint,
)
from repositories import Database, UnitOfWork
from tests.integration.observed import statements_of

REPO = "acme/api"
MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def review(**values: Any) -> Review:
    return Review(**{"repo": REPO, "pr_number": 7, **values})


def finding(of: Review, **values: Any) -> Finding:
    given = {"review_id": of.id, "repo": of.repo, "file_path": "api.py", "title": "Retries never end", "confidence": 90}
    return Finding(**{**given, "severity": Severity.MAJOR, "category": Category.CORRECTNESS, **values})


def reaction(to: Finding, content: Reaction = Reaction.THUMBS_DOWN, **values: Any) -> FeedbackReaction:
    told = {name: getattr(to, name) for name in ("repo", "review_id", "severity", "category", "file_path", "title")}
    given = {"finding_id": to.id, "comment_id": 1, "comment_surface": "inline", "reaction_id": 1, "reactor_login": "ada"}
    return FeedbackReaction(**{**told, **given, "reaction_content": content, **values})


async def write(database: Database, *entities: Review | Finding | FeedbackReaction, tenant: str = "default") -> None:
    async with database.unit_of_work(tenant=tenant) as uow:
        await uow.reviews.add_many(entity for entity in entities if isinstance(entity, Review))
        await uow.findings.add_many(entity for entity in entities if isinstance(entity, Finding))
        await uow.reactions.add_many(entity for entity in entities if isinstance(entity, FeedbackReaction))
        await uow.commit()


async def complete_run(database: Database, head: str, **values: Any) -> None:
    names = {"base_sha": "base", "delivery_id": "d", "action": "opened", **values}
    async with database.unit_of_work() as uow:
        claim = await uow.runs.claim(REPO, 7, head_sha=head, **names)
        await uow.runs.complete(claim.run_key)
        await uow.commit()


class TestStats:
    async def test_figures_are_counted_from_the_rows_and_not_from_what_reviews_declare(self, database: Database) -> None:
        first, second = review(findings_total=50), review(findings_total=1)
        found = (
            finding(first, severity=Severity.CRITICAL, confidence=100),
            finding(first, confidence=50, suppressed=True),
            finding(second, confidence=75, file_path="b.py"),
        )
        await write(database, first, second, *found)
        async with database.reader() as view:
            stats = await view.reviews.stats(REPO)
        assert (stats.reviews, stats.findings, stats.suppressed, stats.declared_findings) == (2, 3, 1, 51)
        assert stats.by_severity == {Severity.CRITICAL: 1, Severity.MAJOR: 2, Severity.MEDIUM: 0, Severity.MINOR: 0}
        assert (stats.findings_per_review, stats.average_confidence) == (1.5, 75.0)
        assert stats.top_files == (FileCount(file_path="api.py", findings=2), FileCount(file_path="b.py", findings=1))

    async def test_a_repository_without_reviews_has_zeros_and_no_averages(self, database: Database) -> None:
        async with database.reader() as view:
            stats = await view.reviews.stats("acme/none")
        assert (stats.reviews, stats.findings, stats.suppressed, stats.declared_findings, stats.top_files) == (0, 0, 0, 0, ())
        assert set(stats.by_severity) == set(Severity)
        assert (stats.findings_per_review, stats.average_confidence) == (None, None)

    async def test_a_review_without_findings_counts(self, database: Database) -> None:
        await write(database, review())
        async with database.reader() as view:
            stats = await view.reviews.stats(REPO)
        assert (stats.reviews, stats.findings_per_review, stats.average_confidence) == (1, 0.0, None)

    async def test_only_reviews_since_the_moment_count_and_that_moment_is_included(self, database: Database) -> None:
        before, at = review(created_at=MOMENT - timedelta(microseconds=1)), review(created_at=MOMENT, findings_total=3)
        await write(database, before, at, finding(before), finding(at, title="Another"))
        async with database.reader() as view:
            stats = await view.reviews.stats(REPO, since=MOMENT)
        assert (stats.reviews, stats.findings, stats.declared_findings) == (1, 1, 3)

    async def test_the_ten_worst_files_are_ordered_by_findings_and_then_by_path_as_python_orders_strings(
        self, database: Database
    ) -> None:
        of = review()
        paths = ["é.py", "a.py", "Z.py", "_.py", "a-b.py", "a/b.py", *(f"{n}.py" for n in range(6))]
        worst = [finding(of, file_path="zz.py") for _ in range(2)]
        await write(database, of, *worst, *(finding(of, file_path=path) for path in paths))
        async with database.reader() as view:
            stats = await view.reviews.stats(REPO)
        assert [file.file_path for file in stats.top_files] == ["zz.py", *sorted(paths)[:9]]

    async def test_other_repositories_and_other_tenants_do_not_count(self, database: Database) -> None:
        mine, theirs = review(), review(repo="acme/web")
        await write(database, mine, theirs, finding(mine), finding(theirs))
        foreign = review()
        await write(database, foreign, finding(foreign), tenant="other")
        async with database.reader() as view:
            stats = await view.reviews.stats(REPO)
            assert (stats.reviews, stats.findings) == (1, 1)

    async def test_a_moment_without_a_time_zone_is_refused_before_the_server_sees_it(self, uow: UnitOfWork) -> None:
        with pytest.raises(InvalidInput) as refused:
            await uow.reviews.stats(REPO, since=datetime(2026, 1, 1))  # noqa: DTZ001 -- what is refused
        assert refused.value.field == "since"
        assert await uow.reviews.count() == 0


class TestTrends:
    async def test_every_day_is_there_and_days_without_a_review_have_zeros(self, database: Database) -> None:
        today = datetime.now(UTC)
        first, second = review(created_at=today - timedelta(days=2)), review(created_at=today - timedelta(days=2))
        findings = finding(first, confidence=80), finding(second, confidence=60, suppressed=True), finding(second, confidence=61)
        await write(database, first, second, *findings)
        async with database.reader() as view:
            trend = await view.reviews.trends(REPO, days=4)
        days = [day.day for day in trend]
        assert days == [days[-1] - timedelta(days=back) for back in (3, 2, 1, 0)]
        busy = next(day for day in trend if day.reviews)
        assert busy.day == (today - timedelta(days=2)).date()
        assert (busy.reviews, busy.findings, busy.suppressions, busy.average_confidence) == (2, 3, 1, 67.0)
        quiet = [day for day in trend if day is not busy]
        assert {(day.reviews, day.findings, day.suppressions, day.average_confidence) for day in quiet} == {(0, 0, 0, None)}

    async def test_a_day_begins_and_ends_at_midnight_in_utc(self, database: Database) -> None:
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        around = [review(created_at=midnight - timedelta(microseconds=1)), review(created_at=midnight)]
        before_the_first = review(created_at=midnight - timedelta(days=1, microseconds=1))
        await write(database, *around, before_the_first)
        async with database.reader() as view:
            trend = await view.reviews.trends(REPO, days=2)
        assert [day.reviews for day in trend if day.day in {midnight.date(), midnight.date() - timedelta(days=1)}] == [1, 1]

    async def test_a_review_without_findings_makes_a_day_without_an_average(self, database: Database) -> None:
        await write(database, review())
        async with database.reader() as view:
            [day] = await view.reviews.trends(REPO, days=1)
        assert (day.reviews, day.findings, day.average_confidence) == (1, 0, None)

    async def test_the_longest_trend_is_ten_years_of_days_in_one_statement(self, database: Database) -> None:
        async with database.reader() as view:
            with statements_of(database) as statements:
                assert len(await view.reviews.trends(REPO, days=3_650)) == 3_650
        assert len(statements) == 1

    @pytest.mark.parametrize("days", [0, -1, 3_651])
    async def test_fewer_than_one_and_more_than_ten_years_are_refused(self, uow: UnitOfWork, days: int) -> None:
        with pytest.raises(InvalidInput) as refused:
            await uow.reviews.trends(REPO, days=days)
        assert refused.value.field == "days"


class TestComments:
    async def test_candidates_have_comment_surface_and_output_and_come_newest_first_then_by_id(self, database: Database) -> None:
        of = review()
        told = {"comment_id": 2**62, "comment_surface": "inline", "review_output_key": "out"}
        old = finding(of, **told, created_at=MOMENT)
        equals = [finding(of, **told, created_at=MOMENT + timedelta(days=1)) for _ in range(3)]
        lacking = [finding(of, **{**told, name: None}) for name in told]
        await write(database, of, old, *reversed(equals), *lacking)
        async with database.reader() as view:
            found = await view.findings.recent_comment_candidates(REPO)
            assert [one.id for one in found] == [*(one.id for one in equals), old.id]
            assert [one.id for one in await view.findings.recent_comment_candidates(REPO, limit=1)] == [equals[0].id]
            assert await view.findings.recent_comment_candidates("acme/web") == []

    async def test_the_newest_finding_of_a_comment_is_found(self, database: Database) -> None:
        of = review()
        told = [finding(of, comment_id=5, created_at=MOMENT + timedelta(hours=hours)) for hours in (2, 3, 1)]
        await write(database, of, *told, finding(of, comment_id=6))
        async with database.reader() as view:
            found = await view.findings.find_by_comment(REPO, 5)
            assert found is not None
            assert found.id == told[1].id
            assert await view.findings.find_by_comment(REPO, 7) is None
        async with database.reader(tenant="other") as view:
            assert await view.findings.find_by_comment(REPO, 5) is None

    async def test_a_finding_read_in_a_unit_of_work_is_tracked(self, database: Database) -> None:
        of = review()
        await write(database, of, finding(of, comment_id=5))
        async with database.unit_of_work() as uow:
            found = await uow.findings.find_by_comment(REPO, 5)
            assert found is not None
            found.comment_surface = "summary"
            await uow.commit()
        async with database.reader() as view:
            assert (await view.findings.get(found.id)).comment_surface == "summary"


class TestPrior:
    async def test_nothing_is_prior_before_a_run_completed(self, database: Database) -> None:
        of = review(head_sha="one")
        await write(database, of, finding(of))
        async with database.unit_of_work() as uow:
            await uow.runs.claim(REPO, 7, base_sha="base", head_sha="one", delivery_id="d", action="opened")
            assert await uow.findings.prior(REPO, 7) == []

    async def test_unsuppressed_findings_of_the_last_completed_head_are_prior_in_the_order_of_ids(self, database: Database) -> None:
        old, new, again = review(head_sha="one"), review(head_sha="two"), review(head_sha="two")
        elsewhere = review(head_sha="two", pr_number=8)
        wanted = [finding(new, title="Ünsafe  Cast!"), finding(again)]
        others = [finding(old), finding(new, suppressed=True), finding(elsewhere)]
        await write(database, old, new, again, elsewhere, *reversed(wanted), *others)
        await complete_run(database, "one")
        await complete_run(database, "two")
        async with database.reader() as view:
            prior = await view.findings.prior(REPO, 7)
            assert [one.finding for one in prior] == [await view.findings.get(one.id) for one in wanted]
            assert [one.fingerprint for one in prior] == [title_fingerprint(one.title) for one in wanted]
            assert len(await view.findings.prior(REPO, 7, limit=1)) == 1

    async def test_claiming_the_next_run_does_not_hide_them(self, database: Database) -> None:
        of = review(head_sha="one")
        await write(database, of, finding(of))
        await complete_run(database, "one")
        async with database.unit_of_work() as uow:
            await uow.runs.claim(REPO, 7, base_sha="base", head_sha="two", delivery_id="d", action="synchronize")
            assert len(await uow.findings.prior(REPO, 7)) == 1


class TestSuppressions:
    async def test_findings_and_suppressions_of_an_unknown_review_are_refused_as_such(self, database: Database) -> None:
        async with database.unit_of_work() as uow:
            with pytest.raises(ReferenceViolated):
                await uow.findings.add_many([finding(review())])
        async with database.unit_of_work() as uow:
            entry = SuppressionLogEntry(review_id=uuid4(), pattern="p", matched_count=1, finding_ids=(uuid4(),))
            with pytest.raises(ReferenceViolated):
                await uow.suppressions.add_many([entry])

    async def test_a_review_of_another_tenant_is_unknown(self, database: Database) -> None:
        theirs = review()
        await write(database, theirs, tenant="other")
        async with database.unit_of_work() as uow:
            with pytest.raises(ReferenceViolated):
                await uow.findings.add_many([finding(theirs)])

    async def test_what_was_suppressed_is_kept_with_the_review_and_goes_with_it(self, database: Database) -> None:
        of = review()
        entries = [SuppressionLogEntry(review_id=of.id, pattern=f"p{n}", matched_count=n, finding_ids=(uuid4(),)) for n in (1, 2)]
        async with database.unit_of_work() as uow:
            uow.reviews.add(of)
            assert await uow.suppressions.add_many(entries) == 2
            assert [entry.finding_ids for entry in await uow.suppressions.list()] == [entry.finding_ids for entry in entries]
            assert await uow.reviews.delete(of.id)
            assert await uow.suppressions.count() == 0


class TestReactions:
    async def test_the_first_of_the_same_reaction_wins_also_within_one_call(self, database: Database) -> None:
        of = review()
        to = finding(of)
        await write(database, of, to, reaction(to, reaction_id=1))
        again, first, second = (
            reaction(to, reaction_id=1),
            reaction(to, reaction_id=2),
            reaction(to, Reaction.THUMBS_UP, reaction_id=2),
        )
        async with database.unit_of_work() as uow:
            assert await uow.reactions.add_many([again, first, second]) == 1
            await uow.commit()
        async with database.reader() as view:
            kept = await view.reactions.get(first.id)
            assert kept.reaction_content is Reaction.THUMBS_DOWN
            assert await view.reactions.count() == 2

    async def test_reactions_of_two_repositories_and_two_tenants_are_different(self, database: Database) -> None:
        ours, theirs = review(), review(repo="acme/web")
        first, second = finding(ours), finding(theirs)
        await write(database, ours, theirs, first, second, reaction(first), reaction(second))
        foreign = review()
        same = finding(foreign)
        await write(database, foreign, same, reaction(same), tenant="other")
        async with database.reader() as view:
            assert await view.reactions.count() == 2

    async def test_rows_with_and_without_a_date_are_written_in_one_statement(self, database: Database) -> None:
        of = review()
        to = finding(of)
        await write(database, of, to)
        dated = [reaction(to, reaction_id=n, created_at=MOMENT if n % 2 else None) for n in range(100)]
        async with database.unit_of_work() as uow:
            with statements_of(database) as statements:
                assert await uow.reactions.add_many(dated) == 100
            assert len(statements) == 1
            kept = await uow.reactions.list()
        assert {one.created_at == MOMENT for one in kept} == {True, False}

    async def test_an_unknown_finding_is_refused_and_nothing_is_written(self, database: Database) -> None:
        of = review()
        to = finding(of)
        await write(database, of, to)
        async with database.unit_of_work() as uow:
            with pytest.raises(ReferenceViolated):
                await uow.reactions.add_many([reaction(to), reaction(finding(of), reaction_id=2)])
            with pytest.raises(TransactionPoisoned):
                await uow.commit()
        async with database.reader() as view:
            assert await view.reactions.count() == 0

    async def test_writers_of_the_same_reactions_in_opposite_order_do_not_deadlock(self, database: Database) -> None:
        of = review()
        to = finding(of)
        await write(database, of, to)

        async def write_all(numbers: range) -> int:
            async with database.unit_of_work() as uow:
                written = await uow.reactions.add_many([reaction(to, reaction_id=n) for n in numbers])
                await uow.commit()
                return written

        for start in range(0, 5_000, 1_000):
            upwards, downwards = range(start, start + 500), range(start + 499, start - 1, -1)
            written = await asyncio.gather(*(write_all(numbers) for numbers in (upwards, downwards) * 2))
            assert sum(written) == 500

    async def test_clearing_deletes_the_reactions_of_one_repository(self, database: Database) -> None:
        ours, theirs = review(), review(repo="acme/web")
        first, second = finding(ours), finding(theirs)
        await write(database, ours, theirs, first, second, reaction(first), reaction(first, reaction_id=2), reaction(second))
        async with database.unit_of_work() as uow:
            assert await uow.reactions.clear(REPO) == 2
            assert await uow.reactions.clear(REPO) == 0
            assert await uow.reactions.count() == 1


class TestPatterns:
    async def test_titles_with_one_fingerprint_are_one_pattern_and_people_are_counted_once(self, database: Database) -> None:
        first, second = review(pr_number=1), review(pr_number=2)
        shout = finding(first, title="NULL check!", severity=Severity.MINOR)
        whisper = finding(second, title="null  check", severity=Severity.CRITICAL, category=Category.SECURITY)
        reactions = [
            reaction(shout, reaction_id=1, reactor_login="ada", created_at=MOMENT),
            reaction(shout, reaction_id=2, reactor_login="bob", created_at=MOMENT),
            reaction(whisper, reaction_id=3, reactor_login="ada", created_at=MOMENT + timedelta(hours=1)),
            reaction(whisper, Reaction.THUMBS_UP, reaction_id=4, reactor_login="eve", created_at=MOMENT),
        ]
        await write(database, first, second, shout, whisper, *reactions)
        async with database.reader() as view:
            [pattern] = await view.reactions.patterns(REPO)
        assert pattern.fingerprint == title_fingerprint("Null check")
        assert (pattern.thumbs_down, pattern.thumbs_up, pattern.reactors, pattern.pull_requests) == (3, 1, 2, 2)
        assert (pattern.title, pattern.severity, pattern.category) == ("null  check", Severity.CRITICAL, Category.SECURITY)

    async def test_titles_without_a_latin_letter_stay_apart(self, database: Database) -> None:
        of = review()
        found = [finding(of, title=title) for title in ("未处理的异常", "内存泄漏", "Утечка памяти")]
        await write(database, of, *found, *(reaction(to, reaction_id=n) for n, to in enumerate(found)))
        async with database.reader() as view:
            patterns = await view.reactions.patterns(REPO)
        assert {pattern.title for pattern in patterns} == {to.title for to in found}

    async def test_what_nobody_disliked_is_no_pattern(self, database: Database) -> None:
        of = review()
        to = finding(of)
        await write(database, of, to, reaction(to, Reaction.THUMBS_UP))
        async with database.reader() as view:
            assert await view.reactions.patterns(REPO) == []

    async def test_of_equally_old_reactions_the_one_with_the_highest_id_is_the_newest(self, database: Database) -> None:
        of = review()
        to = finding(of)
        severities = (Severity.MINOR, Severity.CRITICAL, Severity.MEDIUM)
        equals = [reaction(to, reaction_id=n, severity=severity, created_at=MOMENT) for n, severity in enumerate(severities)]
        await write(database, of, to, *reversed(equals))
        async with database.reader() as view:
            [pattern] = await view.reactions.patterns(REPO)
        assert pattern.severity is Severity.MEDIUM

    async def test_patterns_come_most_disliked_first_then_by_fingerprint_in_one_statement(self, database: Database) -> None:
        of = review()
        found = [finding(of, title=f"Title {n}") for n in range(6)]
        reactions = [reaction(to, reaction_id=n) for n, to in enumerate([*found, found[3]])]
        await write(database, of, *found, *reactions)
        async with database.reader() as view:
            with statements_of(database) as statements:
                patterns = await view.reactions.patterns(REPO)
        expected = sorted(title_fingerprint(to.title) for to in found if to is not found[3])
        assert [pattern.fingerprint for pattern in patterns] == [title_fingerprint(found[3].title), *expected]
        assert len(statements) == 1
