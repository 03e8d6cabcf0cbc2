"""Bounds on processor time that hold on a machine of any speed."""

from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager
from statistics import median
from time import thread_time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LONGEST_HOLD: Final = 0.05
"""Seconds of processor time between two turns of the event loop, on a machine of usual speed."""

_USUAL: Final = 0.0028
"""Most seconds of `_count` on the machine of the documentation, while no other machine uses it."""


def at_usual_speed(seconds: float) -> float:
    """Return what a call that just took so long here takes on the machine of the documentation.

    On a faster machine, it returns the time itself. Processors that are shared with other machines
    take up to twice as long for some minutes.
    """
    return seconds / max(1.0, median(_count() for _ in range(3)) / _USUAL)


@asynccontextmanager
async def holds_of_the_loop(longest: list[float]) -> AsyncIterator[None]:
    """Append the longest time that the event loop was held in the block.

    It is processor time of the loop's thread, so other processes do not make it longer.
    """
    done = False

    async def watch() -> float:
        hold, began = 0.0, thread_time()
        while not done:
            await asyncio.sleep(0)
            now = thread_time()
            hold, began = max(hold, now - began), now
        return hold

    # A garbage collection takes longer, the more tests ran before.
    gc.disable()
    watcher = asyncio.create_task(watch())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        done = True
        longest.append(at_usual_speed(await watcher))
        gc.enable()


def _count() -> float:
    began = thread_time()
    for _ in range(100_000):
        pass
    return thread_time() - began
