"""One unit of work belongs to one event loop, and one task at a time uses it."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from domain.errors import UnitOfWorkError

if TYPE_CHECKING:
    from collections.abc import Iterator


class ExclusiveUse:
    """Refuses a second task while the first one uses a unit of work, and every other event loop.

    The unit of work belongs to the event loop of the first use.
    """

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[object] | None = None
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def is_foreign_loop(self) -> bool:
        """Whether the running event loop is another one."""
        return self.loop is not None and asyncio.get_running_loop() is not self.loop

    def require_own_loop(self) -> None:
        """Raise UnitOfWorkError in another event loop."""
        loop = asyncio.get_running_loop()
        if self.loop is None:
            self.loop = loop
        elif self.loop is not loop:
            raise UnitOfWorkError(
                "this unit of work belongs to another event loop: open one in the loop that uses it"
            )

    @contextmanager
    def use(self) -> Iterator[None]:
        """Hold it for the current task during the block; the task may enter it again.

        Raises:
            UnitOfWorkError: another task is using it, or this is another event loop.
        """
        previous = self.acquire()
        try:
            yield
        finally:
            self.release(previous)

    def acquire(self) -> asyncio.Task[object] | None:
        """Hold it for the current task until `release`, to which the returned value belongs.

        Raises:
            UnitOfWorkError: another task is using it, or this is another event loop.
        """
        self.require_own_loop()
        task, previous = asyncio.current_task(), self._task
        if previous is not None and previous is not task:
            raise UnitOfWorkError(
                "a unit of work was used by two tasks at once: await one call after the other, or"
                " open a reader for each task"
            )
        self._task = task
        return previous

    def release(self, previous: asyncio.Task[object] | None) -> None:
        """Give it back, after the `acquire` that returned `previous`."""
        self._task = previous
        if previous is None and self._waiters:
            self._wake()

    async def wait_free(self) -> None:
        """Wait until no task is using it."""
        while self._task is not None:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()
