"""Writes a group of events in one transaction, each at most once, without the refused ones."""

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


class UnitOfWorkFactory(Protocol):
    """The part of a database that a recorder needs: units of work."""

    def unit_of_work(self, *, tenant: str) -> UnitOfWork:
        """Return a unit of work of the tenant."""
        ...


class GroupWriter:
    """Writes events of one tenant that already have their key: `id` and `created_at`.

    Because the keys are fixed, a retry after a commit of unknown outcome cannot write an event
    twice.
    """

    def __init__(self, database: UnitOfWorkFactory, tenant: str) -> None:
        self._database = database
        self._tenant = tenant
        self.committed = 0

    async def write(
        self, events: Sequence[TelemetryEvent], *, gives_up: Callable[[], bool]
    ) -> list[Exception | None]:
        """Write the events, and return an error or None for each.

        Errors that are safe to retry are retried until `gives_up` returns True. If the database
        refuses a group, its halves are written separately, and so on: one bad event among a
        thousand costs about twenty transactions.
        """
        try:
            await self._write_all(events, gives_up)
        except Exception as error:  # noqa: BLE001 -- returned for each event
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
            # This attempt waited for the one before to end, so either all of its rows exist or
            # none.
            if not (may_be_there and await self._are_there(events)):
                raise

    async def _are_there(self, events: Sequence[TelemetryEvent]) -> bool:
        ids = {event.id for event in events}
        # In a unit of work, because a reader may use a standby that lags behind.
        async with self._database.unit_of_work(tenant=self._tenant) as uow:
            return len(await uow.telemetry.get_many(ids)) == len(ids)


def is_refusal(error: Exception) -> bool:
    """Return whether the error concerns an event, so that others can still be written."""
    return isinstance(error, (InvalidInput, ConstraintViolated, TenantMismatch)) or not isinstance(
        error, RecollectError
    )
