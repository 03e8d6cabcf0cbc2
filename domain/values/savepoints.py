"""Savepoints of one unit of work: each is entered once, and the last one ends first."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from domain.errors import UnitOfWorkError

if TYPE_CHECKING:
    from types import TracebackType


class Savepoint(AbstractAsyncContextManager[None]):
    """A block of a unit of work that is rolled back alone.

    Args:
        block: sets the savepoint, and releases it or rolls back to it.
        entered: the savepoints of the unit of work that are open, the outermost first.
    """

    def __init__(self, block: AbstractAsyncContextManager[None], entered: list[Savepoint]) -> None:
        self._block = block
        self._entered = entered
        self._was_entered = False

    async def __aenter__(self) -> None:
        if self._was_entered:
            raise UnitOfWorkError("this savepoint was entered before: open another one")
        self._was_entered = True
        await self._block.__aenter__()
        self._entered.append(self)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        if self._entered[-1] is not self:
            raise UnitOfWorkError("another savepoint is open inside this one: leave that one first")
        try:
            return await self._block.__aexit__(exc_type, exc, traceback)
        finally:
            self._entered.pop()
