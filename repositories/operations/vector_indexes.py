"""The health of vector indexes: their recall, their dead entries, and rebuilding them.

Replaced and deleted rows leave dead entries in an HNSW index, and its graph loses edges: searches
then miss rows. A rebuilt index finds them again.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ARRAY, Float, Text, bindparam, text

from domain import metadata
from domain.errors import InvalidInput
from repositories.migrations import indexes
from repositories.migrations.row_level_security import bypass_row_level_security
from repositories.migrations.session import LOCK_TIMEOUT, milliseconds
from repositories.postgres.errors import translating

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from repositories.migrations.session import MigrationSession

MIN_RECALL: Final = 0.95
"""An index with less recall is rebuilt."""

MIN_LOWEST: Final = 0.5
"""An index is rebuilt, too, if it returns a smaller share of the nearest rows for one search."""

MOST_DEAD: Final = 0.2
"""The indexes of a table with a larger share of dead rows are rebuilt, and the table is vacuumed.

VACUUM connects the neighbours of many removed rows badly, and takes longer than a new index.
"""

TIMEOUT: Final = timedelta(hours=1)
"""The longest time of one statement of maintenance."""

SAMPLE: Final = 12
"""The number of searches that a measurement of recall compares with exact ones."""

_SAMPLE_OF_MAINTENANCE: Final = 48
"""More of them decide whether an index is rebuilt: VACUUM can hide some rows from few searches."""

NEIGHBOURS: Final = 10
_TIE: Final = 1e-5

_LIMITS: Final = text("""
SELECT set_config('lock_timeout', :lock, false), set_config('statement_timeout', :statement, false)
""")
_EXISTS: Final = text("""
SELECT oid FROM pg_class
WHERE relname = :name AND relkind IN ('i', 'I') AND pg_table_is_visible(oid)
""")
_OPERATORS: Final = {"cosine": "<=>", "hamming": "<~>", "l2": "<->", "ip": "<#>", "l1": "<+>"}

# Any HNSW index is examined, whichever columns, expressions and rows it is over. A search through
# another index of embeddings is exact.
_INDEXES: Final = text("""
SELECT c.relname::text AS name, t.relname::text AS "table", o.opcname::text AS opclass,
       pg_get_indexdef(i.indexrelid, 1, true) AS expression,
       pg_get_expr(i.indpred, i.indrelid) AS condition,
       pg_relation_size(i.indexrelid) AS bytes, t.reltuples::bigint AS estimate,
       coalesce(pg_stat_get_live_tuples(t.oid), 0) AS live,
       coalesce(pg_stat_get_dead_tuples(t.oid), 0) AS dead
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_am a ON a.oid = c.relam AND a.amname = 'hnsw'
JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_opclass o ON o.oid = i.indclass[0]
WHERE i.indisvalid AND c.relkind = 'i' AND t.relnamespace = current_schema()::regnamespace
AND t.relname = ANY(:tables) ORDER BY 1
""").bindparams(bindparam("tables", list(metadata.tables), ARRAY(Text)))


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorIndexHealth:
    """The health of one vector index.

    Attributes:
        name: the index.
        table: its table.
        size: its size in bytes.
        dead: the share of dead rows in the table, which the index still has.
        recall: the share of the ten nearest rows that a search finds, in the mean of a sample; None
            if it was not measured, or if the table has too few rows.
        lowest: the lowest recall in the sample.
    """

    name: str
    table: str
    size: int
    dead: float
    recall: float | None = None
    lowest: float | None = None

    @property
    def is_worn(self) -> bool:
        """Whether rebuilding the index would make searches find more."""
        return (
            self.recall is not None
            and self.lowest is not None
            and (self.recall < MIN_RECALL or self.lowest < MIN_LOWEST)
        )


def examine(
    connection: Connection, *, ef_search: int, sample: int = SAMPLE
) -> list[VectorIndexHealth]:
    """Return the health of every vector index, with its recall in a sample of searches.

    Each sampled search is compared with an exact one, which reads the whole table.

    Args:
        connection: a connection in a transaction; its settings change until the end of that.
        ef_search: the length of the list of candidates, as searches have it.
        sample: the number of searches.
    """
    return [_examined(connection, row, ef_search, sample) for row in _hnsw_indexes(connection)]


def figures(connection: Connection) -> list[VectorIndexHealth]:
    """Return the size and the dead rows of every vector index, which costs no search."""
    return [_of(row) for row in _hnsw_indexes(connection)]


async def rebuild_worn(session: MigrationSession, *, ef_search: int) -> list[str]:
    """Rebuild the indexes of tables with many dead rows, and those that lost recall.

    Tables with many dead rows are vacuumed afterwards. Others read and write meanwhile. An
    interrupted rebuild is completed by the next maintenance.

    Returns:
        The names of the rebuilt indexes.
    """
    await session.run(
        partial(indexes.rebuild_interrupted, tables=list(metadata.tables)),
        doing="rebuilding an index that was interrupted",
    )
    measured = await session.run(figures, doing="looking at the vector indexes")
    rebuilt = [index.name for index in measured if index.dead > MOST_DEAD]
    await _rebuild_all(session, rebuilt)
    for table in sorted({index.table for index in measured if index.dead > MOST_DEAD}):
        await session.run(partial(vacuum, tables=[table]), doing=f"vacuuming {table}")
    examined = await session.run(
        partial(examine, ef_search=ef_search, sample=_SAMPLE_OF_MAINTENANCE),
        doing="measuring the recall of the vector indexes",
    )
    worn = [index.name for index in examined if index.is_worn and index.name not in rebuilt]
    await _rebuild_all(session, worn)
    return [*rebuilt, *worn]


async def _rebuild_all(session: MigrationSession, names: Iterable[str]) -> None:
    for name in names:
        await session.run(partial(rebuild, name=name), doing=f"rebuilding {name}")


async def examine_vector_indexes(
    engine: AsyncEngine, *, ef_search: int, sample: int = SAMPLE
) -> list[VectorIndexHealth]:
    """Return the health of every vector index, as `examine` does."""
    async with _session(engine, TIMEOUT) as connection:
        examined = await connection.run_sync(partial(examine, ef_search=ef_search, sample=sample))
        await connection.rollback()
        return examined


async def vacuum_tables(
    engine: AsyncEngine, tables: Sequence[str], *, within: timedelta = TIMEOUT
) -> None:
    """Vacuum and analyze tables; each may take as long as `within`."""
    async with _session(engine, within) as connection:
        await connection.run_sync(partial(vacuum, tables=tables))


async def rebuild_index(engine: AsyncEngine, name: str, *, within: timedelta = TIMEOUT) -> None:
    """Rebuild an index while others read and write its table.

    Raises:
        InvalidInput: the index does not exist.
    """
    async with _session(engine, within) as connection:
        if await connection.scalar(_EXISTS, {"name": name}) is None:
            raise InvalidInput(
                "the index does not exist: `recollect doctor` lists the vector indexes",
                field="name",
            )
        await connection.run_sync(partial(rebuild, name=name))


@asynccontextmanager
async def _session(engine: AsyncEngine, within: timedelta) -> AsyncIterator[AsyncConnection]:
    with translating():
        async with engine.connect() as connection:
            limits = {"lock": milliseconds(LOCK_TIMEOUT), "statement": milliseconds(within)}
            await connection.execute(_LIMITS, limits)
            await connection.commit()
            try:
                yield connection
            finally:
                await connection.invalidate()  # with its settings


def rebuild(connection: Connection, name: str) -> None:
    """Rebuild an index while others read and write its table."""
    connection.rollback()
    with indexes.outside_of_transactions(connection):
        index = connection.dialect.identifier_preparer.quote_identifier(name)
        connection.exec_driver_sql(f"REINDEX INDEX CONCURRENTLY {index}")


def vacuum(connection: Connection, tables: Sequence[str]) -> None:
    """Vacuum and analyze tables."""
    connection.rollback()
    with indexes.outside_of_transactions(connection):
        for table in tables:
            connection.execute(text(f'VACUUM (ANALYZE) "{table}"'))


def _hnsw_indexes(connection: Connection) -> list[Any]:
    return list(connection.execute(_INDEXES).all())


def _of(row: Any, recalls: Sequence[float] = ()) -> VectorIndexHealth:
    rows = row.live + row.dead
    return VectorIndexHealth(
        name=row.name,
        table=row.table,
        size=row.bytes,
        dead=round(row.dead / rows, 4) if rows else 0.0,
        recall=round(sum(recalls) / len(recalls), 4) if recalls else None,
        lowest=min(recalls, default=None),
    )


def _examined(connection: Connection, row: Any, ef_search: int, sample: int) -> VectorIndexHealth:
    with bypass_row_level_security(connection, row.table):
        return _of(row, list(_recalls(connection, row, ef_search, sample)))


def _recalls(connection: Connection, row: Any, ef_search: int, sample: int) -> Iterator[float]:
    operator = next(sign for name, sign in _OPERATORS.items() if name in row.opclass)
    condition = f"embedding IS NOT NULL AND ({row.condition or 'true'})"
    query = f"SELECT {row.expression} FROM (SELECT CAST(:vector AS vector) AS embedding) AS query"  # noqa: S608 -- from the catalog
    nearest = text(
        f"SELECT distance FROM (SELECT {row.expression} {operator} ({query}) AS distance"  # noqa: S608 -- likewise
        f' FROM "{row.table}" WHERE {condition} ORDER BY 1 LIMIT {NEIGHBOURS}) AS nearest'
    ).columns(distance=Float())
    for vector in _sampled(connection, row, condition, sample):
        _plan(connection, ef_search=ef_search, indexed=False)
        exact = connection.scalars(nearest, {"vector": vector}).all()
        _plan(connection, ef_search=ef_search, indexed=True)
        by_index = connection.scalars(nearest, {"vector": vector}).all()
        if exact:
            near = exact[-1] + _TIE
            yield sum(distance <= near for distance in by_index) / len(exact)


def _sampled(connection: Connection, row: Any, condition: str, sample: int) -> list[str]:
    # The sum of two embeddings is a query that no row equals, in the direction of the data.
    percent = min(100.0, 100 * 50 * sample / max(1, row.estimate))
    if row.condition is not None:
        percent = 100.0
    pairs = text(
        "SELECT (first.embedding + second.embedding)::text FROM"  # noqa: S608 -- from the catalog
        " (SELECT embedding, row_number() OVER () AS number FROM"
        f' (SELECT embedding FROM "{row.table}" TABLESAMPLE SYSTEM ({percent}) REPEATABLE (1)'
        f" WHERE {condition} ORDER BY md5(id::text) LIMIT {2 * sample}) AS drawn) AS first"
        " JOIN (SELECT embedding, row_number() OVER () AS number FROM"
        f' (SELECT embedding FROM "{row.table}" TABLESAMPLE SYSTEM ({percent}) REPEATABLE (1)'
        f" WHERE {condition} ORDER BY md5(id::text) LIMIT {2 * sample}) AS drawn) AS second"
        " ON second.number = first.number + 1 AND first.number % 2 = 1"
        " WHERE vector_norm(first.embedding + second.embedding) > 0"
    )
    return list(connection.scalars(pairs).all())


_PLAN: Final = text("""
SELECT set_config('hnsw.ef_search', :ef_search, true),
       set_config('hnsw.iterative_scan', 'relaxed_order', true),
       set_config('enable_seqscan', :exact, true), set_config('enable_sort', :exact, true),
       set_config('enable_indexscan', :indexed, true),
       set_config('enable_indexonlyscan', :exact, true),
       set_config('enable_bitmapscan', :exact, true)
""")


def _plan(connection: Connection, *, ef_search: int, indexed: bool) -> None:
    values = {"exact": "off" if indexed else "on", "indexed": "on" if indexed else "off"}
    connection.execute(_PLAN, {"ef_search": str(ef_search), **values})
