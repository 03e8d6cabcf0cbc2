"""The statements of a search, and their plans."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from pgvector import Vector
from sqlalchemy import event, text

from repositories.postgres.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.ext.asyncio import AsyncConnection

    from repositories import Database

Plan = dict[str, Any]


@dataclass(frozen=True)
class Sent:
    """One statement in the driver's words, with its parameters."""

    statement: str
    parameters: tuple[Any, ...]


@dataclass
class Watch:
    """The statements of a moment, in order.

    BEGIN and ROLLBACK are the driver's and not among them.
    """

    sent: list[Sent] = field(default_factory=list)

    @property
    def search(self) -> Sent:
        return self.sent[-1]


@contextmanager
def watching(database: Database) -> Iterator[Watch]:
    """Note every statement that is sent meanwhile: each is one round trip."""
    watch, engines = Watch(), (database.engine.sync_engine, database.read_engine.sync_engine)
    fetch = Connection.fetch

    async def noted(connection: Connection, query: str, *arguments: Any, **options: Any) -> Any:
        watch.sent.append(Sent(query, arguments))
        return await fetch(connection, query, *arguments, **options)

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        watch.sent.append(Sent(statement, tuple(parameters)))

    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        with patch.object(Connection, "fetch", noted):
            yield watch
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


async def explain(connection: AsyncConnection, watch: Watch) -> Plan:
    """Run what was sent again, in one transaction, and return how the last statement went.

    Plan, and milliseconds of the server.
    """
    for before in watch.sent[:-1]:
        await connection.exec_driver_sql(before.statement, before.parameters)
    command = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {watch.search.statement}"
    plans: list[Plan] = (
        await connection.exec_driver_sql(command, watch.search.parameters)
    ).scalar_one()
    await connection.rollback()
    return plans[0]


def server_milliseconds(plan: Plan) -> float:
    return float(plan["Planning Time"] + plan["Execution Time"])


def shape(node: Plan) -> tuple[Any, ...]:
    """Return the plan without its figures: how it goes about it, and by which indexes."""
    return (
        node["Node Type"],
        node.get("Index Name"),
        *(shape(child) for child in node.get("Plans", ())),
    )


def nodes(node: Plan) -> Iterator[Plan]:
    yield node
    for child in node.get("Plans", ()):
        yield from nodes(child)


def indexes(plan: Plan) -> list[str]:
    """Return the indexes that were used, not those in branches that were never executed."""
    used = (node for node in nodes(plan["Plan"]) if node.get("Actual Loops", 1))
    return sorted({node["Index Name"] for node in used if "Index Name" in node})


async def prepared_plans(
    connection: AsyncConnection, sent: Sent, *, executions: int
) -> tuple[Plan, Plan]:
    """Prepare the statement and return its plans at the first execution and after `executions`."""
    values = ", ".join(map(_literal, sent.parameters))
    execute = f"EXECUTE measured({values})" if values else "EXECUTE measured"
    await connection.exec_driver_sql(f"PREPARE measured AS {sent.statement}")
    first: list[Plan] = (
        await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {execute}")
    ).scalar_one()
    for _ in range(executions):
        (await connection.exec_driver_sql(execute)).all()
    later: list[Plan] = (
        await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {execute}")
    ).scalar_one()
    await connection.exec_driver_sql("DEALLOCATE measured")
    await connection.rollback()
    return first[0]["Plan"], later[0]["Plan"]


async def generic_plans(connection: AsyncConnection, sent: Sent) -> tuple[int, int]:
    """Return how many custom and generic plans this connection used for the statement."""
    counted = text(
        "SELECT custom_plans, generic_plans FROM pg_prepared_statements"
        " WHERE statement = :statement"
    )
    custom, generic = (await connection.execute(counted, {"statement": sent.statement})).one()
    return custom, generic


def _literal(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case bool() | int() | float():
            return str(value)
        case Vector():
            return f"'{value.to_text()}'"
        case list() | tuple():
            return f"ARRAY[{', '.join(map(_literal, value))}]"
        case _:
            return "'" + str(value).replace("'", "''") + "'"
