"""The queries that a connection of the driver sends."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def queries_of(driver: Any) -> AsyncIterator[list[str]]:
    """Note the queries that are sent in the block, but not those of prepared statements."""
    queries: list[str] = []

    def note(logged: Any) -> None:
        queries.append(logged.query)

    driver.add_query_logger(note)
    try:
        yield queries
        await asyncio.sleep(0)
    finally:
        driver.remove_query_logger(note)
