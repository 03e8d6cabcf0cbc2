"""Work that must complete even if the task that waits for it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from domain.errors import RecollectError

T = TypeVar("T")


async def run_to_completion(
    work: Coroutine[Any, Any, T], *, may_cancel: Callable[[], bool] | None = None
) -> T:
    """Await `work` to its end.

    A cancellation meanwhile is raised afterwards, once, chained to the error of the work.

    Args:
        work: the coroutine, which becomes a task.
        may_cancel: returns whether a cancellation at this moment cancels the work too.
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
            if may_cancel is not None and may_cancel():
                task.cancel()
        except BaseException:  # noqa: BLE001, S110 -- task.result() raises it below
            pass
    if cancelled is not None:
        failure = task.exception()
        # The driver's own errors hold rows, and a chained one is printed.
        raise cancelled from failure if isinstance(failure, RecollectError) else None
    return task.result()
