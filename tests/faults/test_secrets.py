"""No error contains a password or a row's value, in its message, attributes, causes or logs."""

from __future__ import annotations

import asyncio
import logging
import socket
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from domain import (
    CheckpointData,
    Cursor,
    Isolation,
    KnowledgeChunk,
    LearningMemory,
    RecollectError,
    Review,
    ReviewCheckpoint,
    Vector,
    where,
)
from repositories import Database
from repositories.postgres.settings import Settings
from tests.contract.suites import samples
from tests.contract.suites.kinds import KINDS
from tests.stateful.driving import quietly

if TYPE_CHECKING:
    from domain import UnitOfWork
    from domain.schema.base import Entity
    from repositories.testing.servers import TestServer
    from tests.faults.conftest import Promises

PROMISE: Final = "No secret and no row value appears in errors or logs"
SECRET, VALUE = "canary-secret-7f3a", "canary-row-91bd"
COMPONENT: Final = 0.7315926535
CANARIES: Final = (SECRET, VALUE, "0.73159")
NUL: Final = f"{VALUE}\0"

Provoke = Callable[[Database], Awaitable[Any]]


def chunk(**change: Any) -> KnowledgeChunk:
    """A chunk full of canaries, with values that no entity would take."""
    good = {
        **dict.fromkeys(("content", "title", "summary", "source"), VALUE),
        "metadata_": {VALUE: VALUE},
        "embedding": [COMPONENT] * 8,
    }
    entity = samples.chunk()
    return KnowledgeChunk.model_construct(
        **{**facts(entity), **facts(KnowledgeChunk(**{**facts(entity), **good})), **change}
    )


def unchecked(entity: Entity, **change: Any) -> Entity:
    return type(entity).model_construct(**{**facts(entity), **change})


def facts(entity: Entity) -> dict[str, Any]:
    return {
        name: value for name, value in vars(entity).items() if name in type(entity).model_fields
    }


def adding(*entities: Entity) -> Provoke:
    """Write the entities as they are, each to its own repository."""

    async def provoke(database: Database) -> None:
        async with database.unit_of_work() as uow:
            for entity in entities:
                kind = next(kind for kind in KINDS if type(kind.make()[-1]) is type(entity))
                await kind.writer(uow).add_many([entity])

    return provoke


def together(*bad: Entity) -> Provoke:
    """Write entities among so many that they go by COPY."""
    return using(lambda uow: uow.knowledge.add_many([*(chunk() for _ in range(250)), *bad]))  # type: ignore[list-item]


def using(work: Callable[[UnitOfWork], Awaitable[Any]], **options: Any) -> Provoke:
    async def provoke(database: Database) -> None:
        async with database.unit_of_work(**options) as uow:
            await work(uow)

    return provoke


def running(statement: str) -> Provoke:
    """Run a statement of the driver's own kind inside a unit of work.

    Operations outside of the repositories that fail in the same way.
    """
    return using(lambda uow: uow._transaction.execute(text(statement), {"canary": VALUE}))  # type: ignore[attr-defined]


async def conflicting(database: Database, isolation: Isolation) -> None:
    """Two units of work change the same row, the second after it looked."""
    entity = chunk(embedding=None)
    async with database.unit_of_work() as uow:
        uow.knowledge.add(
            KnowledgeChunk(**{**facts(samples.chunk()), "id": entity.id, "content": VALUE})
        )
        await uow.commit()
    async with (
        database.unit_of_work(isolation=isolation) as one,
        database.unit_of_work(isolation=isolation) as two,
    ):
        for uow in (one, two):
            (await uow.knowledge.get(entity.id)).title = VALUE
        await one.flush()
        if isolation is not Isolation.READ_COMMITTED:
            await one.commit()
        await two.flush()


async def deadlocked(database: Database) -> None:
    first, second = samples.review(), samples.review()
    async with database.unit_of_work() as uow:
        await uow.reviews.add_many([first, second])
        await uow.commit()

    async def change(keys: tuple[UUID, UUID], both: asyncio.Barrier) -> None:
        async with database.unit_of_work() as uow:
            for key in keys:
                (await uow.reviews.get(key)).repo = VALUE
                await uow.flush()
                if key == keys[0]:
                    await both.wait()
            await uow.commit()

    both = asyncio.Barrier(2)
    done = await asyncio.gather(
        change((first.id, second.id), both),
        change((second.id, first.id), both),
        return_exceptions=True,
    )
    for error in done:
        if isinstance(error, BaseException):
            raise error


async def terminated(database: Database) -> None:
    async with database.unit_of_work() as uow:
        uow.knowledge.add(KnowledgeChunk(**{**facts(samples.chunk()), "content": VALUE}))
        await uow.flush()
        pid = (await uow._transaction.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        async with database.engine.connect() as connection:
            await connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        await uow.knowledge.count()


async def poisoned(database: Database) -> None:
    async with database.unit_of_work() as uow:
        with suppress(RecollectError):
            await uow.knowledge.add_many([chunk(content=NUL)])
        await uow.commit()


def opening(change: Callable[[str], str]) -> Provoke:
    """Open a database at a changed URL."""

    async def provoke(database: Database) -> None:
        url = change(database.settings.target.render(show_password=True))
        async with Database.from_url(url, connect_deadline=0.3, connect_timeout=0.3, echo=True):
            pass

    return provoke


def with_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(
        parts._replace(netloc=f"{parts.username}:{SECRET}@{parts.netloc.rpartition('@')[2]}")
    )


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def parsing(url: str) -> Provoke:
    return lambda _: made(lambda: Settings(url=url))


def making(good: Entity, field: str) -> Provoke:
    """Make an entity with a value for one of its fields that no field takes."""
    bad = NUL if field == "tenant" else {"summary_draft": NUL, "total_files": VALUE, "x": object()}
    return lambda _: made(lambda: type(good)(**{**facts(good), field: bad}))


async def made(make: Callable[[], Any]) -> None:
    make()


def assigned(entity: Entity, field: str, value: Any) -> None:
    setattr(entity, field, value)


def provocations() -> dict[str, Provoke]:
    one = chunk()
    return {
        "unique": adding(one, chunk(id=one.id)),
        "unique by name": adding(chunk(chunk_id=VALUE), chunk(chunk_id=VALUE)),
        "foreign key": adding(
            unchecked(samples.finding(samples.review()), title=VALUE, repo=VALUE)
        ),
        "check": adding(chunk(token_count=-1)),
        "check of an enumeration": adding(unchecked(samples.run(), status=VALUE, repo=VALUE)),
        "zero vector": adding(chunk(embedding=Vector([0.0] * 8))),
        "vector with NaN": adding(chunk(embedding=Vector([float("nan"), *[COMPONENT] * 7]))),
        "vector of another dimension": adding(chunk(embedding=Vector([COMPONENT] * 9))),
        **{
            f"{name} among many": together(bad)
            for name, bad in {
                "check": chunk(token_count=-1),
                "NUL": chunk(content=NUL),
                "JSON with NaN": chunk(metadata_={VALUE: float("nan")}),
                "zero vector": chunk(embedding=Vector([0.0] * 8)),
                "vector of another dimension": chunk(embedding=Vector([COMPONENT] * 9)),
                "half of a surrogate pair": chunk(content=f"{VALUE}\ud800"),
                "a text as a number": chunk(token_count=VALUE),
            }.items()
        },
        "unique among many": together(one, chunk(id=one.id)),
        "not null": adding(chunk(content=None)),
        "encode a text as a number": adding(chunk(token_count=VALUE)),
        "encode a number that is too large": adding(
            unchecked(samples.event(), num_turns=2**40, repo=VALUE)
        ),
        "encode a text as an id": adding(chunk(id=VALUE)),
        "encode a text as a moment": adding(chunk(created_at=VALUE)),
        "half of a surrogate pair": adding(chunk(content=f"{VALUE}\ud800")),
        "cast": running("SELECT CAST(CAST(:canary AS text) AS integer)"),
        "syntax": running("SELECT CAST(:canary AS text) FROM WHERE"),
        "division": running("SELECT 1 / length(CAST(:canary AS text)) / 0"),
        "too long for an index": adding(
            chunk(chunk_id="".join(f"{VALUE}{number}" for number in range(9_000)))
        ),
        "NUL": adding(chunk(content=NUL)),
        "NUL in JSON": adding(chunk(metadata_={VALUE: NUL})),
        "JSON with NaN": adding(chunk(metadata_={VALUE: float("nan")})),
        "JSON of no JSON": adding(chunk(metadata_={VALUE: object()})),
        "statement timeout": running("SELECT pg_sleep(9), CAST(:canary AS text)"),
        "lock timeout": lambda database: conflicting(database, Isolation.READ_COMMITTED),
        "serialization": lambda database: conflicting(database, Isolation.SERIALIZABLE),
        "deadlock": deadlocked,
        "connection lost": terminated,
        "poisoned": poisoned,
        "another tenant": using(lambda uow: made(lambda: uow.knowledge.add(chunk(tenant="other")))),
        "authentication": opening(with_password),
        "connection refused": opening(
            lambda _: f"postgresql://u:{SECRET}@127.0.0.1:{closed_port()}/d"
        ),
        "unknown host": opening(
            lambda _: f"postgresql://u:{SECRET}@nowhere.invalid/d?sslmode=verify-full"
        ),
        "no such database": opening(lambda url: url.replace("/test_", "/tset_")),
        **{
            f"URL {number}": parsing(url)
            for number, url in enumerate(
                (
                    f"postgresql://u:{SECRET}@host:port/d",
                    f"postgresql://u:{SECRET}@/d@/{SECRET}",
                    f"postgresql://u:{SECRET}%zz%ff@host/d",
                    f"postgresql://u:{SECRET}?@host/d",
                    f"mysql://u:{SECRET}@host/d",
                    f"postgresql://host/d?password={SECRET}&password={SECRET}2",
                    f"postgresql://host/d?password={SECRET}&sslmode=worst",
                    f"postgresql://u:{SECRET}@host/d?pasword={SECRET}",
                    f"postgresql://u:{SECRET}@host/d?sslmode=disable",
                    SECRET,
                )
            )
        },
        "parts": lambda _: made(lambda: Settings(password=SECRET, port=SECRET, host=f"{SECRET}@")),
        "a part that is none": lambda _: made(lambda: Settings(password=SECRET, pasword=SECRET)),
        "filter of no column": using(lambda uow: uow.knowledge.list(where("nope").equals(VALUE))),
        "filter of another type": using(
            lambda uow: uow.reviews.list(where("pr_number").equals(VALUE))
        ),
        "filter of too much": using(
            lambda uow: uow.reviews.list(where("repo").one_of([VALUE] * 10_001))
        ),
        "cursor": lambda _: made(lambda: Cursor.parse(VALUE)),
        "search vector": using(lambda uow: uow.knowledge.vector_search([COMPONENT] * 9)),
        **{
            f"{type(good).__name__}.{field} made": making(good, field)
            for good in (kind.make()[-1] for kind in KINDS)
            for field in type(good).model_fields
        },
        "assigned": lambda _: made(lambda: assigned(samples.chunk(), "content", NUL)),
        "assigned JSON": lambda _: made(
            lambda: assigned(samples.chunk(), "metadata_", {VALUE: float("nan")})
        ),
        "assigned vector": lambda _: made(
            lambda: assigned(samples.chunk(), "embedding", [COMPONENT] * 3)
        ),
        "from JSON": lambda _: made(
            lambda: Review.model_validate_json(f'{{"repo": "{VALUE}", "pr_number": "{VALUE}"')
        ),
        "from a mapping": lambda _: made(
            lambda: LearningMemory.model_validate({"finding_text": NUL, "repo": [VALUE]})
        ),
        "checkpoint": lambda _: made(
            lambda: CheckpointData(files_reviewed=VALUE, summary_draft=NUL)  # type: ignore[arg-type]
        ),
        "checkpoint of an entity": lambda _: made(
            lambda: ReviewCheckpoint.model_validate(
                {"checkpoint_data": {"summary_draft": NUL, "total_files": VALUE}}
            )
        ),
    }


def shown(error: BaseException) -> Iterator[tuple[str, str]]:
    """Everything that an error tells whoever prints, logs or serialises it."""
    yield "str", str(error)
    yield "repr", repr(error)
    yield "traceback", "".join(traceback.format_exception(error))
    yield "attributes", repr(vars(error))
    cause = error.__cause__ or error.__context__
    if cause is not None:
        yield "what it came from", f"{cause} {cause!r} {getattr(cause, 'errors', str)()}"
    if isinstance(error, ValidationError):
        yield "errors", repr(error.errors())
        yield "json", error.json()


def hits(texts: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> list[str]:
    return [where for where, content in texts if any(canary in content for canary in CANARIES)]


@pytest.fixture
def url(server: TestServer) -> SecretStr:
    return server.clone()


@quietly
async def test_no_canary_is_found_in_any_error(
    url: SecretStr, promises: Promises, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    limits: dict[str, Any] = {"statement_timeout": 1, "lock_timeout": 0.1}
    leaks: dict[str, list[str]] = {}
    kinds: set[type[BaseException]] = set()
    places = 0
    async with Database.from_url(url, echo=True, **limits) as database:
        for name, provoke in (provoked := provocations()).items():
            caplog.clear()
            try:
                await provoke(database)
            except (RecollectError, ValidationError) as error:
                kinds.add(type(error))
                texts = [
                    *shown(error),
                    (
                        "log",
                        "\n".join(
                            f"{record.getMessage()} {record.exc_text}" for record in caplog.records
                        ),
                    ),
                ]
                places += len(texts)
                if wrong := hits(texts):
                    leaks[name] = wrong
            else:
                leaks[name] = ["nothing was raised"]
    assert not leaks, "\n".join(f"{name}: {where}" for name, where in leaks.items())
    control = await bare(url, caplog)
    assert control
    promises(
        PROMISE,
        f"0 of {places:,} texts of {len(provoked)} provoked errors of {len(kinds)} kinds",
        control=f"the same canary in {len(control)} texts of one error of the bare stack",
    )


async def bare(url: SecretStr, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the places where SQLAlchemy and asyncpg alone show the values of an existing row."""
    from repositories.postgres.hosts import Hosts

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=Hosts(Settings(url=url)), echo=True
    )
    insert = text(
        "INSERT INTO embedding_metadata (id, provider, model, dimensions) VALUES (2, :canary, "
        ":canary, 8)"
    )
    try:
        async with engine.begin() as connection:
            await connection.execute(insert, {"canary": VALUE})
    except Exception as error:  # noqa: BLE001 (whatever it is)
        return hits([*shown(error), ("log", caplog.text)])
    finally:
        await engine.dispose()
    return []
