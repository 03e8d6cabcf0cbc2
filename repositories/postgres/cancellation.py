"""Work that must complete even if the task that waits for it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from domain.errors import RecollectError

T = TypeVar("T")


async def run_to_completion(work: Coroutine[Any, Any, T]) -> T:
    """Await `work` to its end.

    A cancellation meanwhile is raised afterwards, once, chained to the error of the work.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as cancellation:
            if task.cancelled():
                raise
            cancelled = cancellation
        except BaseException:  # noqa: BLE001, S110 -- task.result() raises it below
            pass
    if cancelled is not None:
        failure = task.exception()
        # The driver's own errors hold rows, and a chained one is printed.
        raise cancelled from failure if isinstance(failure, RecollectError) else None
    return task.result()
