"""Writing a group of events.

All in one transaction, each at most once, and those that are refused alone left out.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Protocol

from domain.errors import (
    AlreadyExists,
    CommitOutcomeUnknown,
    ConstraintViolated,
    InvalidInput,
    RecollectError,
    TenantMismatch,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from domain import TelemetryEvent, UnitOfWork

LONGEST_PAUSE = 2.0
"""Seconds between two attempts, at most."""


class Database(Protocol):
    """What a recorder needs: units of work."""

    def unit_of_work(self, *, tenant: str) -> UnitOfWork:
        """Return a unit of work of the tenant."""
        ...


class GroupWriter:
    """Writes events of one tenant that have their id and their `created_at`, so that the key of
    each is known beforehand.

    What is written again after a commit whose outcome was lost meets its own rows, and no event is
    there twice.
    """

    def __init__(self, database: Database, tenant: str) -> None:
        self._database = database
        self._tenant = tenant
        self.committed = 0

    async def write(
        self, events: Sequence[TelemetryEvent], *, gives_up: Callable[[], bool]
    ) -> list[Exception | None]:
        """Return for each event None where it was written, and otherwise why it was not.

        What is safe to try again is tried until `gives_up` says so. Of a group that is refused the
        halves are written, and so on: the others of one bad event cost a dozen transactions in a
        thousand.
        """
        try:
            await self._write_all(events, gives_up)
        except Exception as error:  # noqa: BLE001 -- is told with each event
            if len(events) == 1 or not is_refusal(error):
                return [error for _ in events]
            middle = len(events) // 2
            return [
                *await self.write(events[:middle], gives_up=gives_up),
                *await self.write(events[middle:], gives_up=gives_up),
            ]
        return [None for _ in events]

    async def _write_all(
        self, events: Sequence[TelemetryEvent], gives_up: Callable[[], bool]
    ) -> None:
        unknown: CommitOutcomeUnknown | None = None
        attempts = 0
        while True:
            try:
                await self._attempt(events, may_be_there=unknown is not None)
            except CommitOutcomeUnknown as error:
                failure: RecollectError = error
                unknown = error
            except RecollectError as error:
                if is_refusal(error):
                    raise
                failure = error if unknown is None else unknown
                if not error.safe_to_retry:
                    raise failure from None
            else:
                self.committed += 1
                return
            if gives_up():
                raise failure
            attempts += 1
            await asyncio.sleep(random.uniform(0, min(LONGEST_PAUSE, 0.05 * 2**attempts)))  # noqa: S311 -- jitter, no secret

    async def _attempt(self, events: Sequence[TelemetryEvent], *, may_be_there: bool) -> None:
        try:
            async with self._database.unit_of_work(tenant=self._tenant) as uow:
                await uow.telemetry.record_many(events)
                await uow.commit()
        except AlreadyExists:
            # The server let this attempt wait for the one before, whose end it knows: its rows are
            # all there, or none of them.
            if not (may_be_there and await self._are_there(events)):
                raise

    async def _are_there(self, events: Sequence[TelemetryEvent]) -> bool:
        ids = {event.id for event in events}
        # In a unit of work, because a reader may be answered by a standby that lags behind.
        async with self._database.unit_of_work(tenant=self._tenant) as uow:
            return len(await uow.telemetry.get_many(ids)) == len(ids)


def is_refusal(error: Exception) -> bool:
    """Whether an event is to blame, so that another one may be written where this one is not."""
    return isinstance(error, (InvalidInput, ConstraintViolated, TenantMismatch)) or not isinstance(
        error, RecollectError
    )
