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

STATEMENT_ROWS: Final = 1_000
"""Rows of one statement that writes embeddings.

With a vector index they take some seconds of the thirty that a statement has.
"""

ARRAY_ROWS: Final = 2_000
"""Rows of one statement that writes arrays.

The driver converts them in one piece, and no other task runs meanwhile.
"""


async def batches(entities: Rows[E], size: int) -> AsyncGenerator[list[E], None]:
    """Yield the entities in lists of at most `size`.

    It yields the same list each time, and empties it before the next batch.
    """
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
