"""Locks on rows and on unique values, held to the end of a unit of work.

What another holds is waited for, as on PostgreSQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Iterator
from enum import IntEnum
from typing import Final, TypeAlias

from domain.errors import Conflict, LockTimeout

Resource: TypeAlias = Hashable


class Mode(IntEnum):
    """How strongly; two that are held at once by different owners add up to 3 at most.

    A child shares its parent, a change writes its row, and whoever inserts or deletes owns row and
    unique values alone.
    """

    SHARE = 1
    WRITE = 2
    ALONE = 3


_MOST: Final = 3


class Owner:
    """One unit of work among those that hold locks.

    What it holds is remembered in order, so that a savepoint can let go of it.
    """

    def __init__(self) -> None:
        self.task = asyncio.current_task()
        self.held: list[tuple[Resource, Mode]] = []


class Locks:
    """Who holds what in one database.

    Waiting ends after `timeout` seconds in LockTimeout, and at once where it could not end
    otherwise: in Conflict for a deadlock, in LockTimeout where the holder belongs to the very task
    that would wait.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._holders: dict[Resource, list[tuple[Owner, Mode]]] = {}
        self._waiting: dict[Owner, set[Owner]] = {}
        self._wakers: set[asyncio.Future[None]] = set()

    async def wait(
        self, owner: Owner, resource: Resource, mode: Mode, *, within: float | None = None
    ) -> None:
        """Wait until nobody else holds `resource` in a mode that excludes `mode`; nothing is taken.

        `within` is in seconds, by default the timeout of all.

        Raises:
            LockTimeout: that took too long.
            Conflict: the two wait for each other.
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
        """Hold `resource`; only right after `wait`."""
        holders = self._holders.setdefault(resource, [])
        if not any(holder is owner and held >= mode for holder, held in holders):
            holders.append((owner, mode))
            owner.held.append((resource, mode))

    async def acquire(self, owner: Owner, resource: Resource, mode: Mode) -> None:
        """Wait for `resource` and hold it."""
        await self.wait(owner, resource, mode)
        self.take(owner, resource, mode)

    def release(self, owner: Owner, *, since: int = 0) -> None:
        """Let go of what the owner took after its first `since` locks, and wake who waits."""
        for resource, mode in owner.held[since:]:
            holders = self._holders[resource]
            holders.remove((owner, mode))
            if not holders:
                del self._holders[resource]
        del owner.held[since:]
        for waker in self._wakers:
            if not waker.done():
                waker.set_result(None)

    def _blockers(self, owner: Owner, resource: Resource, mode: Mode) -> set[Owner]:
        return {
            holder
            for holder, held in self._holders.get(resource, ())
            if holder is not owner and held + mode > _MOST
        }

    def _require_hope(self, owner: Owner, blockers: set[Owner]) -> None:
        if owner in self._reached_from(blockers):
            raise Conflict("a deadlock with another transaction", sqlstate="40P01")
        if any(blocker.task is asyncio.current_task() for blocker in blockers):
            raise LockTimeout("a lock was not to be had in time", sqlstate="55P03")

    def _reached_from(self, owners: set[Owner]) -> Iterator[Owner]:
        seen: set[Owner] = set()
        ahead = list(owners)
        while ahead:
            owner = ahead.pop()
            if owner not in seen:
                seen.add(owner)
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
            raise LockTimeout("a lock was not to be had in time", sqlstate="55P03") from None
        finally:
            self._wakers.discard(waker)
