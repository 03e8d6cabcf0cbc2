"""Undocumented behaviour of libraries that the package relies on.

A new version of a library that changes one of these fails here, and the name of the test says what
to replace.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from sqlalchemy import bindparam, create_engine, literal, select
from sqlalchemy import inspect as inspected
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from domain import KnowledgeChunk, Review
from repositories.postgres.private_api import TransportConnection, is_tls_refused
from tests.listener import listening

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler


def compiled() -> SQLCompiler:
    statement: Any = select(literal("own").label("a"), bindparam("given").label("b"))
    dialect: Any = PGDialect_asyncpg
    compiled: SQLCompiler = statement.compile(dialect=dialect())
    return compiled


def test_asyncpg_passes_the_protocol_and_the_transport_to_its_connection() -> None:
    parameters = list(inspect.signature(asyncpg.Connection.__init__).parameters)
    assert parameters[:3] == ["self", "protocol", "transport"]
    assert TransportConnection.__mro__[1] is asyncpg.Connection


async def test_asyncpg_reports_a_server_without_tls() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)  # the request for TLS
        writer.write(b"N")
        await writer.drain()

    async def hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)

    for answer, refused in ((refuse, True), (hang_up, False)):
        async with listening(answer) as port:
            with pytest.raises(OSError) as raised:  # noqa: PT011 -- either, and that is the point
                await asyncpg.connect(host="127.0.0.1", port=port, ssl="require", timeout=5)
        assert is_tls_refused(raised.value) is refused


def test_a_compiled_statement_tells_its_binds_in_order() -> None:
    statement = compiled()
    [own, parameter] = statement.positiontup or []
    assert (statement.binds[own].unique, statement.binds[parameter].unique) == (True, False)
    assert parameter == "given"
    assert statement.construct_params({"given": 7}) == {own: "own", parameter: 7}
    assert not statement.post_compile_params
    assert str(statement) == "SELECT $1::VARCHAR AS a, $2 AS b"


def test_a_list_in_a_statement_is_rendered_with_its_values() -> None:
    dialect: Any = PGDialect_asyncpg
    column = Review.__table__.c.repo
    assert select(column).where(column.in_(["a"])).compile(dialect=dialect()).post_compile_params


def test_the_class_manager_makes_entities_without_their_constructor() -> None:
    manager = KnowledgeChunk.__mapper__.class_manager
    entity = manager.new_instance()
    state = inspected(entity)
    vars(entity).clear()
    manager.setup_instance(entity, state)
    assert inspected(entity) is state


def test_the_fields_that_were_set_can_be_added_to() -> None:
    entity = KnowledgeChunk.__mapper__.class_manager.new_instance()
    entity.model_fields_set.update({"title"})
    assert entity.model_fields_set == {"title"}


def test_an_engine_has_the_logger_that_echo_turns_on(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="sqlalchemy.engine"):
        for echo in (False, True):
            create_engine("sqlite://", echo=echo).logger.info("sent")
    assert caplog.messages == ["sent", "sent"]
