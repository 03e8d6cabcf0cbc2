"""The telemetry recorder on an adapter.

It writes accepted events in groups, once, and reports every lost event.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from domain import AlreadyExists, RecorderClosed, TelemetryEvent, TenantMismatch
from repositories.recorder import RecorderFigures, TelemetryRecorder
from tests.contract.suites.kinds import facts, write
from tests.contract.suites.samples import MOMENT, event

if TYPE_CHECKING:
    from tests.contract.suites.store import Store

NEVER = timedelta(hours=1)
"""Longer than any test: what is written before has another reason."""

TASKS = 16


class RecorderContract:
    """A buffer in front of any adapter."""

    async def test_what_many_tasks_record_is_written_by_the_end_and_none_is_lost(
        self, store: Store
    ) -> None:
        async def record(recorder: TelemetryRecorder) -> list[TelemetryEvent]:
            events = [event() for _ in range(5)]
            for one in events:
                assert await recorder.record(one)
            return events

        async with TelemetryRecorder(store, flush_every=NEVER) as recorder:
            entries = [
                one
                for part in await asyncio.gather(*(record(recorder) for _ in range(TASKS)))
                for one in part
            ]
        assert recorder.figures == RecorderFigures(recorded=5 * TASKS, written=5 * TASKS, groups=1)
        async with store.reader() as view:
            rows = await view.telemetry.get_many([one.id for one in entries])
        assert [facts(rows[one.id]) for one in entries] == [facts(one) for one in entries]

    async def test_a_durable_event_is_committed_when_record_returns_and_groups_serve_many_tasks(
        self, store: Store
    ) -> None:
        async def record(recorder: TelemetryRecorder) -> None:
            one = event()
            assert await recorder.record(one, durable=True)
            async with store.reader() as view:
                assert await view.telemetry.find(one.id) is not None

        async with TelemetryRecorder(store, flush_every=NEVER) as recorder:
            await asyncio.gather(*(record(recorder) for _ in range(TASKS)))
            assert recorder.figures == RecorderFigures(recorded=TASKS, written=TASKS, groups=1)

    async def test_events_are_the_tenants_and_have_the_moment_when_they_were_taken(
        self, store: Store
    ) -> None:
        offered = event(created_at=MOMENT + timedelta(days=1))
        async with TelemetryRecorder(store, tenant="other", clock=lambda: MOMENT) as recorder:
            recorded = event()
            assert await recorder.record(recorded)
            assert recorder.offer(offered)
        async with store.reader(tenant="other") as view:
            assert [one.created_at for one in await view.telemetry.list()] == [
                offered.created_at,
                MOMENT,
            ]
        async with store.reader() as view:
            assert await view.telemetry.count() == 0

    async def test_an_event_that_is_refused_does_not_take_the_others_down(
        self, store: Store
    ) -> None:
        there = event(created_at=MOMENT)
        await write(store, there.model_copy())
        others = event(tenant="other")
        good = [event() for _ in range(20)]
        lost: list[tuple[Any, type[Exception]]] = []
        async with TelemetryRecorder(
            store, flush_every=NEVER, on_lost=lambda one, error: lost.append((one.id, type(error)))
        ) as recorder:
            for one in [*good[:7], there, *good[7:], good[3], others]:
                await recorder.record(one)
            await recorder.flush()
            assert recorder.figures.queued == 0
            with pytest.raises(AlreadyExists):
                await recorder.record(there, durable=True)
            assert await recorder.record(event(), durable=True)
        assert sorted(lost, key=str) == sorted(
            [
                (there.id, AlreadyExists),
                (there.id, AlreadyExists),
                (good[3].id, AlreadyExists),
                (others.id, TenantMismatch),
            ],
            key=str,
        )
        figures = recorder.figures
        assert (figures.recorded, figures.written, figures.refused, figures.lost) == (25, 21, 4, 4)
        async with store.reader() as view:
            assert await view.telemetry.count() == 22

    async def test_a_full_queue_lets_tasks_wait_or_drops_and_counts(self, store: Store) -> None:
        async with TelemetryRecorder(store, flush_every=NEVER, max_queue=3) as recorder:
            assert all(await asyncio.gather(*(recorder.record(event()) for _ in range(TASKS))))
        assert (recorder.figures.written, recorder.figures.dropped) == (TASKS, 0)
        async with TelemetryRecorder(
            store, flush_every=NEVER, max_queue=3, on_full="drop"
        ) as recorder:
            answers = [recorder.offer(event()) for _ in range(4)]
            assert [*answers, await recorder.record(event())] == [True, True, True, False, False]
            assert await recorder.record(event(), durable=True), (
                "who waits for the commit waits for room as well"
            )
        assert recorder.figures == RecorderFigures(recorded=4, written=4, dropped=2, groups=2)
        async with store.reader() as view:
            assert await view.telemetry.count() == TASKS + 4

    async def test_whoever_stops_waiting_leaves_the_event_to_be_written(self, store: Store) -> None:
        async with TelemetryRecorder(store, flush_every=NEVER) as recorder:
            waiting = asyncio.create_task(recorder.record(event(), durable=True))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        async with store.reader() as view:
            assert await view.telemetry.count() == 1

    async def test_a_recorder_takes_nothing_before_it_is_entered_and_after_it_is_closed(
        self, store: Store
    ) -> None:
        recorder = TelemetryRecorder(store)
        with pytest.raises(RecorderClosed):
            recorder.offer(event())
        async with recorder:
            await recorder.record(event())
            assert await recorder.close() == RecorderFigures(recorded=1, written=1, groups=1)
            for durable in (False, True):
                with pytest.raises(RecorderClosed):
                    await recorder.record(event(), durable=durable)
        assert await recorder.close() == RecorderFigures(recorded=1, written=1, groups=1)
        with pytest.raises(RecorderClosed):
            async with recorder:
                pass
