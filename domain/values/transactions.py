"""How a unit of work is isolated from others, and when a whole one is run again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Final

from domain.errors import LockTimeout, RecollectError, StalePlan

ATTEMPTS: Final = 10
"""How often a unit of work is run at most.

Eight writers on five rows needed up to six, serializable.
"""

RETRY_FOR: Final = timedelta(seconds=30)
"""How long after its beginning a unit of work may be begun again."""

OUTCOME_WITHIN: Final = timedelta(seconds=60)
"""How long an operation's transaction is waited for.

A server gives up one without a client after half of it.
"""

ROWS_GONE: Final = "another transaction changed or deleted the same rows"
"""What `Conflict` says where a changed row is no longer there."""

_RETRIES: Final[Mapping[type[RecollectError], int]] = {LockTimeout: 2, StalePlan: 1}


class Isolation(StrEnum):
    """What a unit of work sees of others that are committed meanwhile; PostgreSQL's levels.

    Above READ COMMITTED a unit of work may end in `Conflict` at any statement and at its commit:
    give it to `Database.run`.
    """

    READ_COMMITTED = "read committed"
    """Each statement sees what is committed when it begins."""

    REPEATABLE_READ = "repeatable read"
    """All statements see what was committed when the first began.

    A row that was changed since cannot be changed.
    """

    SERIALIZABLE = "serializable"
    """As if units of work ran one after the other. A standby has none of these."""


class Failures:
    """How often one unit of work failed, and with what; decides whether it is run again.

    What is safe to retry is, but for a lock (twice) and a stale plan (once): what has not helped
    then will not.
    """

    def __init__(self) -> None:
        self._seen: Counter[type[BaseException]] = Counter()

    def allow_another(self, error: BaseException) -> bool:
        """Count the failure, and say whether to run the unit of work again."""
        if not isinstance(error, RecollectError) or not error.safe_to_retry:
            return False
        kind = type(error)
        self._seen[kind] += 1
        return kind not in _RETRIES or self._seen[kind] <= _RETRIES[kind]
