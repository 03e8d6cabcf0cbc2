"""Three ways to do the same small unit of work: the library, a plain SQLModel session, the driver.

All of them write and read the same columns of the same two tables.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Final
from uuid import UUID

import asyncpg
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession
from uuid_utils.compat import uuid7

from bench.peers.plain_reviews import PlainFinding, PlainReview
from domain import Category, Finding, Review, Severity
from repositories import Database

LIBRARY: Final = "a unit of work"
PLAIN: Final = "a plain SQLModel session"
DRIVER: Final = "the driver"

ADD: Final = "add a review"
ADD_BOTH: Final = "add a review and a finding"
GET: Final = "get a review"
CHANGE: Final = "get, change and commit"
CHANGE_SAME: Final = "get, change and commit, all the same review"
ADD_TEN: Final = "add a review with ten findings"
UNITS: Final = (ADD, ADD_BOTH, GET, CHANGE, CHANGE_SAME, ADD_TEN)
FINDINGS: Final[Mapping[str, int]] = {ADD: 0, ADD_BOTH: 1, ADD_TEN: 10}

REPO: Final = "acme/api"
PATH: Final = "src/client.py"
TENANT: Final = "default"
TITLE: Final = "The retry loop has no upper bound"

INSERT_REVIEW: Final = (
    "INSERT INTO reviews (tenant, id, repo, pr_number) VALUES ($1, $2, $3, $4) RETURNING created_at"
)
INSERT_FINDING: Final = (
    "INSERT INTO findings (tenant, id, review_id, repo, file_path, severity, category, confidence,"
    " title, suppressed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, false)"
)
SELECT_REVIEW: Final = (
    "SELECT tenant, id, created_at, repo, pr_number, head_sha, delivery_id, files_analyzed,"
    " lines_changed, findings_critical, findings_major, findings_medium, findings_minor,"
    " findings_total, suppressions_applied, config_snapshot, duration_ms, model, conclusion"
    " FROM reviews WHERE tenant = $1 AND id = $2"
)
UPDATE_REVIEW: Final = "UPDATE reviews SET files_analyzed = $3 WHERE tenant = $1 AND id = $2"

Unit = Callable[[], Awaitable[object]]
Keys = Sequence[UUID]
"""The ids of the stored reviews, which the units read and change in turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """The units of work of one way, and the number of connections that its pool has opened."""

    name: str
    units: Mapping[str, Unit]
    opened: Callable[[], int]


class Opened:
    """Counts the connections that an engine opens."""

    def __init__(self, *engines: AsyncEngine) -> None:
        self.count = 0
        for engine in engines:
            event.listen(engine.sync_engine, "connect", self._add)

    def _add(self, *_: object) -> None:
        self.count += 1


def library(database: Database, keys: Keys) -> Ways:
    """Return the units of work of the library."""

    async def add(findings: int) -> None:
        async with database.unit_of_work() as uow:
            review = uow.reviews.add(Review(repo=REPO, pr_number=7))
            for _ in range(findings):
                uow.findings.add(
                    Finding(
                        review_id=review.id,
                        repo=REPO,
                        file_path=PATH,
                        severity=Severity.MAJOR,
                        category=Category.CORRECTNESS,
                        confidence=90,
                        title=TITLE,
                    )
                )
            await uow.commit()

    async def get(key: UUID) -> None:
        async with database.unit_of_work() as uow:
            await uow.reviews.get(key)

    async def change(key: UUID) -> None:
        async with database.unit_of_work() as uow:
            review = await uow.reviews.get(key)
            review.files_analyzed = (review.files_analyzed + 1) % 1_000
            await uow.commit()

    opened = Opened(database.engine, database.read_engine)
    return Ways(name=LIBRARY, units=_units(keys, add, get, change), opened=lambda: opened.count)


def plain(engine: AsyncEngine, keys: Keys) -> Ways:
    """Return the same with SQLModel's session, as its users write it."""

    async def add(findings: int) -> None:
        async with AsyncSession(engine, expire_on_commit=False) as session:
            review = PlainReview(repo=REPO, pr_number=7)
            session.add(review)
            for _ in range(findings):
                session.add(
                    PlainFinding(
                        review_id=review.id,
                        repo=REPO,
                        file_path=PATH,
                        severity="major",
                        category="correctness",
                        confidence=90,
                        title=TITLE,
                    )
                )
            await session.commit()

    async def get(key: UUID) -> None:
        async with AsyncSession(engine, expire_on_commit=False) as session:
            assert await session.get(PlainReview, (TENANT, key)) is not None

    async def change(key: UUID) -> None:
        async with AsyncSession(engine, expire_on_commit=False) as session:
            review = await session.get(PlainReview, (TENANT, key))
            assert review is not None
            review.files_analyzed = (review.files_analyzed + 1) % 1_000
            session.add(review)
            await session.commit()

    opened = Opened(engine)
    return Ways(name=PLAIN, units=_units(keys, add, get, change), opened=lambda: opened.count)


def driver(pool: asyncpg.Pool[asyncpg.Record], keys: Keys) -> Ways:
    """Return the same with the driver's own pool and statements."""

    async def add(findings: int) -> None:
        async with pool.acquire() as connection, connection.transaction():
            review_id = uuid7()
            await connection.fetchval(INSERT_REVIEW, TENANT, review_id, REPO, 7)
            if findings:
                rows = [
                    (TENANT, uuid7(), review_id, REPO, PATH, "major", "correctness", 90, TITLE)
                    for _ in range(findings)
                ]
                await connection.executemany(INSERT_FINDING, rows)

    async def get(key: UUID) -> None:
        async with pool.acquire() as connection, connection.transaction():
            await connection.fetchrow(SELECT_REVIEW, TENANT, key)

    async def change(key: UUID) -> None:
        async with pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(SELECT_REVIEW, TENANT, key)
            assert row is not None
            number = (row["files_analyzed"] + 1) % 1_000
            await connection.execute(UPDATE_REVIEW, TENANT, key, number)

    return Ways(name=DRIVER, units=_units(keys, add, get, change), opened=lambda: 0)


def _units(
    keys: Keys,
    add: Callable[[int], Awaitable[object]],
    get: Callable[[UUID], Awaitable[object]],
    change: Callable[[UUID], Awaitable[object]],
) -> Mapping[str, Unit]:
    key_of_next = cycle(keys).__next__
    return {
        **{name: partial(add, findings) for name, findings in FINDINGS.items()},
        GET: lambda: get(key_of_next()),
        CHANGE: lambda: change(key_of_next()),
        CHANGE_SAME: lambda: change(keys[0]),
    }


@asynccontextmanager
async def ways(database: Database, url: str, keys: Keys) -> AsyncIterator[list[Ways]]:
    """Open the three ways, each with a pool of the size that the database has."""
    size = database.settings.pool_size + database.settings.max_overflow
    engine = create_async_engine(
        url.replace("postgresql://", "postgresql+asyncpg://", 1), pool_size=size, max_overflow=0
    )
    try:
        async with asyncpg.create_pool(url, min_size=1, max_size=size) as pool:
            yield [library(database, keys), plain(engine, keys), driver(pool, keys)]
    finally:
        await engine.dispose()
