"""Locks on rows and on unique values, until the end of a unit of work.

A unit of work waits for the locks of others, as on PostgreSQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterator
from enum import IntEnum
from typing import Final, TypeAlias

from domain.errors import Conflict, LockTimeout

Resource: TypeAlias = Hashable


class Mode(IntEnum):
    """Strength of a lock. The modes of two owners on one resource add up to 3 at most.

    A child row locks its parent with SHARE. A change locks its row with WRITE. An insert or a
    delete locks the row and its unique values with ALONE.
    """

    SHARE = 1
    WRITE = 2
    ALONE = 3


_MOST: Final = 3


class Owner:
    """One unit of work, with its locks in order, so that a savepoint can release the last ones."""

    def __init__(self) -> None:
        self.task = asyncio.current_task()
        self.locks: list[tuple[Resource, Mode]] = []


class Locks:
    """The locks of one database.

    Waiting for a lock raises LockTimeout after `timeout` seconds. A deadlock raises Conflict at
    once. If the lock belongs to another unit of work of the same task, LockTimeout is raised at
    once, because waiting could not end.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._holders: dict[Resource, list[tuple[Owner, Mode]]] = {}
        self._waiting: dict[Owner, set[Owner]] = {}
        self._wakers: set[asyncio.Future[None]] = set()

    async def wait(
        self, owner: Owner, resource: Resource, mode: Mode, *, within: float | None = None
    ) -> None:
        """Wait until no other owner has a lock on `resource` that excludes `mode`.

        Args:
            owner: the unit of work that waits. It gets no lock.
            resource: the row or the unique value.
            mode: mode of the lock that it needs.
            within: seconds to wait; by default, the timeout of the database.

        Raises:
            LockTimeout: another owner still had the lock after that time.
            Conflict: two owners wait for each other.
        """
        deadline = asyncio.get_running_loop().time() + (self._timeout if within is None else within)
        try:
            while blockers := self._blockers(owner, resource, mode):
                self._waiting[owner] = blockers
                self._require_hope(owner, blockers)
                await self._next_release(deadline)
        finally:
            self._waiting.pop(owner, None)

    def take(self, owner: Owner, resource: Resource, mode: Mode) -> None:
        """Lock `resource`; call it right after `wait`."""
        holders = self._holders.setdefault(resource, [])
        if not any(holder is owner and present >= mode for holder, present in holders):
            holders.append((owner, mode))
            owner.locks.append((resource, mode))

    async def acquire(self, owner: Owner, resource: Resource, mode: Mode) -> None:
        """Wait for `resource` and lock it."""
        await self.wait(owner, resource, mode)
        self.take(owner, resource, mode)

    def release(self, owner: Owner, *, since: int = 0) -> None:
        """Release the owner's locks after the first `since`, and wake the tasks that wait."""
        for resource, mode in owner.locks[since:]:
            holders = self._holders[resource]
            holders.remove((owner, mode))
            if not holders:
                del self._holders[resource]
        del owner.locks[since:]
        for waker in self._wakers:
            if not waker.done():
                waker.set_result(None)

    def _blockers(self, owner: Owner, resource: Resource, mode: Mode) -> set[Owner]:
        return {
            holder
            for holder, present in self._holders.get(resource, ())
            if holder is not owner and present + mode > _MOST
        }

    def _require_hope(self, owner: Owner, blockers: set[Owner]) -> None:
        if owner in self._reached_from(blockers):
            raise Conflict("a deadlock with another transaction", sqlstate="40P01")
        if any(blocker.task is asyncio.current_task() for blocker in blockers):
            raise LockTimeout("timed out waiting for a lock", sqlstate="55P03")

    def _reached_from(self, owners: set[Owner]) -> Iterator[Owner]:
        reached: set[Owner] = set()
        ahead = list(owners)
        while ahead:
            owner = ahead.pop()
            if owner not in reached:
                reached.add(owner)
                ahead.extend(self._waiting.get(owner, ()))
                yield owner

    async def _next_release(self, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        waker = loop.create_future()
        self._wakers.add(waker)
        try:
            async with asyncio.timeout_at(deadline):
                await waker
        except TimeoutError:
            raise LockTimeout("timed out waiting for a lock", sqlstate="55P03") from None
        finally:
            self._wakers.discard(waker)
