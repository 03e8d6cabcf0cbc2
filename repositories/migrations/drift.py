"""Whether a database is what the entities ask for: both are built, and PostgreSQL's descriptions of
the two compared.

Comparing declarations would have to know every way in which PostgreSQL rewrites an expression. So
the target is really built, as temporary tables that nobody else sees, and taken back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_mock_engine, text

from repositories.migrations.catalog import describe

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
    """What differs, and how in one sentence.

    `fact` is None where all of it is missing or too much.
    """

    item: Item
    fact: str | None
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def find_drift(connection: Connection, target: MetaData) -> list[Difference]:
    """Return what differs between the database and the target; the connection's transaction is
    rolled back.

    Extra columns, constraints, indexes and triggers of our tables differ; other tables are nobody's
    business.
    """
    tables = list(target.tables)
    actual = describe(connection, connection.scalars(_OURS).one(), tables)
    try:
        connection.execute(_LOOK_IN_SCRATCH_FIRST)
        build(connection, target)
        wanted = describe(connection, connection.scalars(_SCRATCH).one(), tables)
    finally:
        connection.rollback()
    return list(_differences(actual, wanted))


def build(connection: Connection, target: MetaData) -> None:
    """Create the target's tables where the search path says, and what no metadata can hold: the
    default partitions.

    The connection is in a transaction. All statements go in one round trip, where SQLAlchemy would
    take hundreds.
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
    actual: Mapping[Item, Mapping[str, str | None]], wanted: Mapping[Item, Mapping[str, str | None]]
) -> Iterator[Difference]:
    missing_tables = {item.table for item in wanted if item.kind == "table" and item not in actual}
    for item in sorted({*actual, *wanted}):
        if item not in actual:
            if item.kind == "table" or item.table not in missing_tables:
                yield Difference(item, None, f"{item} is missing in the database")
        elif item not in wanted:
            yield Difference(item, None, f"{item} is in the database and not in the entities")
        else:
            yield from _differing_facts(item, actual[item], wanted[item])


def _differing_facts(
    item: Item, actual: Mapping[str, str | None], wanted: Mapping[str, str | None]
) -> Iterator[Difference]:
    for fact in sorted({*actual, *wanted}):
        has, needs = actual.get(fact), wanted.get(fact)
        if has != needs:
            yield Difference(
                item,
                fact,
                f"the {fact} of {item} is {_shown(has)}, the entities say {_shown(needs)}",
            )


def _shown(value: str | None) -> str:
    return "absent" if value is None else f"`{value}`"
