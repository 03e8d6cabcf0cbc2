"""Telemetry: what is recorded once, what it adds up to, and how it is purged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from domain import AlreadyExists, InvalidInput, ResilienceKind, TelemetryEvent, Usage, UsageBy
from tests.contract.suites.kinds import facts, write
from tests.contract.suites.runs import DAY, EDGE, ago
from tests.contract.suites.samples import (
    MANY,
    MOMENT,
    REPO,
    UNICODE,
    event,
    rate_limit,
    resilience,
    retrieval_quality,
)

if TYPE_CHECKING:
    from domain import UnitOfWork
    from tests.contract.suites.store import Store


class TelemetryContract:
    """Events are appended; some of them once for each delivery."""

    async def test_an_event_is_stored_unchanged(self, store: Store) -> None:
        full = event(
            created_at=MOMENT,
            delivery_id=UNICODE,
            pr_number=2**31 - 1,
            pr_author="ada",
            input_tokens=2**63 - 1,
            cost_usd=Decimal("9999999999.99999999"),
            stop_reason=UNICODE,
        )
        async with store.unit_of_work() as uow:
            await uow.telemetry.record(full)
            await uow.telemetry.record(event())
            await uow.commit()
        async with store.reader() as view:
            assert facts(await view.telemetry.get(full.id)) == facts(full)
            assert await view.telemetry.count() == 2

    async def test_many_events_are_recorded_all_or_none(self, store: Store) -> None:
        async def late() -> AsyncIterator[TelemetryEvent]:
            for n in range(MANY):
                yield event(created_at=MOMENT + n * DAY if n % 2 else None)

        twice = event(created_at=MOMENT)
        async with store.unit_of_work() as uow:
            assert await uow.telemetry.record_many([]) == 0
            assert await uow.telemetry.record_many(late()) == MANY
            assert await uow.telemetry.record_many(event() for _ in range(2)) == 2
            await uow.commit()
        async with store.unit_of_work() as uow:
            with pytest.raises(AlreadyExists) as duplicate:
                await uow.telemetry.record_many([event(), twice, twice.model_copy()])
        # PostgreSQL names the partition and its key.
        assert duplicate.value.table == "telemetry_events"
        assert duplicate.value.constraint == "pk_telemetry_events"
        async with store.reader() as view:
            assert await view.telemetry.count() == MANY + 2

    async def test_what_is_recorded_is_not_watched_and_what_is_added_is(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            recorded, added = event(), uow.telemetry.add(event())
            await uow.telemetry.record(recorded)
            recorded.conclusion = added.conclusion = "timeout"
            await uow.commit()
        async with store.reader() as view:
            assert [one.conclusion for one in await view.telemetry.list()] == ["success", "timeout"]

    async def test_a_rate_limit_is_recorded_once_for_each_delivery_and_type(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            record = uow.telemetry.record_rate_limit
            first = rate_limit(delivery_id="d", retry_attempts=7, cache_hit_rate=1.0)
            assert await record(first)
            assert not await record(rate_limit(delivery_id="d"))
            assert await record(rate_limit(delivery_id="d", event_type="mention"))
            assert await record(rate_limit(delivery_id=UNICODE))
            assert await record(rate_limit())
            assert await record(rate_limit()), "without a delivery every event is new"
            await uow.commit()
        async with store.unit_of_work(tenant="other") as uow:
            assert await uow.telemetry.record_rate_limit(rate_limit(delivery_id="d"))
        async with store.reader() as view:
            assert await view.telemetry.rate_limits.count() == 5
            assert facts(await view.telemetry.rate_limits.get(first.id)) == facts(first)

    async def test_retrieval_quality_is_recorded_once_for_each_delivery(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            record = uow.telemetry.record_retrieval_quality
            first = retrieval_quality(delivery_id="d", avg_distance=0.1, language_match_ratio=1 / 3)
            assert await record(first)
            assert not await record(retrieval_quality(delivery_id="d"))
            assert not await record(retrieval_quality(delivery_id="d", event_type="mention"))
            assert await record(retrieval_quality(delivery_id="e"))
            assert await record(retrieval_quality())
            assert await record(retrieval_quality())
            await uow.commit()
        async with store.unit_of_work(tenant="other") as uow:
            assert await uow.telemetry.record_retrieval_quality(retrieval_quality(delivery_id="d"))
        async with store.reader() as view:
            assert await view.telemetry.retrieval_quality.count() == 4
            assert facts(await view.telemetry.retrieval_quality.get(first.id)) == facts(first)

    async def test_a_delivery_replaces_all_of_its_resilience_and_keeps_the_first_moment(
        self, store: Store
    ) -> None:
        first = resilience(
            "d",
            created_at=MOMENT,
            recent_timeouts=3,
            timeout_classification_reasons=("slow", UNICODE),
        )
        later = resilience(
            "d", kind=ResilienceKind.RETRY, retry_scope_ratio=0.5, created_at=MOMENT + DAY
        )
        async with store.unit_of_work() as uow:
            await uow.telemetry.record_resilience(first)
            await uow.telemetry.record_resilience(resilience("other"))
            assert facts(await uow.telemetry.resilience.get(first.id)) == facts(first)
            await uow.telemetry.record_resilience(later)
            await uow.commit()
        async with store.unit_of_work(tenant="other") as uow:
            await uow.telemetry.record_resilience(resilience("d"))
            await uow.commit()
        async with store.reader() as view:
            assert await view.telemetry.resilience.count() == 2
            row = await view.telemetry.resilience.get(first.id)
        assert facts(row) == {**facts(later), "id": first.id, "created_at": MOMENT}

    async def test_recent_timeouts_are_those_of_one_author_in_one_repository(
        self, store: Store
    ) -> None:
        timeout = {"pr_author": "ada", "conclusion": "timeout"}
        counted = [
            event(**timeout, created_at=ago(7 * DAY - EDGE)),
            event(**{**timeout, "conclusion": "timeout_partial"}),
        ]
        others = [
            event(**timeout, created_at=ago(7 * DAY + EDGE)),
            event(**{**timeout, "conclusion": "success"}),
            event(**{**timeout, "conclusion": "TIMEOUT"}),
            event(**{**timeout, "pr_author": "bob"}),
            event(**{**timeout, "pr_author": None}),
            event(**{**timeout, "repo": "acme/web"}),
        ]
        await write(store, *counted, *others)
        await write(store, event(**timeout), tenant="other")
        async with store.reader() as view:
            assert await view.telemetry.count_recent_timeouts(REPO, "ada") == 2
        async with store.unit_of_work() as uow:
            count = uow.telemetry.count_recent_timeouts
            await uow.telemetry.record(event(**timeout))
            assert await count(REPO, "ada") == 3
            assert await count(REPO, "ada", days=1) == 2
            assert await count(REPO, "ada", days=36_500) == 4
            assert await count(REPO, "") == 0
            for days in (-1, float("nan"), 36_501):
                with pytest.raises(InvalidInput) as refusal:
                    await count(REPO, "ada", days=days)
                assert refusal.value.field == "days"


class UsageContract:
    """Sums are exact: tokens as integers, money as decimals."""

    async def test_sums_of_each_group_are_exact_and_ordered_by_key_as_python_orders_strings(
        self, store: Store
    ) -> None:
        models = ["b", "é", "B", "a-b", "a/b", "_"]
        await write(store, *(event(model=model, input_tokens=1) for model in models))
        cheap = {
            "cost_usd": Decimal("0.00000001"),
            "output_tokens": 3,
            "cache_read_tokens": 4,
            "cache_creation_tokens": 5,
        }
        await write(
            store,
            *(
                event(model="a", input_tokens=2**63 - 1, duration_ms=2**31 - 1, **cheap)
                for _ in range(10)
            ),
        )
        async with store.reader() as view:
            usage = await view.telemetry.usage(by=UsageBy.MODEL)
        assert [one.key for one in usage] == sorted([*models, "a"])
        assert next(one for one in usage if one.key == "a") == Usage(
            key="a",
            runs=10,
            input_tokens=10 * (2**63 - 1),
            output_tokens=30,
            cache_read_tokens=40,
            cache_creation_tokens=50,
            duration_ms=10 * (2**31 - 1),
            cost_usd=Decimal("0.0000001"),
        )
        assert {(type(one.cost_usd), type(one.input_tokens)) for one in usage} == {(Decimal, int)}

    async def test_a_cost_is_stored_as_the_provider_reports_it_rounded_to_eight_places(
        self, store: Store
    ) -> None:
        reported = {
            0.1 + 0.2: "0.3",
            0.10234750000000001: "0.1023475",
            Decimal("0.0000463125"): "0.00004631",
            "0.000000005": "0.00000001",
            "0.000000004999": "0",
            -1e-12: "0",
            12345.6: "12345.6",
        }
        events = [event(cost_usd=cost) for cost in reported]
        await write(store, *events)
        async with store.reader() as view:
            stored = await view.telemetry.get_many([one.id for one in events])
            [usage] = await view.telemetry.usage(by=UsageBy.REPO)
        expected = [Decimal(cost) for cost in reported.values()]
        assert [one.cost_usd for one in events] == expected
        assert [stored[one.id].cost_usd for one in events] == expected
        assert usage.cost_usd == sum(expected)

    async def test_money_adds_up_as_decimals_do(self, store: Store) -> None:
        await write(
            store,
            *(event(cost_usd=Decimal("0.1")) for _ in range(3)),
            event(cost_usd=Decimal("9999.99999999")),
        )
        async with store.reader() as view:
            [usage] = await view.telemetry.usage(by=UsageBy.REPO)
        assert (usage.key, usage.cost_usd) == (REPO, Decimal("10000.29999999"))

    async def test_usage_is_added_up_by_repository_type_and_utc_day(self, store: Store) -> None:
        midnight = datetime(2026, 3, 2, tzinfo=UTC)
        await write(
            store,
            event(created_at=midnight - timedelta(microseconds=1), event_type="review"),
            event(created_at=midnight, event_type="mention"),
            event(created_at=midnight, repo="acme/web", event_type="mention"),
            event(created_at=datetime(987, 6, 5, tzinfo=UTC), repo="acme/web"),
        )
        async with store.reader() as view:
            by = {
                by: [(one.key, one.runs) for one in await view.telemetry.usage(by=by)]
                for by in UsageBy
            }
        assert by == {
            UsageBy.MODEL: [("model", 4)],
            UsageBy.REPO: [(REPO, 2), ("acme/web", 2)],
            UsageBy.DAY: [("0987-06-05", 1), ("2026-03-01", 1), ("2026-03-02", 2)],
            UsageBy.EVENT_TYPE: [("mention", 2), ("review", 2)],
        }

    async def test_usage_is_of_one_repository_from_a_moment_until_before_another(
        self, store: Store
    ) -> None:
        moments = [MOMENT + n * DAY for n in range(4)]
        await write(
            store,
            *(event(created_at=moment) for moment in moments),
            event(repo="acme/web", created_at=MOMENT),
        )
        await write(store, event(created_at=MOMENT), tenant="other")
        async with store.unit_of_work() as uow:
            assert await _runs(uow) == 5
            assert await _runs(uow, repo=REPO) == 4
            assert await _runs(uow, since=moments[1]) == 3
            assert await _runs(uow, until=moments[1]) == 2
            assert await _runs(uow, repo=REPO, since=moments[1], until=moments[3]) == 2
            assert await _runs(uow, since=moments[3], until=moments[1]) == 0
            assert await uow.telemetry.usage(by=UsageBy.DAY, repo="acme/none") == []
            for name in ("since", "until"):
                with pytest.raises(InvalidInput) as refusal:
                    await _runs(uow, **{name: datetime(2026, 1, 1)})  # noqa: DTZ001 -- what is refused
                assert refusal.value.field == name
            assert await uow.telemetry.count() == 5


async def _runs(uow: UnitOfWork, **bounds: Any) -> int:
    usage = await uow.telemetry.usage(by=UsageBy.MODEL, **bounds)
    return sum(one.runs for one in usage)


class TelemetryPurgeContract:
    """All four tables are purged by age."""

    async def test_older_rows_of_all_four_tables_are_deleted_in_batches_of_any_size(
        self, store: Store
    ) -> None:
        for size in (1, 2, 3, 10_000):
            old, new = ago(10 * DAY + EDGE), ago(10 * DAY - EDGE)
            makers = (event, rate_limit, retrieval_quality, resilience)
            await write(
                store, *(make(created_at=moment) for make in makers for moment in (old, new) * 3)
            )
            await write(store, event(created_at=old), resilience(created_at=old), tenant="other")
            async with store.unit_of_work() as uow:
                assert await uow.telemetry.purge(older_than=10 * DAY, batch_size=size) == 12
                assert await uow.telemetry.purge(older_than=10 * DAY, batch_size=size) == 0
                telemetry = uow.telemetry
                for kind in (
                    telemetry,
                    telemetry.rate_limits,
                    telemetry.retrieval_quality,
                    telemetry.resilience,
                ):
                    assert await kind.count() == 3
                assert await uow.telemetry.purge(older_than=timedelta(0)) == 12
                await uow.commit()
        async with store.reader(tenant="other") as view:
            assert (await view.telemetry.count(), await view.telemetry.resilience.count()) == (4, 4)

    async def test_events_are_purged_from_whatever_month_they_are_in(self, store: Store) -> None:
        months = [datetime(2025, month, 15, tzinfo=UTC) for month in range(1, 13)]
        await write(
            store,
            *(event(created_at=moment) for moment in (*months, datetime(1970, 1, 1, tzinfo=UTC))),
            event(),
        )
        async with store.unit_of_work() as uow:
            assert await uow.telemetry.purge(older_than=DAY, batch_size=5) == 13
            assert await uow.telemetry.count() == 1

    async def test_an_age_or_a_batch_size_that_is_none_is_refused(self, store: Store) -> None:
        await write(store, event(created_at=MOMENT))
        async with store.unit_of_work() as uow:
            for age, size, field in (
                (-EDGE, 1, "older_than"),
                (36_501 * DAY, 1, "older_than"),
                (DAY, 0, "batch_size"),
            ):
                with pytest.raises(InvalidInput) as refusal:
                    await uow.telemetry.purge(older_than=age, batch_size=size)
                assert refusal.value.field == field
            assert await uow.telemetry.count() == 1
