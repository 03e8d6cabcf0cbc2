"""The rules for running a whole unit of work again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from inspect import signature
from typing import Final, TypeVar

from domain.errors import InvalidInput, LockTimeout, RecollectError, StalePlan
from domain.values.shown import shown

T = TypeVar("T")
U = TypeVar("U")

ATTEMPTS: Final = 10
"""The default maximum number of attempts.

Eight serializable writers on five rows needed up to six.
"""

RETRY_FOR: Final = timedelta(seconds=30)
"""The default time within which the last attempt starts."""

OUTCOME_WITHIN: Final = timedelta(seconds=60)
"""The default time to wait for the end of an operation's transaction.

A server ends a transaction without a client after half of it.
"""

_RETRIES: Final[Mapping[type[RecollectError], int]] = {LockTimeout: 2, StalePlan: 1}


def require_retry_for(retry_for: timedelta) -> timedelta:
    """Return the time within which the last attempt starts, if it is not negative.

    Raises:
        InvalidInput: it is negative.
    """
    if retry_for < timedelta(0):
        raise InvalidInput(
            f"retry_for must not be negative, and is {shown(retry_for)}", field="retry_for"
        )
    return retry_for


def call_work(work: Callable[[U], Awaitable[T]], uow: U) -> Awaitable[T]:
    """Return what `work` returns for the unit of work, which has to be awaited.

    Raises:
        InvalidInput: `work` takes other arguments, or is not an async function.
    """
    try:
        result: object = work(uow)
    except TypeError:
        if _takes_one_argument(work):
            raise
        takes = "work must take one argument, the unit of work"
    else:
        if isinstance(result, Awaitable):
            return result
        takes = f"work must be an async function, and it returned {type(result).__name__}"
    raise InvalidInput(f"{takes}: write `async def work(uow): …`", field="work")


def _takes_one_argument(work: Callable[..., object]) -> bool:
    try:
        signature(work).bind(None)
    except TypeError:
        return False
    except ValueError:  # a builtin function without a signature
        return True
    return True


class Failures:
    """Counts the failures of one unit of work and decides whether it runs again.

    Errors that are safe to retry are retried: after `LockTimeout` twice, after `StalePlan` once,
    because more attempts do not help then. An `ExceptionGroup`, which an `asyncio.TaskGroup`
    raises, is retried if each error in it is.
    """

    def __init__(self) -> None:
        self._counts: Counter[type[BaseException]] = Counter()

    def allow_another(self, error: BaseException) -> bool:
        """Count the failure and return whether the unit of work may run again."""
        errors = errors_in(error)
        if not all(isinstance(one, RecollectError) and one.safe_to_retry for one in errors):
            return False
        kinds = set(map(type, errors))
        self._counts.update(kinds)
        return all(kind not in _RETRIES or self._counts[kind] <= _RETRIES[kind] for kind in kinds)


def errors_in(error: BaseException) -> list[BaseException]:
    """Return all errors in a group and in the groups within it, or the error itself."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [one for part in error.exceptions for one in errors_in(part)]


def forbid_retry(error: BaseException) -> None:
    """Mark the error, or the group, of a unit of work that is, or may be, committed."""
    for one in errors_in(error):
        if isinstance(one, RecollectError):
            one.safe_to_retry = False
