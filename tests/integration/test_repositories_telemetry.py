"""Telemetry on PostgreSQL: appended, told once, added up exactly, purged by age."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain import (
    InvalidInput,
    RateLimitEvent,
    ResilienceEvent,
    ResilienceKind,
    RetrievalQualityEvent,
    TelemetryEvent,
    Usage,
    UsageBy,
)
from repositories import Database, UnitOfWork
from tests.integration.observed import statements_of

REPO = "acme/api"
MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)
INT64_MAX = 2**63 - 1


def event(**values: Any) -> TelemetryEvent:
    return TelemetryEvent(**{"repo": REPO, "event_type": "review", "model": "opus", "conclusion": "success", **values})


def rate_limit(**values: Any) -> RateLimitEvent:
    given = {"repo": REPO, "event_type": "review", "cache_hit_rate": 0.5, "skipped_queries": 1, "retry_attempts": 2}
    return RateLimitEvent(**{**given, "degradation_path": "none", **values})


def retrieval(**values: Any) -> RetrievalQualityEvent:
    return RetrievalQualityEvent(**{"repo": REPO, "event_type": "review", "result_count": 3, **values})


def resilience(**values: Any) -> ResilienceEvent:
    given = {"delivery_id": "d", "repo": REPO, "event_type": "review", "kind": ResilienceKind.TIMEOUT}
    return ResilienceEvent(**{**given, **values})


def ago(**duration: float) -> datetime:
    return datetime.now(UTC) - timedelta(**duration)


class TestRecording:
    async def test_an_event_is_written_with_the_moment_it_has_or_else_now(self, database: Database) -> None:
        dated, undated = event(created_at=MOMENT, cost_usd=Decimal("0.00000001"), input_tokens=INT64_MAX), event()
        async with database.unit_of_work() as uow:
            await uow.telemetry.record(dated)
            await uow.telemetry.record(undated)
            await uow.commit()
        async with database.reader() as view:
            assert await view.telemetry.get(dated.id) == dated
            kept = (await view.telemetry.get(undated.id)).created_at
        assert kept is not None
        assert kept > ago(minutes=5)

    async def test_what_is_recorded_is_not_tracked_and_what_is_added_is(self, uow: UnitOfWork) -> None:
        recorded, added = event(), uow.telemetry.add(event())
        await uow.telemetry.record(recorded)
        added.conclusion = "timeout"
        await uow.flush()
        assert recorded.created_at is None
        assert [one.conclusion for one in await uow.telemetry.list()] == ["success", "timeout"]

    async def test_many_events_are_written_from_whatever_yields_them(self, uow: UnitOfWork) -> None:
        def events() -> Iterator[TelemetryEvent]:
            for number in range(2_500):
                yield event(pr_number=number + 1)

        assert await uow.telemetry.record_many(events()) == 2_500
        assert await uow.telemetry.count() == 2_500

    async def test_a_rate_limit_is_told_once_per_delivery_and_type_where_a_delivery_is_given(self, database: Database) -> None:
        async with database.unit_of_work() as uow:
            assert await uow.telemetry.record_rate_limit(rate_limit(delivery_id="d", retry_attempts=1))
            assert not await uow.telemetry.record_rate_limit(rate_limit(delivery_id="d", retry_attempts=9))
            assert await uow.telemetry.record_rate_limit(rate_limit(delivery_id="d", event_type="chat"))
            assert await uow.telemetry.record_rate_limit(rate_limit())
            assert await uow.telemetry.record_rate_limit(rate_limit())
            await uow.commit()
        async with database.reader() as view:
            assert [one.retry_attempts for one in await view.telemetry.rate_limits.list()] == [1, 2, 2, 2]
        async with database.unit_of_work(tenant="other") as uow:
            assert await uow.telemetry.record_rate_limit(rate_limit(delivery_id="d"))

    async def test_retrieval_quality_is_told_once_per_delivery_where_one_is_given(self, database: Database) -> None:
        async with database.unit_of_work() as uow:
            assert await uow.telemetry.record_retrieval_quality(retrieval(delivery_id="d"))
            assert not await uow.telemetry.record_retrieval_quality(retrieval(delivery_id="d", event_type="chat"))
            assert await uow.telemetry.record_retrieval_quality(retrieval())
            assert await uow.telemetry.record_retrieval_quality(retrieval())
            await uow.commit()
        async with database.reader() as view:
            assert await view.telemetry.retrieval_quality.count() == 3

    async def test_one_of_many_who_tell_the_same_at_once_writes_it(self, database: Database) -> None:
        async def tell() -> bool:
            async with database.unit_of_work() as uow:
                written = await uow.telemetry.record_rate_limit(rate_limit(delivery_id="d"))
                await uow.commit()
                return written

        assert sum(await asyncio.gather(*(tell() for _ in range(10)))) == 1

    async def test_resilience_is_replaced_whole_and_keeps_its_id_and_the_moment_it_was_first_told(self, database: Database) -> None:
        first = resilience(created_at=MOMENT, partial_comment_id=2**62, retry_scope_ratio=0.5, chronic_timeout=True)
        later = resilience(kind=ResilienceKind.RETRY, timeout_classification_reasons=("slow", "große Datei"))
        for one in (first, later):
            async with database.unit_of_work() as uow:
                await uow.telemetry.record_resilience(one)
                await uow.commit()
        async with database.reader() as view:
            [kept] = await view.telemetry.resilience.list()
        own = {"id", "created_at"}
        assert kept.model_dump(exclude=own) == later.model_dump(exclude=own)
        assert (kept.id, kept.created_at) == (first.id, MOMENT)

    async def test_tenants_do_not_replace_each_others_resilience(self, database: Database) -> None:
        for tenant in ("default", "other"):
            async with database.unit_of_work(tenant=tenant) as uow:
                await uow.telemetry.record_resilience(resilience(pr_author=tenant))
                await uow.commit()
        async with database.reader() as view:
            assert [one.pr_author for one in await view.telemetry.resilience.list()] == ["default"]


class TestTimeouts:
    async def test_only_the_authors_recent_timeouts_in_the_repository_count(self, database: Database) -> None:
        mine = {"pr_author": "ada", "conclusion": "timeout"}
        counted = [event(**mine), event(**{**mine, "conclusion": "timeout_partial"}), event(**mine, created_at=ago(days=6.9))]
        others = [
            event(**{**mine, "conclusion": "success"}),
            event(**{**mine, "pr_author": "bob"}),
            event(**mine, repo="acme/web"),
            event(**mine, created_at=ago(days=7.1)),
        ]
        async with database.unit_of_work() as uow:
            await uow.telemetry.record_many([*counted, *others])
            await uow.commit()
        async with database.reader() as view:
            assert await view.telemetry.count_recent_timeouts(REPO, "ada") == 3
            assert await view.telemetry.count_recent_timeouts(REPO, "ada", days=8) == 4
            assert await view.telemetry.count_recent_timeouts(REPO, "ada", days=1) == 2
        async with database.reader(tenant="other") as view:
            assert await view.telemetry.count_recent_timeouts(REPO, "ada") == 0

    async def test_days_that_are_none_are_refused(self, uow: UnitOfWork) -> None:
        with pytest.raises(InvalidInput) as refused:
            await uow.telemetry.count_recent_timeouts(REPO, "ada", days=-1)
        assert refused.value.field == "days"


class TestUsage:
    async def test_tokens_and_money_are_added_up_exactly_also_beyond_what_a_column_holds(self, database: Database) -> None:
        dear = event(cost_usd=Decimal("9999.99999999"), input_tokens=INT64_MAX, duration_ms=2**31 - 1)
        cheap = [event(cost_usd=Decimal("0.00000001"), input_tokens=1) for _ in range(3)]
        async with database.unit_of_work() as uow:
            await uow.telemetry.record_many([dear, dear.model_copy(update={"id": event().id}), *cheap])
            await uow.commit()
        async with database.reader() as view:
            [usage] = await view.telemetry.usage(by=UsageBy.MODEL)
        assert usage == Usage(
            key="opus",
            runs=5,
            input_tokens=2 * INT64_MAX + 3,
            output_tokens=0,
            cache_read_tokens=0,
            cache_creation_tokens=0,
            duration_ms=2 * (2**31 - 1),
            cost_usd=Decimal("20000.00000001"),
        )
        assert {type(value) for value in (usage.input_tokens, usage.duration_ms)} == {int}

    @pytest.mark.parametrize(
        ("by", "keys"),
        [
            (UsageBy.MODEL, ["Opus", "haiku", "opus"]),
            (UsageBy.REPO, ["acme/api", "acme/web"]),
            (UsageBy.EVENT_TYPE, ["chat", "review"]),
            (UsageBy.DAY, ["2026-02-28", "2026-03-01", "2026-03-02"]),
        ],
    )
    async def test_each_group_has_its_own_sums_in_the_order_of_its_key(
        self, database: Database, by: UsageBy, keys: list[str]
    ) -> None:
        midnight = datetime(2026, 3, 1, tzinfo=UTC)
        events = [
            event(created_at=midnight - timedelta(microseconds=1), event_type="chat"),
            event(created_at=midnight, model="haiku"),
            event(created_at=midnight + timedelta(days=1), model="Opus", repo="acme/web"),
        ]
        async with database.unit_of_work() as uow:
            await uow.telemetry.record_many(events)
            await uow.commit()
        async with database.reader() as view:
            with statements_of(database) as statements:
                usage = await view.telemetry.usage(by=by)
        assert [one.key for one in usage] == keys
        assert sum(one.runs for one in usage) == len(events)
        assert len(statements) == 1

    async def test_the_beginning_is_included_and_the_end_is_not(self, database: Database) -> None:
        hours = [event(created_at=MOMENT + timedelta(hours=number), output_tokens=10**number) for number in range(4)]
        async with database.unit_of_work() as uow:
            await uow.telemetry.record_many([*hours, event(repo="acme/web", created_at=MOMENT)])
            await uow.commit()
        async with database.reader() as view:
            since, until = MOMENT + timedelta(hours=1), MOMENT + timedelta(hours=3)
            [usage] = await view.telemetry.usage(by=UsageBy.REPO, repo=REPO, since=since, until=until)
            assert usage.output_tokens == 110
            assert await view.telemetry.usage(by=UsageBy.REPO, since=until + timedelta(hours=1)) == []

    async def test_a_moment_without_a_time_zone_is_refused(self, uow: UnitOfWork) -> None:
        for given in ("since", "until"):
            with pytest.raises(InvalidInput) as refused:
                await uow.telemetry.usage(by=UsageBy.DAY, **{given: datetime(2026, 1, 1)})  # type: ignore[arg-type]  # noqa: DTZ001
            assert refused.value.field == given
        assert await uow.telemetry.count() == 0


class TestPurge:
    async def test_all_four_tables_lose_what_is_older_and_nothing_else(self, database: Database) -> None:
        for tenant in ("default", "other"):
            async with database.unit_of_work(tenant=tenant) as uow:
                for when in (ago(days=31), ago(days=29)):
                    await uow.telemetry.record(event(created_at=when))
                    await uow.telemetry.record_rate_limit(rate_limit(created_at=when))
                    await uow.telemetry.record_retrieval_quality(retrieval(created_at=when))
                    await uow.telemetry.record_resilience(resilience(delivery_id=str(when), created_at=when))
                await uow.commit()
        async with database.unit_of_work() as uow:
            assert await uow.telemetry.purge(older_than=timedelta(days=30)) == 4
            assert await uow.telemetry.purge(older_than=timedelta(days=30)) == 0
            await uow.commit()
        for tenant, left in (("default", 1), ("other", 2)):
            async with database.reader(tenant=tenant) as view:
                tables = (view.telemetry, view.telemetry.rate_limits, view.telemetry.retrieval_quality, view.telemetry.resilience)
                assert [await table.count() for table in tables] == [left] * 4

    async def test_no_statement_deletes_more_than_a_batch_and_together_they_delete_all(self, database: Database) -> None:
        old, new = ago(days=2), ago(hours=1)
        events = [event(created_at=old if number % 3 else new) for number in range(30)]
        async with database.unit_of_work() as uow:
            await uow.telemetry.record_many(events)
            with statements_of(database) as statements:
                assert await uow.telemetry.purge(older_than=timedelta(days=1), batch_size=7) == 20
            # Three batches of 20 events, and one look at each of the other tables.
            assert len(statements) == 3 + 3
            assert {one.created_at for one in await uow.telemetry.list()} == {new}

    async def test_two_who_purge_at_once_delete_everything_once(self, database: Database) -> None:
        async with database.unit_of_work() as uow:
            await uow.telemetry.record_many(event(created_at=MOMENT) for _ in range(100))
            await uow.commit()

        async def purge() -> int:
            async with database.unit_of_work() as uow:
                deleted = await uow.telemetry.purge(older_than=timedelta(days=1), batch_size=9)
                await uow.commit()
                return deleted

        assert sum(await asyncio.gather(purge(), purge())) == 100
        async with database.reader() as view:
            assert await view.telemetry.count() == 0

    async def test_events_are_purged_from_whatever_month_they_are_in(self, uow: UnitOfWork) -> None:
        months = [datetime(2025, month, 15, tzinfo=UTC) for month in range(1, 13)]
        await uow.telemetry.record_many([event(created_at=month) for month in [*months, datetime(1970, 1, 1, tzinfo=UTC)]])
        await uow.telemetry.record(event())
        assert await uow.telemetry.purge(older_than=timedelta(days=1), batch_size=5) == 13
        assert await uow.telemetry.count() == 1

    @pytest.mark.parametrize(
        ("field", "given"),
        [
            ("older_than", {"older_than": timedelta(seconds=-1)}),
            ("older_than", {"older_than": timedelta(days=100_000)}),
            ("batch_size", {"older_than": timedelta(days=1), "batch_size": 0}),
        ],
    )
    async def test_ages_and_batches_that_are_none_are_refused(self, uow: UnitOfWork, field: str, given: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput) as refused:
            await uow.telemetry.purge(**given)
        assert refused.value.field == field


async def test_the_day_of_an_event_is_told_as_iso_dates_are(uow: UnitOfWork) -> None:
    await uow.telemetry.record(event(created_at=datetime(987, 6, 5, tzinfo=UTC)))
    [usage] = await uow.telemetry.usage(by=UsageBy.DAY)
    assert usage.key == date(987, 6, 5).isoformat()
