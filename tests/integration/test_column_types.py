"""Column types of pgvector and SQLAlchemy in an application's own tables, on `database.engine`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import numpy as np
import pgvector.sqlalchemy
import pytest
from pgvector import HalfVector, SparseVector, Vector
from pgvector.sqlalchemy import HALFVEC, SPARSEVEC, VECTOR
from sqlalchemy import ARRAY, Column, Integer, MetaData, Table, insert, select
from sqlalchemy.dialects.postgresql import BIT, BitString
from sqlalchemy.ext.asyncio import create_async_engine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import SecretStr
    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.types import TypeEngine

    from repositories import Database

NUMBERS = [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("column_type", "values"),
    [
        (VECTOR(3), [NUMBERS, np.array(NUMBERS), Vector(NUMBERS), None]),
        (HALFVEC(3), [NUMBERS, np.array(NUMBERS), HalfVector(NUMBERS), None]),
        (SPARSEVEC(3), [SparseVector([1.0, 0.0, 3.0]), [1.0, 0.0, 3.0], None]),
        (ARRAY(VECTOR(3), dimensions=1), [[NUMBERS, [4.0, 5.0, 6.0]], [], None]),
        (ARRAY(HALFVEC(3), dimensions=1), [[NUMBERS], None]),
        (pgvector.sqlalchemy.BIT(3), ["101", None]),
        (BIT(3), [BitString("101"), None]),
    ],
    ids=["vector", "halfvec", "sparsevec", "vector[]", "halfvec[]", "pgvector bit", "bit"],
)
async def test_a_column_type_reads_and_writes_as_on_a_plain_engine(
    database: Database, database_url: SecretStr, column_type: TypeEngine[Any], values: Sequence[Any]
) -> None:
    plain = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(database_url.get_secret_value()),
    )
    try:
        expected = await written_and_read(plain, column_type, values)
    finally:
        await plain.dispose()
    assert len(expected) == len(values)
    assert await written_and_read(database.engine, column_type, values) == expected


async def written_and_read(
    engine: AsyncEngine, column_type: TypeEngine[Any], values: Sequence[Any]
) -> list[tuple[type, Any]]:
    """Return the values, with their types, after they were written to a temporary table."""
    table = Table(
        "things",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("value", column_type),
        prefixes=["TEMPORARY"],
    )
    async with engine.connect() as connection:
        await connection.run_sync(table.create)
        await connection.execute(
            insert(table), [{"id": key, "value": value} for key, value in enumerate(values)]
        )
        rows = await connection.scalars(select(table.c.value).order_by(table.c.id))
        return [(type(value), value) for value in rows]


async def test_distances_of_pgvector_compare_with_lists(database: Database) -> None:
    things = Table(
        "things",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("vector", VECTOR(3)),
        Column("half", HALFVEC(3)),
        prefixes=["TEMPORARY"],
    )
    async with database.engine.connect() as connection:
        await connection.run_sync(things.create)
        rows = [
            {"id": key, "vector": numbers, "half": numbers}
            for key, numbers in enumerate([[1, 1, 1], [2, 2, 2], [1, 1, 2]])
        ]
        await connection.execute(insert(things), rows)
        for column in (things.c.vector, things.c.half):
            nearest = select(things.c.id).order_by(column.l2_distance([1, 1, 1]))
            assert [*await connection.scalars(nearest)] == [0, 2, 1]
