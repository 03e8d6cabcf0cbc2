"""Faults of connections and at COMMIT, each injected and recognised by its error."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from domain import (
    AccessDenied,
    CommitOutcomeUnknown,
    ConfigurationError,
    DatabaseUnavailable,
    MigrationFailed,
    RecollectError,
    Review,
    SchemaOutdated,
)
from repositories import Database
from repositories.postgres.settings import Settings
from tests.faults.catalogue import injects
from tests.faults.conftest import Effort, Promises
from tests.faults.expected import CANARY, failing, require_sound, written
from tests.faults.proxy import Message, Proxy, Verdict, at_commit, let_pass
from tests.faults.test_catalogue_statements import administered

if TYPE_CHECKING:
    from pydantic import SecretStr

    from repositories.testing.servers import TestServer


@pytest.mark.parametrize(
    ("judge", "committed"),
    [(at_commit(Verdict.PASS, reply=Verdict.CUT_BEFORE), 1), (at_commit(Verdict.CUT_BEFORE), 0)],
    ids=["the reply is lost", "the request is lost"],
)
@injects("16", "17")
async def test_a_commit_that_is_lost_on_its_way_has_an_unknown_outcome(
    database: Database, database_url: SecretStr, judge: Any, committed: int
) -> None:
    proxy = Proxy(database_url)
    async with proxy.database() as behind:
        with failing(CommitOutcomeUnknown, again=False) as caught:
            async with written(behind) as uow:
                proxy.judge = judge
                await uow.commit()
        assert isinstance(caught.value, CommitOutcomeUnknown)
        assert caught.value.operation_id == uow.operation_id
        proxy.judge = let_pass
        await require_sound(behind, reviews=committed)
    await require_sound(database, reviews=committed)


async def test_a_unit_of_work_that_is_cut_off_at_any_message_is_committed_whole_or_not_at_all(
    database: Database, database_url: SecretStr, effort: Effort, promises: Promises
) -> None:
    """Cut before and after every message that the client sends, one after the other."""
    proxy = Proxy(database_url)
    committed_rows, outcomes = 0, Counter[str]()
    async with proxy.database(pool_size=1, max_overflow=0) as behind:
        for position in count(0, effort.times(3, 1)):
            was_cut = False
            for verdict in (Verdict.CUT_BEFORE, Verdict.CUT_AFTER):
                cut = _Cut(position, verdict)
                proxy.judge = cut
                operation = uuid4()
                answer = await _write_two(behind, operation)
                proxy.judge = let_pass
                assert answer in (
                    "committed",
                    "ConnectionLost",
                    "CommitOutcomeUnknown",
                    "DatabaseUnavailable",
                )
                committed = await database.outcome(operation)
                if answer != "CommitOutcomeUnknown":
                    assert committed is (answer == "committed")
                committed_rows += 2 * committed
                outcomes[answer] += 1
                was_cut = was_cut or cut.done
                await require_sound(database, reviews=committed_rows)
            if not was_cut:
                break
        halves = [await _is_half_done(database, behind, proxy) for _ in range(effort.times(2, 20))]
    assert any(halves), "two units of work instead of one would be noticed"
    assert outcomes["CommitOutcomeUnknown"] + outcomes["ConnectionLost"] > effort.times(4, 20)
    cuts = sum(outcomes.values())
    promises(
        "No unit of work is half applied",
        f"0 of {cuts} that were cut off at each message to the server",
        control=f"{sum(halves)} of {len(halves)} are if the same work is done in two units of work",
    )


async def test_a_database_that_is_cut_off_while_it_opens_is_opened_in_the_end_or_refused_by_name(
    database_url: SecretStr, effort: Effort
) -> None:
    proxy, answers = Proxy(database_url), Counter[str]()
    async with proxy.listening():
        for position in count(0, effort.times(2, 1)):
            cut = _Cut(position, Verdict.CUT_BEFORE)
            proxy.judge = cut
            try:
                async with Database(proxy.settings()):
                    answers["opened"] += 1
            except RecollectError as error:
                answers[type(error).__name__] += 1
            if not cut.done:
                break
    assert answers["opened"] > 1
    assert answers.keys() <= {"opened", "ConnectionLost"}


async def _is_half_done(database: Database, behind: Database, proxy: Proxy) -> bool:
    """Do in two units of work what belongs in one, with the second commit cut off."""
    async with database.reader() as view:
        before = await view.reviews.count()
    with suppress(RecollectError):
        for judge in (let_pass, at_commit(Verdict.CUT_BEFORE)):
            async with written(behind) as uow:
                proxy.judge = judge
                await uow.commit()
    proxy.judge = let_pass
    async with database.reader() as view:
        return await view.reviews.count() == before + 1


async def _write_two(database: Database, operation: UUID) -> str:
    try:
        async with database.unit_of_work(operation_id=operation) as uow:
            for number in (1, 2):
                uow.reviews.add(Review(repo="acme/api", pr_number=number))
                await uow.flush()
            await uow.commit()
    except RecollectError as error:
        return type(error).__name__
    return "committed"


class _Cut:
    """Lets so many messages of the client pass, and cuts once."""

    def __init__(self, position: int, verdict: Verdict) -> None:
        self._left, self._verdict = position, verdict
        self.done = False

    def __call__(self, message: Message) -> Verdict:
        if self.done or not message.of_client:
            return Verdict.PASS
        self._left -= 1
        self.done = self._left < 0
        return self._verdict if self.done else Verdict.PASS


@injects("23")
async def test_a_server_without_a_connection_left_is_unavailable(server: TestServer) -> None:
    url = await asyncio.to_thread(server.clone)
    async with Database.from_url(url, pool_size=1) as database:
        async with administered(server, database) as admin:
            await admin.execute(f"ALTER DATABASE {database.settings.database} CONNECTION LIMIT 1")
        with failing(DatabaseUnavailable, again=True) as caught:
            async with database.reader() as view:
                await view.reviews.count()
                async with database.reader():
                    pass
        assert getattr(caught.value, "sqlstate", None) == "53300"
        async with administered(server, database) as admin:
            await admin.execute(f"ALTER DATABASE {database.settings.database} CONNECTION LIMIT -1")
        await require_sound(database)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"database": "nowhere"}, ConfigurationError),
        ({"user": "nobody"}, AccessDenied),
        ({"password": CANARY}, AccessDenied),
    ],
    ids=["database", "user", "password"],
)
@injects("24")
async def test_a_wrong_database_user_or_password_is_reported_at_once(
    database_url: SecretStr, wrong: dict[str, str], expected: type[RecollectError]
) -> None:
    settings = Settings(url=database_url)
    host, port = settings.addresses[0]
    parts = {
        "host": host,
        "port": port,
        "user": settings.user,
        "password": settings.password,
        "database": settings.database,
    }
    with failing(expected, again=False):
        async with Database(Settings(**{**parts, **wrong})):
            pass


@injects("25")
async def test_a_host_that_is_not_what_was_asked_for_is_unavailable(
    database_url: SecretStr,
) -> None:
    with failing(DatabaseUnavailable, again=True):
        async with Database.from_url(
            database_url, target_session_attrs="standby", connect_deadline=0.05
        ):
            pass


@injects("26")
async def test_a_host_that_swallows_everything_is_unavailable_and_named(
    database_url: SecretStr,
) -> None:
    proxy = Proxy(database_url)
    proxy.judge = lambda _: Verdict.SWALLOW
    async with proxy.listening():
        settings = proxy.settings(connect_timeout=0.05, connect_deadline=0.2)
        with failing(DatabaseUnavailable, again=True) as caught:
            async with Database(settings):
                pass
    assert isinstance(caught.value, DatabaseUnavailable)
    assert (caught.value.host, caught.value.port) == ("127.0.0.1", proxy.port)


@injects("30")
async def test_a_database_without_the_extension_is_a_schema_that_is_missing(
    server: TestServer,
) -> None:
    url = await asyncio.to_thread(server.empty)
    unopened = Database.from_url(url)
    async with administered(server, unopened) as admin:
        await admin.execute("DROP EXTENSION vector")
    with failing(SchemaOutdated, again=False):
        async with unopened:
            pass
    # The application may not create it.
    with failing(MigrationFailed, again=False):
        async with Database.from_url(url, migrate=True):
            pass
