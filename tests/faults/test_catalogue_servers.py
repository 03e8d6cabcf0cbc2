"""Faults of whole servers: stopped, restarted, killed, full, or following another one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from domain import (
    ConnectionLost,
    DatabaseUnavailable,
    Isolation,
    ReadOnly,
    ResourceExhausted,
    Review,
)
from repositories import Database
from repositories.embedded import EmbeddedServer
from repositories.postgres.settings import Settings
from tests.conftest import DIMENSIONS, VERSIONS
from tests.faults.catalogue import injects
from tests.faults.conftest import FULL
from tests.faults.expected import (
    CANARY,
    SLEEP,
    ask,
    failing,
    pid_of,
    require_sound,
    until,
    until_gone,
    written,
)
from tests.faults.standbys import make_standby

if TYPE_CHECKING:
    from pydantic import SecretStr

_MOUNT, _ROOMY = ("mount", "-t", "tmpfs", "-o"), "size=600m"
SMALL = {"shared_buffers": "16MB", "fsync": "off", "full_page_writes": "off", "autovacuum": "off"}


IN_RECOVERY = "SELECT pg_is_in_recovery()"


def of_hosts(url: SecretStr, *hosts: str) -> Settings:
    """Return the settings of a URL with these hosts in place of its own."""
    return Settings(url=url).model_copy(update={"host": ",".join(hosts)})


class Disk:
    """A disk of memory that can be made too small for what is to be written next."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def mount(cls, folder: Path) -> Disk | None:
        """Return the disk at this folder, or None where that takes rights that are missing."""
        try:
            mounted = subprocess.run(
                [*_MOUNT, f"mode=755,{_ROOMY}", "tmpfs", folder], capture_output=True, check=False
            )
        except FileNotFoundError:
            return None
        return cls(folder) if mounted.returncode == 0 else None

    def fill(self) -> None:
        """Leave one megabyte."""
        has = os.statvfs(self.folder)
        self._resize(f"size={(has.f_blocks - has.f_bfree) * has.f_frsize + 2**20}")

    def empty(self) -> None:
        """Make room."""
        self._resize(_ROOMY)

    def _resize(self, size: str) -> None:
        subprocess.run([*_MOUNT, f"remount,{size}", self.folder], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", self.folder], check=True)


class Server:
    """Start a server for these tests only, which they stop and kill and whose disk they fill."""

    def __init__(self, folder: Path, version: int, disk: Disk | None) -> None:
        self._folder, self._version, self.disk = folder / "data", version, disk
        self.running = self.start()
        self.url = self.running.url
        asyncio.run(self._migrate())

    async def _migrate(self) -> None:
        async with Database.from_url(self.url, migrate=True, embedding_dimensions=DIMENSIONS):
            pass

    def start(self) -> EmbeddedServer:
        self.running = EmbeddedServer.start(self._folder, version=self._version, settings=SMALL)
        return self.running

    def restart(self) -> None:
        self.running.stop()
        self.start()


@pytest.fixture(
    scope="module",
    params=VERSIONS if FULL else VERSIONS[:1],
    ids=lambda version: f"postgres-{version}",
)
def own(request: pytest.FixtureRequest) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="recollect-own-") as name:
        disk = Disk.mount(Path(name))
        try:
            server = Server(Path(name), request.param, disk)
            yield server
            server.running.stop()
        finally:
            if disk is not None:
                disk.unmount()


@pytest.fixture(scope="module")
def standby(own: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecretStr]:
    folder = tmp_path_factory.mktemp("standby") / "data"
    make_standby(own.running, folder)
    settings = {**SMALL, "max_standby_streaming_delay": "0", "hot_standby_feedback": "off"}
    with EmbeddedServer.start(folder, version=own.running.version, settings=settings) as running:
        yield running.url


@injects("13", "14")
async def test_a_standby_refuses_writes_and_serializable_transactions_as_read_only(
    standby: SecretStr,
) -> None:
    async with Database.from_url(standby) as database:
        with failing(ReadOnly, again=True):
            async with written(database):
                pass
        for open_unit in (database.reader, database.unit_of_work):
            with failing(ReadOnly, again=True):
                async with open_unit(isolation=Isolation.SERIALIZABLE) as unit:
                    await unit.reviews.count()
        async with database.reader(isolation=Isolation.REPEATABLE_READ) as view:
            assert await view.reviews.count() == 0


@injects("15")
async def test_a_transaction_in_the_way_of_a_standbys_recovery_is_lost(
    own: Server, standby: SecretStr
) -> None:
    async with Database.from_url(own.url) as primary, Database.from_url(standby) as database:
        with failing(ConnectionLost, again=True):
            async with database.reader() as view:
                pid = await pid_of(view)
                await view.reviews.count()
                async with primary.unit_of_work() as uow:
                    await ask(uow, "LOCK TABLE reviews IN ACCESS EXCLUSIVE MODE")
                    await uow.commit()
                await until_gone(database, pid)
                await view.reviews.count()


@pytest.mark.parametrize("standby_first", [False, True])
async def test_of_two_hosts_readers_go_to_the_standby_and_units_of_work_to_the_primary(
    own: Server, standby: SecretStr, standby_first: bool
) -> None:
    hosts = [Settings(url=url).host for url in (own.url, standby)]
    async with Database(
        of_hosts(own.url, *(reversed(hosts) if standby_first else hosts))
    ) as database:
        async with database.reader() as view, database.unit_of_work() as uow:
            assert (await ask(view, IN_RECOVERY), await ask(uow, IN_RECOVERY)) == (True, False)
        async with database.reader(isolation=Isolation.SERIALIZABLE) as view:
            assert await ask(view, IN_RECOVERY) is False, "no standby has this level"


async def test_where_the_standby_is_away_readers_read_from_the_primary_and_may_not_write_there(
    own: Server, tmp_path: Path
) -> None:
    async with (
        Database(of_hosts(own.url, str(tmp_path), Settings(url=own.url).host)) as database,
        database.reader() as view,
    ):
        assert await ask(view, IN_RECOVERY) is False
        with failing(ReadOnly, again=True):
            await ask(view, "DELETE FROM reviews")


@injects("18")
async def test_a_restart_costs_what_was_under_way_and_nothing_after(own: Server) -> None:
    async with Database.from_url(own.url) as database:
        async with database.reader(), database.reader():
            pass
        with failing(ConnectionLost, again=True):
            async with written(database) as uow:
                await asyncio.to_thread(own.restart)
                await uow.commit()
        await require_sound(database)


@injects("19")
async def test_a_server_that_is_down_is_unavailable_until_it_is_back(own: Server) -> None:
    async with Database.from_url(own.url) as database:
        await asyncio.to_thread(own.running.stop)
        try:
            with failing(DatabaseUnavailable, again=True):
                async with database.reader():
                    pass
            with failing(DatabaseUnavailable, again=True):
                async with Database.from_url(
                    "postgresql://127.0.0.1:1/nowhere", connect_deadline=0.05
                ):
                    pass
        finally:
            await asyncio.to_thread(own.start)
        await require_sound(database)


@injects("20")
async def test_a_main_process_that_is_killed_during_a_statement_loses_the_connection(
    own: Server,
) -> None:
    async with Database.from_url(own.url) as database:
        with failing(ConnectionLost, again=True):
            async with written(database) as uow:
                sleeping = asyncio.ensure_future(ask(uow, SLEEP))
                await until(database, "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
                psutil.Process(own.running.pid).kill()
                await sleeping
        await asyncio.to_thread(_restarted_after_a_crash, own)
        await require_sound(database)


@injects("21")
async def test_a_session_that_is_killed_costs_every_other_one_its_connection(own: Server) -> None:
    async with Database.from_url(own.url) as database:
        with failing(ConnectionLost, again=True):
            async with written(database) as uow, database.reader() as victim:
                os.kill(await pid_of(victim), signal.SIGKILL)
                await asyncio.to_thread(_wait_for_recovery, own)
                await uow.commit()
        await require_sound(database)


@injects("22")
async def test_a_server_that_stops_takes_no_connection(own: Server) -> None:
    async with Database.from_url(own.url) as database:
        async with database.reader() as last:
            await ask(last)
            # A smart shutdown waits for open sessions and refuses new ones.
            os.kill(own.running.pid, signal.SIGTERM)
            with failing(DatabaseUnavailable, again=True) as caught:
                for _ in range(1000):
                    async with database.reader() as view:
                        await ask(view)
            assert getattr(caught.value, "sqlstate", None) == "57P03"
        await database.engine.dispose()
        await database.read_engine.dispose()
        await asyncio.to_thread(_restarted_after_a_crash, own)
        await require_sound(database)


def _restarted_after_a_crash(own: Server) -> None:
    process = psutil.Process(own.running.pid) if psutil.pid_exists(own.running.pid) else None
    if process is not None and process.status() != psutil.STATUS_ZOMBIE:
        process.wait(20)
    own.start()


def _wait_for_recovery(own: Server) -> None:
    async def wait() -> None:
        async with Database.from_url(own.url, connect_deadline=20):
            pass

    asyncio.run(wait())


@injects("31")
async def test_a_full_disk_is_reported_and_acknowledged_rows_remain(own: Server) -> None:
    if own.disk is None:
        pytest.skip("a disk that can be filled needs root and the right to mount")
    async with Database.from_url(own.url) as database:
        acknowledged: list[int] = []
        own.disk.fill()
        try:
            with failing(ResourceExhausted, again=False) as caught:
                await _write_for_ever(database, acknowledged)
            assert getattr(caught.value, "sqlstate", None) == "53100"
        finally:
            own.disk.empty()
        # A server that could not write its log has died, and starts again now that there is room.
        await asyncio.to_thread(own.start)
        await require_sound(database, reviews=sum(acknowledged))
        async with database.unit_of_work() as uow:
            await ask(uow, "DELETE FROM reviews")
            await uow.commit()


async def _write_for_ever(database: Database, acknowledged: list[int]) -> None:
    while True:
        async with database.unit_of_work() as uow:
            written = await uow.reviews.add_many(
                [Review(repo=f"acme/{CANARY}", pr_number=number) for number in range(1, 501)]
            )
            await uow.commit()
        acknowledged.append(written)
