"""Vectors and JSON in both directions, also after the extension changes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import numpy as np
import pytest
from pgvector import HalfVector, Vector
from sqlalchemy import Column, Float, MetaData, Table, insert, literal, select, text
from sqlalchemy.dialects.postgresql import JSONB

from domain import errors
from domain.schema.columns import EmbeddingColumn
from repositories.embedded import EmbeddedServer
from repositories.postgres.errors import translating
from repositories.postgres.settings import Settings
from tests.integration.engine.support import VectorType, notes, on_posix, opened, pool

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

pytestmark = on_posix


@pytest.mark.parametrize(
    "value",
    [
        Vector([1.0, 0.1, -3.0]),
        [1.0, 0.1, -3.0],
        (1.0, 0.1, -3.0),
        np.array([1.0, 0.1, -3.0]),
        HalfVector([1.0, 0.1, -3.0]),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_vectors_go_both_ways_in_binary(engine: AsyncEngine, value: object) -> None:
    expected = [
        1.0,
        float(np.float16(0.1)) if isinstance(value, HalfVector) else float(np.float32(0.1)),
        -3.0,
    ]
    async with engine.connect() as connection:
        for kind, name in ((Vector, "vector"), (HalfVector, "halfvec")):
            settings = (
                await connection.execute(select(literal(value, VectorType(name))))
            ).scalar_one()
            assert isinstance(settings, kind)
            assert settings.to_list() == (
                expected if kind is Vector else [1.0, float(np.float16(0.1)), -3.0]
            )
        assert (await connection.execute(select(literal(None, VectorType())))).scalar_one() is None


async def test_vectors_are_stored_searched_and_refused(engine: AsyncEngine) -> None:
    rows = [
        {"id": n, "email": f"v{n}", "embedding": Vector([1.0, float(n), 0.0])} for n in range(3)
    ]
    async with engine.connect() as connection:
        await connection.execute(insert(notes), rows)
        distance = notes.c.embedding.op("<=>", return_type=Float())(Vector([1.0, 2.0, 0.0]))
        settings = (
            await connection.execute(
                select(notes.c.id, notes.c.embedding).order_by(distance).limit(1)
            )
        ).one()
        assert tuple(settings) == (2, Vector([1.0, 2.0, 0.0]))
        for wrong in (Vector([1.0]), Vector([float("nan"), 1.0, 1.0]), "1,2,3", "[a]", ["a"]):
            async with connection.begin_nested() as savepoint:
                with pytest.raises(errors.InvalidInput), translating():
                    await connection.execute(
                        insert(notes).values(id=9, email="v9", embedding=wrong)
                    )
                await savepoint.rollback()
        await connection.rollback()


async def test_a_database_without_the_extension_can_be_used_and_gets_it_later(
    postgres: EmbeddedServer,
) -> None:
    settings = Settings(
        url=postgres.create_database("without_extension"), search_path="public, extensions"
    )
    owner = await asyncpg.connect(
        postgres.admin_url.get_secret_value(), database="without_extension"
    )
    try:
        await owner.execute("DROP EXTENSION vector")
        async with opened(settings) as engine:
            async with engine.connect() as connection:
                assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
            await owner.execute(
                "CREATE SCHEMA extensions; CREATE EXTENSION vector SCHEMA extensions"
            )
            await owner.execute("GRANT USAGE ON SCHEMA extensions TO PUBLIC")
            async with engine.begin() as connection:
                assert pool(engine).figures()["total"] == 1, "this is the connection from before"
                # At what SQLAlchemy knows to be DDL it has every connection read the types again.
                await connection.run_sync(
                    Table("later", MetaData(), Column("v", VectorType())).create
                )
                vector = Vector([1.0, 2.0, 3.0])
                assert (
                    await connection.execute(select(literal(vector, VectorType())))
                ).scalar_one() == vector
    finally:
        await owner.close()


async def test_a_recreated_extension_is_learned_again(postgres: EmbeddedServer) -> None:
    settings = Settings(url=postgres.create_database("recreated_extension"))
    owner = await asyncpg.connect(
        postgres.admin_url.get_secret_value(), database="recreated_extension"
    )
    statement = select(literal(Vector([1.0, 2.0, 3.0]), VectorType()))
    try:
        async with opened(settings) as engine:
            async with engine.connect() as connection:
                await connection.execute(statement)
            await owner.execute("DROP EXTENSION vector; CREATE EXTENSION vector")
            outcomes: list[object] = []
            for _ in range(3):
                async with engine.connect() as connection:
                    try:
                        with translating():
                            outcomes.append((await connection.execute(statement)).scalar_one())
                    except errors.RecollectError as error:
                        outcomes.append(type(error))
            assert outcomes[-1] == Vector([1.0, 2.0, 3.0])
    finally:
        await owner.close()


async def test_a_moved_extension_is_read_as_text_by_old_connections_and_in_binary_by_new_ones(
    postgres: EmbeddedServer,
) -> None:
    settings = Settings(
        url=postgres.create_database("moved_extension"), search_path="public, elsewhere"
    )
    owner = await asyncpg.connect(postgres.admin_url.get_secret_value(), database="moved_extension")
    vector, half = Vector([1.0, 2.0, 3.0]), HalfVector([1.0, 2.0])
    literals = text("SELECT '[1,2,3]'::vector, '[1,2]'::halfvec, ARRAY['[1,2,3]'::vector]")
    parameters = select(literal(vector, VectorType()), literal(half, VectorType("halfvec", 2)))
    stored = text("SELECT '[1,2,3]'::vector AS embedding").columns(embedding=EmbeddingColumn())
    try:
        async with opened(settings) as engine:
            async with engine.connect() as connection:
                await owner.execute(
                    "DROP EXTENSION vector; CREATE SCHEMA elsewhere;"
                    " CREATE EXTENSION vector SCHEMA elsewhere"
                )
                await owner.execute("GRANT USAGE ON SCHEMA elsewhere TO PUBLIC")
                assert (await connection.execute(stored)).scalar_one() == vector
            pool(engine).renew()
            async with engine.connect() as connection:
                assert tuple((await connection.execute(literals)).one()) == (vector, half, [vector])
                assert tuple((await connection.execute(parameters)).one()) == (vector, half)
    finally:
        await owner.close()


async def test_after_ddl_vectors_are_known_without_asking(engine: AsyncEngine) -> None:
    hosts: list[str] = []
    vector = Vector([1.0, 2.0, 3.0])
    async with engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        driver.add_query_logger(
            lambda record: hosts.append(record.query) if "pg_type" in record.query else None
        )
        for name in ("first", "second"):
            await connection.run_sync(
                Table(name, MetaData(), Column("v", VectorType()), prefixes=["TEMPORARY"]).create
            )
        assert (
            await connection.execute(select(literal(vector, VectorType())))
        ).scalar_one() == vector
        await asyncio.sleep(0)  # a logger receives it one turn later
        assert hosts == []
        await driver.register_vector_types()
        await asyncio.sleep(0)
        assert hosts, "a question is seen"


async def test_json_is_exact_and_nothing_else_is_json(engine: AsyncEngine) -> None:
    data = {"text": "é \"'", "large": 2**70, "float": 0.1, "nested": [None, True, {}]}
    async with engine.connect() as connection:
        assert (await connection.execute(select(literal(data, JSONB)))).scalar_one() == data
        for wrong in (float("nan"), float("inf"), {"a": object()}, "\0"):
            with pytest.raises(errors.InvalidInput), translating():
                await connection.execute(select(literal({"value": wrong}, JSONB)))
            await connection.rollback()
