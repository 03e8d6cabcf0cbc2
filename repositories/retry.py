"""Running whole units of work again where that is safe, and finding out what became of one whose commit was lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeVar

from tenacity import (
    AsyncRetrying,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from domain.errors import CommitOutcomeUnknown, ConnectionLost, DatabaseFailure
from domain.values.transactions import Failures

if TYPE_CHECKING:
    from repositories.unit_of_work import CommittedOperations, UnitOfWork

T = TypeVar("T")

# Full jitter: whoever collided is spread over the whole pause, and does not meet again.
_PAUSES: Final = wait_random_exponential(multiplier=0.02, max=2)
_LOCK_PATIENCE: Final = timedelta(seconds=1)


async def run_with_retry(
    work: Callable[[UnitOfWork], Awaitable[T]],
    factory: Callable[[], UnitOfWork],
    *,
    was_committed: Callable[[], Awaitable[bool]] | None,
    attempts: int,
    retry_for: timedelta,
) -> T:
    """Run `work` in units of work that `factory` makes until one is committed.

    `was_committed` resolves an unknown outcome.
    """
    failures = Failures()

    async def once() -> T:
        async with factory() as uow:
            result = await work(uow)
            if uow.is_open:
                await _commit(uow, was_committed)
            return result

    retrying = AsyncRetrying(
        retry=retry_if_exception(failures.allow_another),
        stop=stop_after_attempt(attempts) | stop_before_delay(retry_for.total_seconds()),
        wait=_PAUSES,
        reraise=True,
    )
    return await retrying(once)


async def poll_outcome(factory: Callable[[], CommittedOperations], *, wait_for: timedelta) -> bool:
    """Ask until the ledger answers, or `wait_for` has passed and it raises what the last attempt did."""
    until = monotonic() + wait_for.total_seconds()

    async def once() -> bool:
        async with factory() as ledger:
            # In short waits: the server of a long one may be gone, and another one have the answer.
            left = timedelta(seconds=max(until - monotonic(), 0.001))
            return await ledger.is_committed(within=min(left, _LOCK_PATIENCE))

    retrying = AsyncRetrying(
        retry=retry_if_exception(_answers_later),
        stop=stop_before_delay(wait_for.total_seconds()),
        wait=_PAUSES,
        reraise=True,
    )
    return await retrying(once)


async def _commit(uow: UnitOfWork, was_committed: Callable[[], Awaitable[bool]] | None) -> None:
    try:
        await uow.commit()
    except CommitOutcomeUnknown as unknown:
        if was_committed is None:
            raise
        # Its connection goes back first: the answer may need one.
        await uow.rollback()
        if not await _resolved(was_committed, unknown):
            raise ConnectionLost(
                "the connection was lost at COMMIT, and the ledger says that nothing was kept"
            ) from None


async def _resolved(
    was_committed: Callable[[], Awaitable[bool]], unknown: CommitOutcomeUnknown
) -> bool:
    try:
        return await was_committed()
    except DatabaseFailure:
        pass
    raise unknown


def _answers_later(error: BaseException) -> bool:
    return isinstance(error, DatabaseFailure) and error.safe_to_retry
