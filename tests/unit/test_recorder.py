"""The telemetry recorder when the database fails.

What is tried again, what is given up, and what is said about it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from domain import (
    CommitOutcomeUnknown,
    ConfigurationError,
    Conflict,
    ConnectionLost,
    DatabaseUnavailable,
    RecollectError,
    RecorderClosed,
    StatementTimeout,
    TelemetryEvent,
)
from repositories.fakes import FakeDatabase
from repositories.fakes.unit_of_work import FakeUnitOfWork
from repositories.recorder import RecorderFigures, TelemetryRecorder, writing

NEVER = timedelta(hours=1)
SECRET = "canary-7Qx"


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "LONGEST_PAUSE", 0.0)


def event(**values: Any) -> TelemetryEvent:
    return TelemetryEvent(
        **{"repo": "a/b", "event_type": "review", "model": "m", "conclusion": SECRET, **values}
    )


class Unit(FakeUnitOfWork):
    """Fails once, before its commit or after it."""

    before: Exception | None = None
    after: Exception | None = None
    commit_event: asyncio.Event

    async def commit(self) -> None:
        if self.before is not None:
            raise self.before
        await super().commit()
        self.commit_event.set()
        if self.after is not None:
            raise self.after


class Failing(FakeDatabase):
    """Gives units of work that fail as told, one after the other, and then ones that do not."""

    def __init__(self, *failures: Callable[[Unit], None]) -> None:
        super().__init__()
        self.failures = list(failures)
        self.units = 0
        self.commit_event = asyncio.Event()

    def unit_of_work(self, **options: Any) -> Unit:
        self.units += 1
        unit = Unit(self._state, tenant=options["tenant"], operation_id=None)
        unit.commit_event = self.commit_event
        if self.failures:
            self.failures.pop(0)(unit)
        return unit

    async def count(self) -> int:
        async with self.reader() as view:
            return await view.telemetry.count()


def before(error: Exception) -> Callable[[Unit], None]:
    return lambda unit: setattr(unit, "before", error)


def after(error: Exception) -> Callable[[Unit], None]:
    return lambda unit: setattr(unit, "after", error)


LOST = ConnectionLost("the connection was lost before COMMIT: nothing was committed")
UNKNOWN = CommitOutcomeUnknown(None)


async def recorded(database: Failing, count: int = 3, **options: Any) -> RecorderFigures:
    async with TelemetryRecorder(database, flush_every=NEVER, **options) as recorder:
        for _ in range(count):
            await recorder.record(event())
    return recorder.figures


@pytest.mark.parametrize("failure", [LOST, Conflict("a deadlock"), DatabaseUnavailable("refused")])
async def test_what_is_safe_to_try_again_is_tried_again(failure: Exception) -> None:
    database = Failing(before(failure), before(failure))
    assert await recorded(database) == RecorderFigures(recorded=3, written=3, groups=1)
    assert (await database.count(), database.units) == (3, 3)


@pytest.mark.parametrize(
    "failures",
    [[after(UNKNOWN)], [before(UNKNOWN)], [after(UNKNOWN), before(LOST), before(UNKNOWN)]],
)
async def test_a_commit_whose_outcome_was_lost_is_found_out_and_no_event_is_there_twice(
    failures: list[Callable[[Unit], None]],
) -> None:
    database = Failing(*failures)
    assert await recorded(database) == RecorderFigures(recorded=3, written=3, groups=1)
    assert await database.count() == 3


async def test_an_event_that_was_there_before_is_refused_although_a_commits_outcome_was_lost() -> (
    None
):
    database = Failing(before(UNKNOWN))
    twice = event()
    async with TelemetryRecorder(database, flush_every=NEVER) as recorder:
        for one in (event(), twice, twice):
            await recorder.record(one)
    assert (recorder.figures.written, recorder.figures.refused) == (2, 1)
    assert await database.count() == 2


async def test_after_retry_for_the_events_count_as_failed_and_the_next_ones_are_tried() -> None:
    database = Failing(before(LOST))
    async with TelemetryRecorder(database, flush_every=NEVER, retry_for=timedelta(0)) as recorder:
        with pytest.raises(ConnectionLost):
            await recorder.record(event(), durable=True)
        await recorder.record(event(), durable=True)
    assert recorder.figures == RecorderFigures(recorded=2, written=1, failed=1, groups=1)


async def test_an_outcome_that_cannot_be_determined_is_reported_as_unknown() -> None:
    for then in (LOST, StatementTimeout("cancelled")):
        database = Failing(after(UNKNOWN), before(then))
        assert await recorded(database, retry_for=timedelta(0)) == RecorderFigures(
            recorded=3, unknown=3
        )
    database = Failing(before(UNKNOWN), before(StatementTimeout("cancelled")))
    assert (await recorded(database)).unknown == 3


async def test_what_is_not_safe_to_try_again_is_not() -> None:
    database = Failing(before(StatementTimeout("cancelled")))
    assert await recorded(database) == RecorderFigures(recorded=3, failed=3)
    assert database.units == 1


async def test_closing_while_the_database_is_away_gives_up_on_what_is_left_at_once() -> None:
    database = Failing(*(before(LOST) for _ in range(100)))
    async with TelemetryRecorder(
        database, flush_every=NEVER, retry_for=timedelta(0), max_queue=5
    ) as recorder:
        recorder._group = 1
        for _ in range(5):
            recorder.offer(event())
    assert recorder.figures == RecorderFigures(recorded=5, failed=5)
    assert database.units == 1


async def test_an_event_that_breaks_the_writing_itself_is_left_out_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = event()
    vars(broken)["input_tokens"] = SECRET
    lost: list[tuple[TelemetryEvent, Exception]] = []

    def tell(one: TelemetryEvent, error: Exception) -> None:
        lost.append((one, error))
        raise ZeroDivisionError

    database = Failing()
    async with TelemetryRecorder(database, flush_every=NEVER, on_lost=tell) as recorder:
        for one in (event(), broken, event()):
            await recorder.record(one)
    assert (recorder.figures.written, recorder.figures.refused) == (2, 1)
    assert [one for one, _ in lost] == [broken]
    assert "1 of 3 telemetry events were not written" in caplog.text
    assert "on_lost failed" in caplog.text
    assert SECRET not in caplog.text


async def test_dropped_events_are_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with FakeDatabase().telemetry_recorder(
            max_queue=1, on_full="drop", flush_every=NEVER
        ) as recorder:
            assert [recorder.offer(event()) for _ in range(3)] == [True, False, False]
    assert (recorder.figures.dropped, recorder.figures.lost) == (2, 2)
    assert "2 telemetry events were dropped: 1 were waiting" in caplog.text


async def test_an_event_is_written_once_it_is_old_enough() -> None:
    database = Failing()
    async with TelemetryRecorder(database, flush_every=timedelta(milliseconds=1)) as recorder:
        await recorder.record(event())
        async with asyncio.timeout(10):
            await database.commit_event.wait()
        assert await database.count() == 1


async def test_waiting_callers_get_an_error_when_the_recorder_is_closed() -> None:
    async with TelemetryRecorder(Failing(), flush_every=NEVER, max_queue=1) as recorder:
        recorder.offer(event())
        waiting = asyncio.create_task(recorder.record(event()))
        await asyncio.sleep(0)
        await recorder.close()
        with pytest.raises(RecorderClosed):
            await waiting
    assert recorder.figures.written == 1


async def test_closing_goes_to_its_end_although_its_task_is_cancelled() -> None:
    database = Failing(*(before(LOST) for _ in range(3)))

    async def work() -> None:
        async with TelemetryRecorder(database, flush_every=NEVER) as recorder:
            await recorder.record(event())
            asyncio.current_task().cancel()  # type: ignore[union-attr]  # there is one here

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(work())
    assert await database.count() == 1


def test_a_recorder_that_is_never_closed_tells_what_its_loop_left_unwritten(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lost: list[Exception] = []

    async def leave() -> TelemetryRecorder:
        recorder = TelemetryRecorder(
            Failing(), flush_every=NEVER, on_lost=lambda _, error: lost.append(error)
        )
        await recorder.__aenter__()
        await recorder.record(event())
        await asyncio.sleep(0)
        return recorder

    recorder = asyncio.run(leave())
    assert recorder.figures == RecorderFigures(recorded=1, failed=1)
    assert [type(error) for error in lost] == [RecorderClosed]
    assert "1 of 1 telemetry events were not written: the event loop ended" in caplog.text


@pytest.mark.parametrize(
    ("wrong", "setting"),
    [
        ({"max_queue": 0}, "max_queue"),
        ({"flush_every": timedelta(0)}, "flush_every"),
        ({"on_full": "explode"}, "on_full"),
        ({"retry_for": timedelta(seconds=-1)}, "retry_for"),
    ],
)
def test_options_that_cannot_be_are_refused(wrong: dict[str, Any], setting: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        TelemetryRecorder(FakeDatabase(), **wrong)
    assert refusal.value.setting == setting
    with pytest.raises(RecollectError):
        TelemetryRecorder(FakeDatabase(), tenant="")


async def test_signals_are_watched_from_the_main_thread_alone() -> None:
    async def enter() -> None:
        async with TelemetryRecorder(FakeDatabase(), flush_on_signals=True):
            pass

    with pytest.raises(ConfigurationError) as refusal:
        await asyncio.to_thread(asyncio.run, enter())
    assert refusal.value.setting == "flush_on_signals"
