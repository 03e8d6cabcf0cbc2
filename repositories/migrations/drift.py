"""The differences between a database and the entities, by PostgreSQL's own descriptions.

A comparison of declarations would depend on every way in which PostgreSQL rewrites an expression.
So the target is created as temporary tables, which no other session sees, and rolled back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_mock_engine, text

from repositories.migrations.catalog import describe
from repositories.sql.vector_index import TENANT_INDEX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection, MetaData
    from sqlalchemy.schema import ExecutableDDLElement

    from repositories.migrations.catalog import Item

_OURS: Final = text("SELECT current_schema()::regnamespace::oid::bigint")
_SCRATCH: Final = text("SELECT pg_my_temp_schema()::bigint")
_LOOK_IN_SCRATCH_FIRST: Final = text(
    "SELECT set_config('search_path', 'pg_temp, ' || current_setting('search_path'), true)"
)


@dataclass(frozen=True)
class Difference:
    """One difference, described by a sentence.

    `fact` is None if the whole item is missing or superfluous.
    """

    item: Item
    fact: str | None
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def find_drift(connection: Connection, target: MetaData) -> list[Difference]:
    """Return the differences between the database and the target.

    Extra columns, constraints, indexes and triggers of the target's tables are differences; other
    tables are ignored, and so are HNSW indexes of single tenants, which operators create. The
    connection's transaction is rolled back.
    """
    tables = list(target.tables)
    actual = describe(connection, connection.scalars(_OURS).one(), tables)
    try:
        connection.execute(_LOOK_IN_SCRATCH_FIRST)
        build(connection, target)
        expected = describe(connection, connection.scalars(_SCRATCH).one(), tables)
    finally:
        connection.rollback()
    operators = {item for item in actual if _is_of_one_tenant(item)}
    return list(_differences({item: actual[item] for item in actual.keys() - operators}, expected))


def _is_of_one_tenant(item: Item) -> bool:
    return item.kind == "index" and re.match(TENANT_INDEX, item.name) is not None


def build(connection: Connection, target: MetaData) -> None:
    """Create the target's tables and their default partitions in the search path's first schema.

    Metadata cannot contain the partitions. The connection is in a transaction. All statements take
    one round trip, and SQLAlchemy would need hundreds.
    """
    script: list[str] = []

    def collect(statement: ExecutableDDLElement, *_: object, **__: object) -> None:
        script.append(str(statement.compile(dialect=connection.dialect)))

    target.create_all(create_mock_engine("postgresql+asyncpg://", collect), checkfirst=False)
    partitioned = [
        table.name
        for table in target.tables.values()
        if table.dialect_options["postgresql"]["partition_by"]
    ]
    script.extend(
        f"CREATE TABLE {name}_default PARTITION OF {name} DEFAULT" for name in partitioned
    )
    driver: Any = connection.connection.dbapi_connection
    driver.run_async(lambda asyncpg_connection: asyncpg_connection.execute(";\n".join(script)))


def _differences(
    actual: Mapping[Item, Mapping[str, str | None]],
    expected: Mapping[Item, Mapping[str, str | None]],
) -> Iterator[Difference]:
    missing_tables = {
        item.table for item in expected if item.kind == "table" and item not in actual
    }
    for item in sorted({*actual, *expected}):
        if item not in actual:
            if item.kind == "table" or item.table not in missing_tables:
                yield Difference(item, None, f"{item} is missing in the database")
        elif item not in expected:
            yield Difference(item, None, f"{item} is in the database and not in the entities")
        else:
            yield from _differing_facts(item, actual[item], expected[item])


def _differing_facts(
    item: Item, actual: Mapping[str, str | None], expected: Mapping[str, str | None]
) -> Iterator[Difference]:
    for fact in sorted({*actual, *expected}):
        has, needs = actual.get(fact), expected.get(fact)
        if has != needs:
            yield Difference(
                item,
                fact,
                f"the {fact} of {item} is {_shown(has)}, the entities say {_shown(needs)}",
            )


def _shown(value: str | None) -> str:
    return "absent" if value is None else f"`{value}`"
