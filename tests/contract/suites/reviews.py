"""Reviews and what they add up to; findings by comment, by run and by words; suppressions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from domain import (
    CheckViolated,
    FileCount,
    InvalidInput,
    Match,
    ReferenceViolated,
    RunStatus,
    Severity,
    title_fingerprint,
)
from tests.contract.suites.kinds import facts, write
from tests.contract.suites.samples import (
    MOMENT,
    MORE_DIGITS_THAN_PYTHON_WRITES,
    REPO,
    UNICODE,
    finding,
    review,
    run,
    suppression,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domain import SearchHits
    from domain.schema.base import Entity
    from tests.contract.suites.store import Store


class StatsContract:
    """Every figure is counted from the rows."""

    async def test_figures_are_counted_from_the_rows_and_not_from_what_reviews_declare(
        self, store: Store
    ) -> None:
        first, second = review(findings_total=50), review(findings_total=1)
        findings = (
            finding(first, severity=Severity.CRITICAL, confidence=100),
            finding(first, confidence=50, suppressed=True),
            finding(second, confidence=75, file_path="b.py"),
        )
        await write(store, first, second, *findings)
        async with store.reader() as view:
            stats = await view.reviews.stats(REPO)
        assert (stats.reviews, stats.findings, stats.suppressed, stats.declared_findings) == (
            2,
            3,
            1,
            51,
        )
        assert stats.by_severity == {
            Severity.CRITICAL: 1,
            Severity.MAJOR: 2,
            Severity.MEDIUM: 0,
            Severity.MINOR: 0,
        }
        assert (stats.findings_per_review, stats.average_confidence) == (1.5, 75.0)
        assert stats.top_files == (
            FileCount(file_path="api.py", findings=2),
            FileCount(file_path="b.py", findings=1),
        )

    async def test_a_repository_without_reviews_has_zeros_and_no_averages(
        self, store: Store
    ) -> None:
        async with store.reader() as view:
            stats = await view.reviews.stats("acme/none")
        assert (
            stats.reviews,
            stats.findings,
            stats.suppressed,
            stats.declared_findings,
            stats.top_files,
        ) == (0, 0, 0, 0, ())
        assert stats.by_severity == dict.fromkeys(Severity, 0)
        assert (stats.findings_per_review, stats.average_confidence) == (None, None)

    async def test_a_review_without_findings_counts(self, store: Store) -> None:
        await write(store, review())
        async with store.reader() as view:
            stats = await view.reviews.stats(REPO)
        assert (stats.reviews, stats.findings_per_review, stats.average_confidence) == (
            1,
            0.0,
            None,
        )

    async def test_averages_are_those_that_python_divides(self, store: Store) -> None:
        of, others = review(), [review(), review()]
        await write(
            store,
            of,
            *others,
            *(finding(of, confidence=confidence) for confidence in (0, 1, 100, 33, 66, 7, 11)),
        )
        async with store.reader() as view:
            stats = await view.reviews.stats(REPO)
            [today] = await view.reviews.trends(REPO, days=1)
        assert (stats.findings_per_review, stats.average_confidence) == (7 / 3, 218 / 7)
        assert today.average_confidence == 218 / 7

    async def test_only_reviews_since_the_moment_count_and_that_moment_is_included(
        self, store: Store
    ) -> None:
        before, at = (
            review(created_at=MOMENT - timedelta(microseconds=1)),
            review(created_at=MOMENT, findings_total=3),
        )
        # A finding counts with its review, whenever it was written itself.
        await write(
            store,
            before,
            at,
            finding(before),
            finding(at, title="Another", created_at=MOMENT - timedelta(days=1)),
        )
        async with store.reader() as view:
            stats = await view.reviews.stats(REPO, since=MOMENT)
        assert (stats.reviews, stats.findings, stats.declared_findings) == (1, 1, 3)

    async def test_the_ten_worst_files_are_ordered_by_findings_then_by_path_as_in_python(
        self, store: Store
    ) -> None:
        of = review()
        paths = [
            "é.py",
            "a.py",
            "Z.py",
            "_.py",
            "a-b.py",
            "a/b.py",
            UNICODE,
            *(f"{n}.py" for n in range(6)),
        ]
        await write(
            store, of, *(finding(of, file_path=path) for path in [*paths, "zz.py", "zz.py"])
        )
        async with store.reader() as view:
            stats = await view.reviews.stats(REPO)
        assert [file.file_path for file in stats.top_files] == ["zz.py", *sorted(paths)[:9]]

    async def test_other_repositories_and_other_tenants_do_not_count(self, store: Store) -> None:
        mine, theirs, foreign = review(), review(repo="acme/web"), review()
        await write(store, mine, theirs, finding(mine), finding(theirs))
        await write(store, foreign, finding(foreign), tenant="other")
        async with store.reader() as view:
            stats = await view.reviews.stats(REPO)
            [today] = await view.reviews.trends(REPO, days=1)
        assert (stats.reviews, stats.findings, today.reviews, today.findings) == (1, 1, 1, 1)

    async def test_a_moment_without_a_time_zone_is_refused(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            with pytest.raises(InvalidInput) as refusal:
                await uow.reviews.stats(REPO, since=datetime(2026, 1, 1))  # noqa: DTZ001 -- what is refused
            assert refusal.value.field == "since"
            assert await uow.reviews.count() == 0


class TrendsContract:
    """One row for each UTC day."""

    async def test_every_day_is_there_and_days_without_a_review_have_zeros(
        self, store: Store
    ) -> None:
        today = datetime.now(UTC)
        first, second = (
            review(created_at=today - timedelta(days=2)),
            review(created_at=today - timedelta(days=2)),
        )
        findings = (
            finding(first, confidence=80),
            finding(second, confidence=60, suppressed=True),
            finding(second, confidence=61),
        )
        await write(store, first, second, *findings)
        async with store.reader() as view:
            trend = await view.reviews.trends(REPO, days=4)
        days = [day.day for day in trend]
        assert days == [days[-1] - timedelta(days=back) for back in (3, 2, 1, 0)]
        busy = next(day for day in trend if day.reviews)
        assert busy.day == (today - timedelta(days=2)).date()
        assert (busy.reviews, busy.findings, busy.suppressions, busy.average_confidence) == (
            2,
            3,
            1,
            67.0,
        )
        quiet = [day for day in trend if day is not busy]
        assert {
            (day.reviews, day.findings, day.suppressions, day.average_confidence) for day in quiet
        } == {(0, 0, 0, None)}

    async def test_a_day_begins_and_ends_at_midnight_in_utc(self, store: Store) -> None:
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        around = [
            review(created_at=midnight - timedelta(microseconds=1)),
            review(created_at=midnight),
        ]
        before_the_first = review(created_at=midnight - timedelta(days=1, microseconds=1))
        await write(store, *around, before_the_first)
        async with store.reader() as view:
            trend = await view.reviews.trends(REPO, days=2)
        days = {midnight.date(), midnight.date() - timedelta(days=1)}
        assert [day.reviews for day in trend if day.day in days] == [1, 1]

    async def test_a_review_without_findings_makes_a_day_without_an_average(
        self, store: Store
    ) -> None:
        await write(store, review())
        async with store.reader() as view:
            [day] = await view.reviews.trends(REPO, days=1)
        assert (day.reviews, day.findings, day.average_confidence) == (1, 0, None)

    async def test_one_to_3650_days_may_be_asked_for(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            assert len(await uow.reviews.trends(REPO, days=3_650)) == 3_650
            for days in (0, -1, 3_651):
                with pytest.raises(InvalidInput) as refusal:
                    await uow.reviews.trends(REPO, days=days)
                assert refusal.value.field == "days"
            assert await uow.reviews.count() == 0


class FindingsContract:
    """Findings belong to a review, and are found by comment, by run and by words."""

    async def test_findings_of_an_unknown_review_are_refused_and_none_is_written(
        self, store: Store
    ) -> None:
        theirs, mine = review(), review()
        await write(store, theirs, tenant="other")
        await write(store, mine)
        for of in (theirs, review()):
            async with store.unit_of_work() as uow:
                with pytest.raises(ReferenceViolated) as refusal:
                    await uow.findings.add_many([finding(mine), finding(of)])
            assert (refusal.value.constraint, refusal.value.table) == (
                "fk_findings_reviews",
                "findings",
            )
        async with store.reader() as view:
            assert await view.findings.count() == 0

    async def test_confidence_is_a_percentage(self, store: Store) -> None:
        of = review()
        await write(store, of, finding(of, confidence=0), finding(of, confidence=100))
        for confidence in (-1, 101):
            async with store.unit_of_work() as uow:
                with pytest.raises(CheckViolated) as refusal:
                    await uow.findings.add_many(
                        [finding(of).model_copy(update={"confidence": confidence})]
                    )
            assert refusal.value.constraint == "ck_findings_confidence"
        async with store.reader() as view:
            assert await view.findings.count() == 2

    async def test_candidates_have_comment_surface_and_output_and_come_newest_first_then_by_id(
        self, store: Store
    ) -> None:
        of = review()
        comment = {"comment_id": 2**62, "comment_surface": "inline", "review_output_key": "out"}
        old = finding(of, **comment, created_at=MOMENT)
        equals = [finding(of, **comment, created_at=MOMENT + timedelta(days=1)) for _ in range(3)]
        lacking = [finding(of, **{**comment, name: None}) for name in comment]
        await write(store, of, old, *reversed(equals), *lacking)
        async with store.reader() as view:
            candidates = await view.findings.recent_comment_candidates(REPO)
            assert [one.id for one in candidates] == [*(one.id for one in equals), old.id]
            assert [
                one.id for one in await view.findings.recent_comment_candidates(REPO, limit=1)
            ] == [equals[0].id]
            assert await view.findings.recent_comment_candidates("acme/web") == []
            for limit in (0, 10_001):
                with pytest.raises(InvalidInput):
                    await view.findings.recent_comment_candidates(REPO, limit=limit)
        async with store.reader(tenant="other") as view:
            assert await view.findings.recent_comment_candidates(REPO) == []

    async def test_the_newest_finding_of_a_comment_is_found_of_equals_the_one_made_first(
        self, store: Store
    ) -> None:
        of = review()
        candidates = [
            finding(of, comment_id=2**63 - 1, created_at=MOMENT + timedelta(hours=hours))
            for hours in (2, 3, 3, 1)
        ]
        await write(
            store,
            of,
            *reversed(candidates),
            finding(of, comment_id=6),
            finding(of, comment_id=-(2**63)),
        )
        async with store.reader() as view:
            newest = await view.findings.find_by_comment(REPO, 2**63 - 1)
            assert newest is not None
            assert facts(newest) == facts(candidates[1])
            assert await view.findings.find_by_comment(REPO, -(2**63)) is not None
            assert await view.findings.find_by_comment(REPO, 7) is None
            assert await view.findings.find_by_comment("acme/web", 6) is None
        async with store.reader(tenant="other") as view:
            assert await view.findings.find_by_comment(REPO, 6) is None

    async def test_a_comment_id_that_no_column_holds_is_refused(self, store: Store) -> None:
        for number in (2**63, MORE_DIGITS_THAN_PYTHON_WRITES):
            async with store.unit_of_work() as uow:
                with pytest.raises(InvalidInput):
                    await uow.findings.find_by_comment(REPO, number)

    async def test_a_finding_found_in_a_unit_of_work_is_tracked(self, store: Store) -> None:
        of = review()
        await write(
            store, of, finding(of, comment_id=5, comment_surface="inline", review_output_key="out")
        )
        async with store.unit_of_work() as uow:
            newest = await uow.findings.find_by_comment(REPO, 5)
            assert newest is not None
            assert await uow.findings.recent_comment_candidates(REPO) == [newest]
            newest.comment_surface = "summary"
            await uow.commit()
        async with store.reader() as view:
            assert (await view.findings.get(newest.id)).comment_surface == "summary"

    async def test_titles_are_searched_by_words(self, store: Store) -> None:
        ours, web = review(), review(repo="acme/web")
        both = finding(ours, title="Retries never end and leak connections")
        one = finding(ours, title="A connection is opened twice")
        elsewhere = finding(web, title="Connections leak")
        await write(store, ours, web, both, one, elsewhere, finding(ours, title="未处理的异常"))
        async with store.reader() as view:
            search = view.findings.keyword_search
            assert _ids(await search("do retries leak connections?", repo=REPO)) == [
                both.id,
                one.id,
            ]
            assert {*_ids(await search("connections"))} == {both.id, one.id, elsewhere.id}
            assert len(await search("connections", limit=2)) == 2
            assert _ids(await search("retries leak", repo=REPO, match=Match.ALL)) == [both.id]
            assert _ids(
                await search('"connection is opened" -twice OR retries', repo=REPO, match=Match.WEB)
            ) == [both.id]
            [hit] = await search("retries", repo=REPO, explain=True)
            assert (hit.matched_terms, hit.keyword_rank, hit.item.title) == (
                ("retri",),
                1,
                both.title,
            )
            assert hit.score == hit.keyword_score
            for blank in ("", " \n", "the and of", "?!"):
                assert _ids(await search(blank)) == []
        async with store.reader(tenant="other") as view:
            assert _ids(await view.findings.keyword_search("connections")) == []


def _ids(hits: SearchHits[Any]) -> Sequence[Any]:
    return [hit.item.id for hit in hits]


async def _completed(store: Store, head: str, ago: timedelta, **values: Any) -> None:
    done = {"status": RunStatus.COMPLETED, "completed_at": datetime.now(UTC) - ago, "pr_number": 7}
    await write(store, run(head_sha=head, **{**done, **values}))


class PriorContract:
    """The findings of the last completed run of a pull request."""

    async def test_nothing_is_prior_before_a_run_completed(self, store: Store) -> None:
        of = review(head_sha="one")
        await write(store, of, finding(of))
        async with store.unit_of_work() as uow:
            await uow.runs.claim(
                REPO, 7, base_sha="base", head_sha="one", delivery_id="d", action="opened"
            )
            assert await uow.findings.prior(REPO, 7) == []

    async def test_unsuppressed_findings_of_the_last_completed_head_are_prior_in_the_order_of_ids(
        self, store: Store
    ) -> None:
        old, new, again = review(head_sha="one"), review(head_sha="two"), review(head_sha="two")
        elsewhere, web = (
            review(head_sha="two", pr_number=8),
            review(head_sha="two", repo="acme/web"),
        )
        expected = [finding(new, title="Ünsafe  Cast!"), finding(again)]
        others: list[Entity] = [
            finding(old),
            finding(new, suppressed=True),
            finding(elsewhere),
            finding(web),
        ]
        await write(store, old, new, again, elsewhere, web, *reversed(expected), *others)
        await _completed(store, "two", timedelta(hours=1))
        await _completed(store, "one", timedelta(hours=2))
        async with store.reader() as view:
            prior = await view.findings.prior(REPO, 7)
            assert [facts(one.finding) for one in prior] == [facts(one) for one in expected]
            assert [one.fingerprint for one in prior] == [
                title_fingerprint(one.title) for one in expected
            ]
            assert await view.findings.prior(REPO, 7, limit=1) == prior[:1]
            assert await view.findings.prior(REPO, 9) == []
            with pytest.raises(InvalidInput):
                await view.findings.prior(REPO, 7, limit=0)
        async with store.reader(tenant="other") as view:
            assert await view.findings.prior(REPO, 7) == []

    async def test_claiming_the_next_run_does_not_hide_them(self, store: Store) -> None:
        of = review(head_sha="one")
        await write(store, of, finding(of))
        await _completed(store, "one", timedelta(hours=1))
        async with store.unit_of_work() as uow:
            await uow.runs.claim(
                REPO, 7, base_sha="base", head_sha="two", delivery_id="d", action="synchronize"
            )
            assert len(await uow.findings.prior(REPO, 7)) == 1

    async def test_a_completed_run_whose_review_found_nothing_leaves_nothing_prior(
        self, store: Store
    ) -> None:
        of = review(head_sha="one")
        await write(store, of, finding(of), review(head_sha="two"))
        await _completed(store, "one", timedelta(hours=2))
        await _completed(store, "two", timedelta(hours=1))
        async with store.reader() as view:
            assert await view.findings.prior(REPO, 7) == []


class SuppressionsContract:
    """Which pattern held back which findings."""

    async def test_suppressions_belong_to_the_review_and_are_deleted_with_it(
        self, store: Store
    ) -> None:
        of = review()
        ids = [(), (uuid4(),), tuple(uuid4() for _ in range(100))]
        entries = [
            suppression(of, pattern=f"{UNICODE}{n}", matched_count=n, finding_ids=ids[n])
            for n in range(3)
        ]
        async with store.unit_of_work() as uow:
            uow.reviews.add(of)
            assert await uow.suppressions.add_many(entries) == 3
            rows = await uow.suppressions.list()
            assert [(one.pattern, one.matched_count, one.finding_ids) for one in rows] == [
                (one.pattern, one.matched_count, one.finding_ids) for one in entries
            ]
            assert await uow.reviews.delete(of.id)
            assert await uow.suppressions.count() == 0

    async def test_a_suppression_of_an_unknown_review_is_refused(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            with pytest.raises(ReferenceViolated) as refusal:
                await uow.suppressions.add_many([suppression(review())])
        assert refusal.value.table == "suppression_log"
