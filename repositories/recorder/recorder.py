"""A buffer in front of the database: events are taken one by one and committed in groups."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, Self, TypedDict

from domain.errors import CommitOutcomeUnknown, ConfigurationError, RecollectError, RecorderClosed
from domain.ports.implementing import checks_arguments
from domain.values.shown import shown
from domain.values.text import DEFAULT_TENANT, require_tenant
from repositories.postgres.cancellation import run_to_completion
from repositories.recorder.figures import RecorderFigures
from repositories.recorder.signals import FlushOnSignals
from repositories.recorder.writing import GroupWriter, is_refusal

if TYPE_CHECKING:
    from types import TracebackType

    from domain import TelemetryEvent
    from repositories.recorder.writing import UnitOfWorkFactory

OnFull = Literal["wait", "drop"]

GROUP: Final = 1_000
"""Events that are written in one transaction, at most."""

_logger = logging.getLogger("recollect.recorder")


class RecorderOptions(TypedDict, total=False):
    """The keyword arguments of `TelemetryRecorder`."""

    max_queue: int
    flush_every: timedelta
    on_full: OnFull
    retry_for: timedelta
    on_lost: Callable[[TelemetryEvent, Exception], object] | None
    flush_on_signals: bool
    clock: Callable[[], datetime]


@dataclass(slots=True)
class _Pending:
    """An event in memory, its time by the loop's clock, and the future of its commit."""

    event: TelemetryEvent
    since: float
    committed: asyncio.Future[None] | None


def _utc_now() -> datetime:
    return datetime.now(UTC)


@checks_arguments
class TelemetryRecorder:
    """Takes telemetry events of one tenant from any number of tasks, and writes them in groups.

    A group is written when a caller waits for one of its events, when its oldest event is
    `flush_every` old, or when it is full. Meanwhile the next group collects events. An event
    without `created_at` gets it from `clock` when it is taken, so that its key is fixed before it
    is written, and a repeated write cannot insert it twice. Do not change an event after the
    recorder has taken it.

    A crash loses at most the events in memory: no more than `max_queue`, and, if the database keeps
    up, none older than `flush_every` and one commit. It loses no event whose
    `record(durable=True)` has returned.

    Errors that are safe to retry are retried for `retry_for`; closing the recorder starts this time
    again. If the database refuses an event, the others of its group are still written. Each lost
    event is counted, logged without its values, and passed to `on_lost` with the error.

    Use the recorder as `async with`, inside that of the database and in the same event loop. It can
    be entered once.

    Args:
        database: the database of the ports.
        tenant: the tenant of the events.
        max_queue: the number of events in memory at most.
        flush_every: the age at which an event is written.
        on_full: whether `record` waits or drops the event if `max_queue` events are in memory. A
            dropped event is counted and logged.
        retry_for: how long to retry.
        on_lost: a function that is called with each lost event and its error.
        flush_on_signals: let SIGTERM and SIGINT wait until the events in memory are written, for
            `retry_for` at most; see `FlushOnSignals`.
        clock: a function that returns the current time.

    Raises:
        ConfigurationError: an argument is out of its range.
    """

    def __init__(
        self,
        database: UnitOfWorkFactory,
        *,
        tenant: str = DEFAULT_TENANT,
        max_queue: int = 10_000,
        flush_every: timedelta = timedelta(seconds=1),
        on_full: OnFull = "wait",
        retry_for: timedelta = timedelta(seconds=30),
        on_lost: Callable[[TelemetryEvent, Exception], object] | None = None,
        flush_on_signals: bool = False,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        rules = {
            "max_queue": (max_queue, max_queue >= 1, "at least 1"),
            "flush_every": (flush_every, flush_every > timedelta(0), "more than 0"),
            "on_full": (on_full, on_full in ("wait", "drop"), "'wait' or 'drop'"),
            "retry_for": (retry_for, retry_for >= timedelta(0), "0 or more"),
        }
        for setting, (value, holds, allowed) in rules.items():
            if not holds:
                raise ConfigurationError(
                    f"{setting} must be {allowed}, not {shown(value)}", setting=setting
                )
        self._writer = GroupWriter(database, require_tenant(tenant))
        self._max_queue = max_queue
        self._group = min(GROUP, max_queue)
        self._flush_every = flush_every.total_seconds()
        self._on_full = on_full
        self._retry_for = retry_for.total_seconds()
        self._on_lost = on_lost
        self._clock = clock
        self._signals = FlushOnSignals(self.flush, retry_for) if flush_on_signals else None
        self._queue: deque[_Pending] = deque()
        self._in_flight: Sequence[_Pending] = ()
        self._awaited = 0
        self._flushes: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._counts: Counter[str] = Counter()
        self._drops_told = 0
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._give_up_at = float("inf")

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise RecorderClosed("this recorder was entered before: create another one")
        self._loop = asyncio.get_running_loop()
        self._work, self._room = asyncio.Event(), asyncio.Event()
        if self._signals is not None:
            self._signals.install()
        self._task = asyncio.create_task(self._write_groups(), name="recollect telemetry recorder")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def figures(self) -> RecorderFigures:
        """The counts of events so far."""
        return RecorderFigures(**self._counts, queued=self._held, groups=self._writer.committed)

    async def record(self, event: TelemetryEvent, *, durable: bool = False) -> bool:
        """Take the event, and return whether it was taken.

        Args:
            event: the event.
            durable: return only after the event is committed. If the queue is full, wait for room
                whatever `on_full` says.

        Returns:
            False only if the queue is full, `on_full` is `drop` and `durable` is not set.

        Raises:
            RecorderClosed: the recorder is not entered yet, or is closed.
            CommitOutcomeUnknown: with `durable`, the event may or may not be written.
            RecollectError: with `durable`, the event was not written.
        """
        self._require_open()
        if self._is_full and self._on_full == "drop" and not durable:
            return self._dropped()
        while self._is_full:
            self._room.clear()
            await self._room.wait()
            self._require_open()
        committed = self._take(event, durable=durable)
        if committed is not None:
            await committed
        return True

    def offer(self, event: TelemetryEvent) -> bool:
        """Take the event if there is room, and return whether it was taken.

        It never waits, and may be called outside a coroutine.

        Raises:
            RecorderClosed: the recorder is not entered yet, or is closed.
        """
        self._require_open()
        if self._is_full:
            return self._dropped()
        self._take(event, durable=False)
        return True

    async def flush(self) -> None:
        """Wait until every event that was taken so far is committed, or counted as lost."""
        if self._held and not self._ended:
            done = self._loop.create_future()
            self._flushes.append((self._counts["recorded"], done))
            self._work.set()
            await done

    async def close(self) -> RecorderFigures:
        """Write the events in memory, take no more, and return the final counts.

        It takes `retry_for` and one transaction at most, and completes even if its task is
        cancelled. You can close a recorder twice.
        """
        if self._task is not None:
            if not self._closed:
                self._closed = True
                self._give_up_at = self._loop.time() + self._retry_for
                self._work.set()
                self._room.set()
            await run_to_completion(self._end(self._task))
        return self.figures

    async def _end(self, task: asyncio.Task[None]) -> None:
        await asyncio.wait([task])
        if self._signals is not None:
            self._signals.restore()

    @property
    def _held(self) -> int:
        return len(self._queue) + len(self._in_flight)

    @property
    def _is_full(self) -> bool:
        return self._held >= self._max_queue

    @property
    def _ended(self) -> bool:
        return self._task is None or self._task.done()

    def _require_open(self) -> None:
        if self._closed or self._ended:
            raise RecorderClosed("this recorder is not open: use it inside its `async with`")

    def _dropped(self) -> bool:
        self._counts["dropped"] += 1
        return False

    def _take(self, event: TelemetryEvent, *, durable: bool) -> asyncio.Future[None] | None:
        if event.created_at is None:
            event.created_at = self._clock()
        committed = self._loop.create_future() if durable else None
        self._queue.append(_Pending(event, self._loop.time(), committed))
        self._counts["recorded"] += 1
        self._awaited += durable
        if durable or len(self._queue) in (1, self._group):
            self._work.set()
        return committed

    async def _write_groups(self) -> None:
        try:
            while await self._due():
                self._in_flight = [
                    self._queue.popleft() for _ in range(min(self._group, len(self._queue)))
                ]
                self._awaited -= sum(pending.committed is not None for pending in self._in_flight)
                gives_up = partial(self._gives_up, self._loop.time() + self._retry_for)
                outcomes = await self._writer.write(
                    [pending.event for pending in self._in_flight], gives_up=gives_up
                )
                self._settle(outcomes)
                if (
                    gives_up()
                    and self._closed
                    and (failure := outcomes[-1]) is not None
                    and _kind(failure) == "failed"
                ):
                    self._give_up(failure)
                # Callers that waited for this group may add their next event to the next group.
                await asyncio.sleep(0)
        finally:
            self._abandon()

    async def _due(self) -> bool:
        """Wait until a group is due; return False if the recorder is closed and has no events."""
        while not self._is_due():
            if self._closed:
                return False
            self._work.clear()
            left = (
                self._queue[0].since + self._flush_every - self._loop.time()
                if self._queue
                else None
            )
            try:
                async with asyncio.timeout(left):
                    await self._work.wait()
            except TimeoutError:
                pass
        return True

    def _is_due(self) -> bool:
        if not self._queue:
            return False
        hurry = self._closed or self._awaited or self._flushes or len(self._queue) >= self._group
        return bool(hurry) or self._loop.time() >= self._queue[0].since + self._flush_every

    def _gives_up(self, at: float) -> bool:
        return self._loop.time() >= min(at, self._give_up_at)

    def _settle(self, outcomes: Sequence[Exception | None]) -> None:
        errors: Counter[str] = Counter()
        group, self._in_flight = self._in_flight, ()
        for pending, error in zip(group, outcomes, strict=True):
            self._counts[_kind(error)] += 1
            if error is not None:
                errors[_words(error)] += 1
                self._lose(pending, error)
            elif pending.committed is not None and not pending.committed.done():
                pending.committed.set_result(None)
        for words, count in errors.items():
            _logger.warning(
                "%d of %d telemetry events were not written: %s", count, len(group), words
            )
        self._tell_drops()
        settled = self._counts["recorded"] - len(self._queue)
        while self._flushes and self._flushes[0][0] <= settled:
            _, done = self._flushes.popleft()
            if not done.done():
                done.set_result(None)
        self._room.set()

    def _lose(self, pending: _Pending, error: Exception) -> None:
        if pending.committed is not None and not pending.committed.done():
            pending.committed.set_exception(error)
        if self._on_lost is not None:
            try:
                self._on_lost(pending.event, error)
            except Exception:
                _logger.exception("on_lost failed")

    def _tell_drops(self) -> None:
        dropped = self._counts["dropped"]
        if dropped > self._drops_told:
            _logger.warning(
                "%d telemetry events were dropped: %d were waiting",
                dropped - self._drops_told,
                self._max_queue,
            )
            self._drops_told = dropped

    def _give_up(self, failure: Exception) -> None:
        self._in_flight = list(self._queue)
        self._queue.clear()
        self._settle([failure for _ in self._in_flight])

    def _abandon(self) -> None:
        # Events are left only if the event loop ends and cancels every task.
        self._closed = True
        self._settle([CommitOutcomeUnknown(None) for _ in self._in_flight])
        self._give_up(RecorderClosed("the event loop ended before this event was written"))


def _kind(error: Exception | None) -> str:
    if error is None:
        return "written"
    if isinstance(error, CommitOutcomeUnknown):
        return "unknown"
    return "refused" if is_refusal(error) else "failed"


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, RecollectError) else type(error).__name__
