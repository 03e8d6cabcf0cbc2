"""Binds a pool to one process and one event loop: a use elsewhere raises an error."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from domain.errors import UnitOfWorkError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


class LoopGuard:
    """Remembers the process and the event loop of its first check, and refuses every other.

    One statement from a foreign loop leaves a connection "in progress" forever. A forked child
    shares its parent's sockets: what it sends or closes breaks the parent's session.
    """

    def __init__(self) -> None:
        self._home: tuple[int, AbstractEventLoop] | None = None

    def check(self) -> None:
        """Raise `UnitOfWorkError` outside of the process and the event loop of the first call.

        Needs a running loop.
        """
        here = os.getpid(), asyncio.get_running_loop()
        if self._home is None:
            self._home = here
        if here[0] != self._home[0]:
            raise UnitOfWorkError(
                "this database was opened before a fork: open another one in the child process"
            )
        if here[1] is not self._home[1]:
            raise UnitOfWorkError(
                "this database belongs to another event loop: open one in each loop, and close it "
                "there"
            )
