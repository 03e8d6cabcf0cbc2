"""Rows in batches, from an iterable or an async iterable.

No more than one batch is held in memory.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

from domain.schema.base import Entity

if TYPE_CHECKING:
    from domain.ports import Rows

E = TypeVar("E", bound=Entity)

BATCH_SIZE: Final = 5_000
"""Rows that a bulk write holds in memory at a time, and puts in order."""

COPY_ROWS: Final = 50_000
"""Rows that one COPY writes where they are in memory anyway and take microseconds: a second, of the
thirty that a statement has.

Between two of them client and server wait for each other.
"""

STATEMENT_ROWS: Final = 1_000
"""Rows that one statement writes.

Where a vector index is kept up they take some seconds, of the thirty that a statement has.
"""


async def batches(entities: Rows[E], size: int) -> AsyncGenerator[list[E], None]:
    """Yield the entities in lists of at most `size`; it is one list, emptied before the next."""
    if not isinstance(entities, AsyncIterable):
        source = iter(entities)
        while batch := list(islice(source, size)):
            yield batch
            batch.clear()
        return
    batch = []
    async for entity in entities:
        batch.append(entity)
        if len(batch) == size:
            yield batch
            batch.clear()
    if batch:
        yield batch
