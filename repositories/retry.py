"""Run a whole unit of work again where that is safe, and resolve commits with unknown outcomes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from tenacity import (
    AsyncRetrying,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from domain.errors import (
    AlreadyCommitted,
    CommitOutcomeUnknown,
    ConnectionLost,
    DatabaseFailure,
    RecollectError,
)
from domain.values.retries import Failures, call_work, errors_in, forbid_retry, require_retry_for

if TYPE_CHECKING:
    from repositories.unit_of_work import CommittedAttempt, CommittedOperations, UnitOfWork

T = TypeVar("T")
Lookup: TypeAlias = "Callable[[], Awaitable[CommittedAttempt | None]]"

# Full jitter: attempts that collided are spread over the whole pause and do not collide again.
_PAUSES: Final = wait_random_exponential(multiplier=0.02, max=2)
_LOCK_TIMEOUT: Final = timedelta(seconds=1)


async def run_with_retry(
    work: Callable[[UnitOfWork], Awaitable[T]],
    factory: Callable[[], UnitOfWork],
    *,
    lookup: Lookup | None,
    attempts: int,
    retry_for: timedelta,
) -> T:
    """Run `work` in units of work from `factory` until one is committed; return its result.

    Args:
        work: the function to run.
        factory: returns a new unit of work for each attempt.
        lookup: reads which attempt committed the operation; None if it has no operation id.
        attempts: the maximum number of attempts.
        retry_for: the last attempt starts within this time.

    Raises:
        AlreadyCommitted: the operation is committed, but not by the attempt that returned a result.
        CommitOutcomeUnknown: a commit's outcome is unknown and cannot be looked up.
    """
    failures = Failures()
    retrying = AsyncRetrying(
        retry=retry_if_exception(failures.allow_another),
        stop=stop_after_attempt(attempts)
        | stop_before_delay(require_retry_for(retry_for).total_seconds()),
        wait=_PAUSES,
        reraise=True,
    )
    return await retrying(_attempt, work, factory, lookup)


async def poll_outcome(
    factory: Callable[[], CommittedOperations], *, wait_for: timedelta
) -> CommittedAttempt | None:
    """Return the attempt that committed the operation, or None if none did.

    Raises:
        DatabaseFailure: the last failure, if all attempts within `wait_for` failed.
    """
    deadline = monotonic() + wait_for.total_seconds()

    async def once() -> CommittedAttempt | None:
        async with factory() as operations:
            # In short waits: the server may disappear during a long one, while another one answers.
            remaining = timedelta(seconds=max(deadline - monotonic(), 0.001))
            return await operations.committed_attempt(within=min(remaining, _LOCK_TIMEOUT))

    retrying = AsyncRetrying(
        retry=retry_if_exception(_is_safe_to_retry),
        stop=stop_before_delay(wait_for.total_seconds()),
        wait=_PAUSES,
        reraise=True,
    )
    return await retrying(once)


async def _attempt(
    work: Callable[[UnitOfWork], Awaitable[T]],
    factory: Callable[[], UnitOfWork],
    lookup: Lookup | None,
) -> T:
    uow = factory()
    results: list[T] = []
    try:
        # The unit of work ends before its outcome is looked up: the lookup may need its connection.
        async with uow:
            results.append(await call_work(work, uow))
            if uow.is_open and uow.committed is False:
                await uow.commit()
            elif uow.committed is None:
                raise CommitOutcomeUnknown(uow.operation_id)
    except (RecollectError, ExceptionGroup) as error:
        await _require_own_commit(uow, error, lookup)
        if not results:
            raise AlreadyCommitted(uow.operation_id) from error
    return results[0]


async def _require_own_commit(
    uow: UnitOfWork, error: RecollectError | ExceptionGroup[Exception], lookup: Lookup | None
) -> None:
    """Return if this attempt committed although `error` was raised; otherwise raise.

    The error that is raised is safe to retry only if nothing was committed.
    """
    if uow.committed is False or not all(
        isinstance(one, RecollectError) for one in errors_in(error)
    ):
        raise error
    if uow.committed or lookup is None:
        forbid_retry(error)
        raise error
    try:
        committed = await lookup()
    except DatabaseFailure:
        forbid_retry(error)
        raise error from None
    if committed is None:
        raise ConnectionLost(
            "the connection was lost at COMMIT, and committed_operations shows that nothing was"
            " committed: run the unit of work again"
        ) from None
    if committed.attempt_id != uow.attempt_id:
        raise AlreadyCommitted(uow.operation_id) from None


def _is_safe_to_retry(error: BaseException) -> bool:
    return isinstance(error, DatabaseFailure) and error.safe_to_retry
